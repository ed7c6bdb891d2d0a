"""``lamina merge``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import lamina
from lamina.cli.options import ReaderOptions, ReportOptions, argument_option, reader_options, report_options
from lamina.cli.output import open_output, print_stdout
from lamina.cli.reporting import dump_layer, open_progress, print_json, print_summary, warn

if TYPE_CHECKING:
    from lamina.images.readers.source_image import SourceImage


@click.command(
    "merge",
    short_help="Several images in one archive.",
    epilog="Example: lamina merge hello.tar.gz server.tar -o both.tar.gz",
)
@click.argument("images", metavar="IMAGE[#NAME]...", nargs=-1, required=True)
@click.option("-o", "--output", required=True, metavar="FILE", help="Where the archive goes; - is stdout.")
@argument_option("compressor")
@reader_options
@report_options
def command(
    images: tuple[str, ...], output: str, compressor: str | None, reader: ReaderOptions, report: ReportOptions
) -> None:
    """One docker-archive in FILE with the images of every IMAGE, written whole or not at all.

    Every image keeps its ID and its names; what several share is stored once. Two images of one name are an error.
    Prints FILE; with --json the images. With -o - the result is on stderr.
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
    print_summary(f"{len(merged)} images, {len(layers)} layers, {sum(layers.values()) / 1e6:.1f} MB", report)
    if report.as_json:
        print_json({"images": list(map(_dump_image, merged)), "warnings": merged.warnings}, to_stderr=output == "-")
    elif output != "-":
        print_stdout(output)


def _dump_image(image: SourceImage) -> dict[str, Any]:
    return {
        "id": image.id,
        "repo_tags": list(image.repo_tags),
        "layers": [dump_layer(layer.diff_id, layer.diff_id, layer.tar.length, layer.paths) for layer in image.layers],
    }
