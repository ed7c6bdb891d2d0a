"""``lamina push``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import lamina
from lamina.cli.attachment_options import attachment_options
from lamina.cli.command import option, verb
from lamina.cli.default_paths import get_default_embedded_store, get_default_layer_cache
from lamina.cli.documents.pushes import dump_push
from lamina.cli.image_files import is_image
from lamina.cli.image_options import ImageOptions, choose_layer_cache, find_image_option, image_options, prepare_images
from lamina.cli.options import ReportOptions, argument_option, report_options
from lamina.cli.output import print_stdout
from lamina.cli.reporting import (
    explain,
    open_progress,
    print_json,
    print_pushed_summary,
    show_script_output,
    warn,
)
from lamina.errors import InvalidArgument
from lamina.inputs.registry_names import parse_references, parse_targets
from lamina.messages.redaction import join_names

if TYPE_CHECKING:
    from lamina.formats.registry_references import RegistryReference
    from lamina.images.software import SbomFormat
    from lamina.images.writers.push_result import RegistryPushResult
    from lamina.images.writers.registry_index import IndexPushResult

# The arguments that a push of an image file uses too.
_SOURCES = ("store", "trusted_keys", "verify_signatures")
_FOR_FILES = ("max_unpacked_size", "layer_compression", "layer_cache", "jobs", "verify", "insecure")


@verb(
    "push",
    "lamina push hello --to ghcr.io/me/hello:1 --cmd /bin/hello",
    "lamina push hello.tar.gz --to localhost:5000/hello:1",
    "lamina push --spec lamina.toml#hello --to localhost:5000/hello",
)
@option(
    "--to",
    section="registry",
    required=True,
    multiple=True,
    parse=parse_targets,
    metavar="REF",
    help="Push to this name: HOST[:PORT]/REPOSITORY[:TAG]. Without a host it is on Docker Hub; the default tag is "
    "latest.",
)
@option(
    "--cache-from",
    section="registry",
    multiple=True,
    parse=parse_references,
    metavar="REF",
    help="Use the layers of this image where they are those of the new one, so that a machine without a layer cache "
    "need not read them.  [default: the image that REF in --to names now]",
)
@option("--no-cache-from", section="registry", is_flag=True, help="Use nothing that an image in a registry states.")
@attachment_options("Of an image that exists, it has the hashes and references that --store knows.")
@argument_option("media_types")
@image_options("plan", "draft", "write")
@report_options
def command(
    to: tuple[RegistryReference, ...],
    cache_from: tuple[RegistryReference, ...],
    sbom: SbomFormat | None,
    media_types: str | None,
    image: ImageOptions,
    report: ReportOptions,
    *,
    no_cache_from: bool,
    provenance: bool,
) -> None:
    """Push the image of ROOT..., or an image that exists, to registries.

    Only blobs that a registry lacks are made and sent; layers are compressed with gzip. A ROOT that is an image file,
    an OCI layout or a reference is pushed as it is; --verify reads and checks all of a file first. If it is for several
    platforms, its whole index is pushed, unless --platform chooses one. The login of docker and podman is used. Of
    ROOTs with several --platform, an image for each is pushed, and then an index that lists them. Tags move last.
    Prints REF@sha256:DIGEST for each --to.
    """
    if cache_from and no_cache_from:
        raise InvalidArgument("--no-cache-from", "it and --cache-from", "one of them")
    caches = None if no_cache_from else cache_from
    attached: dict[str, Any] = {"sbom": sbom, "provenance": provenance}
    pushed: RegistryPushResult | IndexPushResult
    file = _find_image_file(image)
    if file:
        pushed = _push_file(file, to, caches, media_types, attached, image, report)
    else:
        pushed = _push_roots(to, caches, media_types, attached, image, report)
    if report.as_json:
        print_json(dump_push(pushed))
        return
    print_pushed_summary(pushed, report)
    for reference in pushed.references:
        print_stdout(reference)


def _push_roots(
    to: tuple[RegistryReference, ...],
    cache_from: tuple[RegistryReference, ...] | None,
    media_types: str | None,
    attached: Mapping[str, Any],
    image: ImageOptions,
    report: ReportOptions,
) -> RegistryPushResult | IndexPushResult:
    from lamina.api.registry import prepare_arguments

    arguments = prepare_arguments(to, image.make_arguments())
    if media_types is not None:
        arguments["media_types"] = media_types
    pushed: RegistryPushResult | IndexPushResult
    with prepare_images(arguments, report) as stream:
        explain(stream.decisions, report)
        show_script_output(stream.script_output, report)
        reported = warn(stream.warnings, report)
        with open_progress(report) as progress:
            pushed = stream.push(to, cache_from=cache_from, progress=progress, **attached)
    unused = _list_unused_tags(to, image)
    warn((*unused, *pushed.warnings[reported:]), report)
    return replace(pushed, warnings=(*pushed.warnings, *unused))


def _list_unused_tags(to: tuple[RegistryReference, ...], image: ImageOptions) -> tuple[str, ...]:
    """Return a warning about a tag on the command line that the image does not get, because ``to`` names others."""
    tag = image.given.get("tag")
    if tag is None or any(tag == reference.tag for reference in to):
        return ()
    flag, value = ("--tag", tag) if image.reference is None else ("-t", image.reference)
    return (f"{flag} {value} has no effect: an image in a registry has the names that --to gives it",)


def _push_file(
    file: str,
    to: tuple[RegistryReference, ...],
    cache_from: tuple[RegistryReference, ...] | None,
    media_types: str | None,
    attached: Mapping[str, Any],
    image: ImageOptions,
    report: ReportOptions,
) -> RegistryPushResult | IndexPushResult:
    if found := find_image_option("contents", "platforms", *_FOR_FILES, *(_SOURCES if attached["sbom"] else ())):
        hint = "an image that exists keeps its config and its ID"
        raise InvalidArgument(found, "an image that exists", "ROOTs: store paths or package names", hint=hint)
    from lamina.api.existing_push import push_whole

    options: Any = {"cache_from": cache_from, "media_types": media_types, **attached, **image.select(*_FOR_FILES)}
    if "layer_cache" not in options:
        options["layer_cache"] = choose_layer_cache()
    options["local_layer_cache"] = get_default_layer_cache()
    sources: Any = image.select(*_SOURCES) if attached["sbom"] else {}
    if attached["sbom"]:
        options["embedded_store"] = get_default_embedded_store()
    platform = _get_platform(image)
    pushed: RegistryPushResult | IndexPushResult
    with open_progress(report) as progress:
        if platform is None:
            pushed = push_whole(file, to=to, options=options, sources=sources, progress=progress)
        else:
            pushed = lamina.push_image(file, to=to, platform=platform, progress=progress, **options, **sources)
    warn(pushed.warnings, report)
    return pushed


def _get_platform(image: ImageOptions) -> str | None:
    """Return the platform of the image to push, of an image that exists and has several."""
    platforms: tuple[str, ...] = image.given.get("platforms", ())
    if len(platforms) > 1:
        raise InvalidArgument("--platform", f"{join_names(platforms)}, for an image that exists", "one platform")
    return platforms[0] if platforms else None


def _find_image_file(image: ImageOptions) -> str:
    """Return the only ROOT if it is an image: a file, an OCI layout or a reference; else an empty text."""
    roots = image.given.get("contents", ())
    if len(roots) != 1 or image.spec_file:
        return ""
    text = os.fspath(roots[0])
    return text if is_image(text) else ""
