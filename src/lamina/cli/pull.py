"""``lamina pull``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

import lamina
from lamina.cli.command import option, verb
from lamina.cli.default_paths import get_default_blob_cache
from lamina.cli.documents.images import dump_pulled, dump_pulled_index
from lamina.cli.options import (
    ReportOptions,
    argument_option,
    argument_options,
    list_flags,
    output_option,
    progress_options,
)
from lamina.cli.output import open_output, print_stdout
from lamina.cli.reporting import (
    describe_blobs,
    format_count,
    open_progress,
    print_json,
    print_summary,
    print_update,
    warn,
)
from lamina.core.labels import shorten_digest
from lamina.errors import InvalidArgument
from lamina.inputs.parsers import parse_platform

if TYPE_CHECKING:
    from lamina.images.pull import PullResult


@verb(
    "pull",
    "lamina pull debian:12 -o debian.tar",
    "lamina pull ghcr.io/me/app:1 --platform arm64 -o images/",
    "lamina pull ghcr.io/me/app:1 --all-platforms -o images/",
)
@click.argument("reference", metavar="REF", help="The image: [HOST/]REPOSITORY[:TAG][@sha256:DIGEST].")
@output_option("FILE|DIR/", "The archive to write, or the folder of an OCI layout; - is stdout.", required=True)
@argument_option("compressor")
@option(
    "--platform",
    parse=parse_platform,
    metavar="[OS/]ARCH[/VARIANT]",
    help="Take the image for this platform, such as linux/arm64 or arm/v7.  [default: linux on this machine]",
)
@option(
    "--all-platforms",
    is_flag=True,
    help="Write the whole index into an OCI layout: the images for all platforms, and its attestations.",
)
@argument_options("given", *list_flags("max_unpacked_size", "blob_cache", "insecure"))
@progress_options
def command(
    reference: str,
    output: str,
    compressor: str | None,
    platform: str | None,
    given: Mapping[str, Any],
    report: ReportOptions,
    *,
    all_platforms: bool,
) -> None:
    """Fetch an image from a registry, and write it to FILE or into an OCI layout.

    FILE is a docker-archive, written whole or not at all. A folder, or a name that ends in /, is an OCI layout: it gets
    the blobs and the manifest as they are in the registry, and only those that it lacks are fetched. After a failure,
    the layers that were fetched whole stay there for the next pull, and the index does not name the image. Of several
    platforms, that of this machine is taken unless --platform names another one, or --all-platforms takes all. Every
    blob is checked by its digest. Prints FILE.
    """
    if all_platforms:
        _pull_all(reference, output, compressor, platform, given, report)
        return
    arguments = {"blob_cache": get_default_blob_cache(), "local_blob_cache": get_default_blob_cache(), **given}
    with open_progress(report) as progress, open_output(output) as target:
        pulled = lamina.pull_image(
            reference, output=target, platform=platform, compressor=compressor, progress=progress, **arguments
        )
    warn(pulled.warnings, report)
    print_summary((*_list_facts(pulled),), report, details=(*_list_details(pulled),))
    print_update(str(pulled.name), pulled.update, report)
    if report.as_json:
        print_json(dump_pulled(pulled), to_stderr=output == "-")
    elif output != "-":
        print_stdout(output)


def _pull_all(
    reference: str,
    output: str,
    compressor: str | None,
    platform: str | None,
    given: Mapping[str, Any],
    report: ReportOptions,
) -> None:
    """Fetch the images for all platforms."""
    for flag, value in (("--platform", platform), ("--compressor", compressor)):
        if value is not None:
            raise InvalidArgument(flag, "it and --all-platforms", "one of them")
    if "max_unpacked_size" in given:
        raise InvalidArgument("--max-unpacked-size", "an OCI layout", "a file, for which layers are unpacked")
    arguments = {"blob_cache": get_default_blob_cache(), "local_blob_cache": get_default_blob_cache(), **given}
    with open_progress(report) as progress:
        pulled = lamina.pull_index(reference, output=output, progress=progress, **arguments)
    warn(pulled.warnings, report)
    for image in pulled.images:
        digest = shorten_digest(image.manifest.descriptor.digest)
        facts = (str(pulled.name), digest, image.platform or "no platform", format_count(len(image.layers), "layer"))
        print_summary(facts, report)
    blobs = len({layer.digest for image in pulled.images for layer in image.layers})
    details = (describe_blobs(pulled.blobs_fetched, blobs, "fetched", pulled.bytes_fetched), f"{pulled.seconds:.1f} s")
    images = format_count(len(pulled.images), "image")
    print_summary((str(pulled.name), shorten_digest(pulled.digest), images), report, details=details)
    if report.as_json:
        print_json(dump_pulled_index(pulled))
    else:
        print_stdout(output)


def _list_facts(pulled: PullResult) -> Iterator[str]:
    yield str(pulled.name)
    yield shorten_digest(pulled.image.manifest.descriptor.digest)
    yield pulled.image.platform or "no platform"
    yield format_count(len(pulled.image.layers), "layer")


def _list_details(pulled: PullResult) -> Iterator[str]:
    count = len({layer.digest for layer in pulled.image.layers})
    yield describe_blobs(pulled.blobs_fetched, count, "fetched", pulled.bytes_fetched)
    yield f"{pulled.seconds:.1f} s"
