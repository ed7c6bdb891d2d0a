"""``lamina merge``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import lamina
from lamina.cli.command import option, verb
from lamina.cli.documents.images import dump_merged
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
from lamina.cli.reporting import format_count, open_progress, print_json, print_summary, warn
from lamina.core.labels import shorten_digest
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.api.merge import MergeResult

_FORMATS = ("docker", "oci")


@verb(
    "merge",
    "lamina merge hello.tar.gz server.tar -o both.tar.gz",
    "lamina merge app-amd64.tar app-arm64.tar -t app:1 -o images/",
    "lamina merge ghcr.io/me/app:1-amd64 ghcr.io/me/app:1-arm64 -t app:1 --format oci -o app.tar",
)
@image_argument("images", "IMAGE[#NAME]...", REFERENCE_HELP, nargs=-1, required=True)
@output_option("FILE|DIR/", "The archive to write, or the folder of an OCI layout; - is stdout.", required=True)
@argument_option("compressor")
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
    output: str,
    compressor: str | None,
    kind: str | None,
    name: str | None,
    given: Mapping[str, Any],
    reader: ReaderOptions,
    report: ReportOptions,
) -> None:
    """Write the images of every IMAGE into one archive or OCI layout, whole or not at all.

    FILE is a docker-archive of files: every image keeps its ID and its names, a layer that several images share is
    stored once, and two images of one name are an error. In an OCI layout or an OCI archive, images of one name for
    different platforms become one image index. Compressed layers and manifests are copied as they are, so that digests
    stay the same. Prints FILE; with -o - the result is on stderr.
    """
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


def _print_merged(merged: MergeResult, report: ReportOptions) -> None:
    for name in merged.names:
        print_summary((str(name.name), shorten_digest(name.digest), ", ".join(name.platforms)), report)
    layers = {blob.digest: blob.size for blobs in merged.blobs.values() for blob in blobs}
    counts = (format_count(len(merged), "image"), format_count(len(layers), "layer"))
    print_summary((*counts, format_size(sum(layers.values()))), report)
