"""``lamina merge``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import lamina
from lamina.cli.command import option, verb
from lamina.cli.documents.images import dump_merged
from lamina.cli.documents.pushes import dump_merged_push
from lamina.cli.image_options import choose_layer_cache
from lamina.cli.options import (
    REFERENCE_HELP,
    Choice,
    ReaderOptions,
    ReportOptions,
    argument_option,
    argument_options,
    image_argument,
    list_flags,
    output_option,
    progress_options,
    reader_options,
)
from lamina.cli.output import open_output, print_stdout
from lamina.cli.reporting import (
    format_count,
    open_progress,
    print_json,
    print_pushed_summary,
    print_summary,
    warn,
)
from lamina.core.labels import shorten_digest
from lamina.errors import InvalidArgument
from lamina.inputs.registry_names import parse_references
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.api.merge import MergeResult
    from lamina.formats.registry_references import RegistryReference

_FORMATS = ("docker", "oci")


@verb(
    "merge",
    "lamina merge hello.tar.gz server.tar -o both.tar.gz",
    "lamina merge app-amd64.tar app-arm64.tar -t app:1 -o images/",
    "lamina merge ghcr.io/me/app:amd64 ghcr.io/me/app:arm64 --to ghcr.io/me/app:1",
)
@image_argument("images", "IMAGE[#NAME]...", REFERENCE_HELP, nargs=-1, required=True)
@output_option("FILE|DIR/", "The archive to write, or the folder of an OCI layout; - is stdout.")
@argument_option("compressor")
@option(
    "--to",
    section="registry",
    multiple=True,
    parse=parse_references,
    metavar="REF",
    help="Push all images to a registry, as one image for each platform: HOST[:PORT]/REPOSITORY[:TAG].",
)
@option(
    "--format",
    "kind",
    section="output",
    type=Choice(_FORMATS),
    completion=_FORMATS,
    metavar="docker|oci",
    help="Write FILE as a docker-archive, or as an OCI archive, which can hold several platforms.  [default: docker]",
)
@option(
    "-t",
    "name",
    section="image",
    metavar="NAME:TAG",
    help="Give all images this name, in an OCI layout or archive: one image for each platform.  [default: their own]",
)
@argument_options("given", *list_flags("layer_compression", "insecure"))
@reader_options
@progress_options
def command(
    images: tuple[str, ...],
    output: str | None,
    compressor: str | None,
    to: tuple[RegistryReference, ...],
    kind: str | None,
    name: str | None,
    given: Mapping[str, Any],
    reader: ReaderOptions,
    report: ReportOptions,
) -> None:
    """Write the images of every IMAGE into one archive, OCI layout or image index of a registry.

    FILE is a docker-archive of files: every image keeps its ID and its names, a layer that several images share is
    stored once, and two images of one name are an error. In an OCI layout or an OCI archive, images of one name for
    different platforms become one image index. --to pushes an index of all images to registries; tags move last.
    Compressed layers and manifests are copied as they are, so that digests stay the same. Prints FILE, or
    REF@sha256:DIGEST for each --to; with -o - the result is on stderr.
    """
    if to:
        unused = {"-o": output, "--compressor": compressor, "--format": kind, "-t": name, "--platform": reader.platform}
        if flag := next((flag for flag, value in unused.items() if value is not None), None):
            raise InvalidArgument(flag, "it and --to", "one of them", hint="--to names the image, for all platforms")
        _push_merged(images, to, {**given, "max_unpacked_size": reader.max_unpacked_size}, report)
        return
    if output is None:
        raise InvalidArgument("-o", "nothing", "a file or a folder", hint="or --to REF for a registry")
    with open_progress(report) as progress, open_output(output) as target:
        merged = lamina.merge_images(
            images,
            output=target,
            name=name,
            format=kind,
            compressor=compressor,
            progress=progress,
            **given,
            **reader._asdict(),
        )
    warn(merged.warnings, report)
    _print_merged(merged, report)
    if report.as_json:
        print_json(dump_merged(output, merged), to_stderr=output == "-")
    elif output != "-":
        print_stdout(output)


def _push_merged(
    images: tuple[str, ...],
    to: tuple[RegistryReference, ...],
    arguments: Mapping[str, Any],
    report: ReportOptions,
) -> None:
    """Push all images as one."""
    with open_progress(report) as progress:
        pushed = lamina.push_index(images, to=to, layer_cache=choose_layer_cache(), progress=progress, **arguments)
    warn(pushed.warnings, report)
    if report.as_json:
        print_json(dump_merged_push(pushed))
        return
    print_pushed_summary(pushed, report)
    for reference in pushed.references:
        print_stdout(reference)


def _print_merged(merged: MergeResult, report: ReportOptions) -> None:
    for name in merged.names:
        print_summary((str(name.name), shorten_digest(name.digest), ", ".join(name.platforms)), report)
    layers = {blob.digest: blob.size for blobs in merged.blobs.values() for blob in blobs}
    counts = (format_count(len(merged), "image"), format_count(len(layers), "layer"))
    print_summary((*counts, format_size(sum(layers.values()))), report)
