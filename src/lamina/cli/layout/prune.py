"""``lamina layout prune``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import lamina
from lamina.cli.command import option, verb
from lamina.cli.completers import make_completer
from lamina.cli.documents.layouts import dump_layout_prune
from lamina.cli.options import NUMBER, ReportOptions, result_options
from lamina.cli.output import escape_controls, print_stdout
from lamina.cli.reporting import format_count, print_json
from lamina.inputs.parsers import parse_count
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.images.prune import LayoutPruneResult


@verb("prune", "lamina layout prune images/ --keep latest --keep 'v1.*'", "lamina layout prune images/ --keep-last 5")
@click.argument("layout", metavar="DIR", help="The OCI layout.", shell_complete=make_completer("folder"))
@option(
    "--keep",
    multiple=True,
    metavar="TAG",
    help="Keep the images with this tag, NAME:TAG or digest. A * stands for any characters.",
)
@option(
    "--keep-last",
    type=NUMBER,
    parse=parse_count,
    metavar="N",
    help="Keep the N tags of each image name that were written last.",
)
@option("--dry-run", is_flag=True, help="Only print what would be removed.")
@result_options
def command(layout: str, keep: tuple[str, ...], keep_last: int | None, *, dry_run: bool, report: ReportOptions) -> None:
    """Remove images from an OCI layout, and the blobs that no image refers to any more.

    An image stays if a --keep matches it or --keep-last counts it. Without both options all images stay, and only blobs
    are removed. Signatures and the like stay with their image. Prints each removed image, and the space that is freed.
    While another process writes to the layout, nothing is removed.
    """
    result = lamina.prune_layout(layout, keep=keep, keep_last=keep_last, dry_run=dry_run)
    if report.as_json:
        print_json(dump_layout_prune(layout, result, dry_run=dry_run))
        return
    for image in result.removed:
        print_stdout(escape_controls(image.name if image.name == image.digest else f"{image.name}  {image.digest}"))
    print_stdout(_format_summary(result, dry_run=dry_run))


def _format_summary(result: LayoutPruneResult, *, dry_run: bool) -> str:
    blobs = f"{format_count(len(result.blobs), 'blob')} ({format_size(result.size)})"
    verb_phrase = "would be removed" if dry_run else "removed"
    kept = format_count(len(result.kept), "image")
    return f"{format_count(len(result.removed), 'image')} and {blobs} {verb_phrase}, {kept} kept"
