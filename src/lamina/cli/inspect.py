"""``lamina inspect``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import lamina
from lamina.cli.options import ReaderOptions, ReportOptions, reader_options, report_options
from lamina.cli.output import escape_controls, print_stdout
from lamina.cli.reporting import dump_layer, print_json, warn
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.images.readers.source_image import SourceImage


@click.command(
    "inspect",
    short_help="What an image file or an OCI layout holds.",
    epilog="Example: lamina inspect hello.tar.gz --json",
)
@click.argument("image", metavar="IMAGE[#NAME]")
@reader_options
@report_options
def command(image: str, reader: ReaderOptions, report: ReportOptions) -> None:
    """What IMAGE holds: its ID, names and layers, with the store paths in each.

    IMAGE is a docker-archive, an OCI layout in a tar, both plain or compressed with gzip, zstd or xz, or an OCI layout
    as a folder; NAME chooses one of several images in it. Every digest is computed from the bytes; a file that
    contradicts itself is an error.
    """
    images = lamina.inspect(image, platform=reader.platform, max_unpacked_size=reader.max_unpacked_size)
    warn(images.warnings, report)
    if report.as_json:
        first, *others = (_dump_image(item, several=len(images) > 1) for item in images)
        print_json({**first, **({"others": others} if others else {}), "warnings": images.warnings})
        return
    for item in images:
        print_stdout(escape_controls(", ".join((*item.repo_tags, *item.tags)) or "no name"))
        print_stdout(escape_controls(f"id {item.digest}, {item.platform or 'no platform'}, {len(item.layers)} layers"))
        for number, layer in enumerate(item.layers, 1):
            print_stdout(f"layer {number}: {format_size(layer.size)}, {layer.diff_id}")
            for path in layer.paths:
                print_stdout(f"  {path}")


def _dump_image(image: SourceImage, *, several: bool) -> dict[str, Any]:
    return {
        "id": str(image.digest),
        "repo_tags": list(image.repo_tags),
        **({"tags": list(image.tags)} if image.tags else {}),
        "architecture": image.config.get("architecture"),
        **({"platform": image.platform} if several else {}),
        "created": image.config.get("created"),
        "config": image.config.get("config"),
        "layers": [dump_layer(layer.diff_id, layer.digest, layer.size, layer.paths) for layer in image.layers],
    }
