"""``lamina merge``."""

from __future__ import annotations

import lamina
from lamina.cli.command import verb
from lamina.cli.documents.images import dump_merged
from lamina.cli.options import (
    ReaderOptions,
    ReportOptions,
    argument_option,
    image_argument,
    output_option,
    progress_options,
    reader_options,
)
from lamina.cli.output import open_output, print_stdout
from lamina.cli.reporting import format_count, open_progress, print_json, print_summary, warn
from lamina.messages.sizes import format_size


@verb("merge", "lamina merge hello.tar.gz server.tar -o both.tar.gz")
@image_argument("images", "IMAGE[#NAME]...", nargs=-1, required=True)
@output_option("FILE", "The archive to write; - is stdout.", required=True)
@argument_option("compressor")
@reader_options
@progress_options
def command(
    images: tuple[str, ...], output: str, compressor: str | None, reader: ReaderOptions, report: ReportOptions
) -> None:
    """Write the images of every IMAGE into one docker-archive, whole or not at all.

    Every image keeps its ID and its names. A layer that several images share is stored once. Two images of one name
    are an error. Prints FILE; with -o - the result is on stderr.
    """
    with open_progress(report) as progress, open_output(output) as target:
        merged = lamina.merge_images(
            images,
            output=target,
            compressor=compressor,
            progress=progress,
            **reader._asdict(),
        )
    warn(merged.warnings, report)
    layers = {layer.diff_id: layer.tar.length for image in merged for layer in image.layers}
    counts = (format_count(len(merged), "image"), format_count(len(layers), "layer"))
    print_summary((*counts, format_size(sum(layers.values()))), report)
    if report.as_json:
        print_json(dump_merged(output, merged), to_stderr=output == "-")
    elif output != "-":
        print_stdout(output)
