"""``lamina cache prune``."""

from __future__ import annotations

from dataclasses import asdict

import click

import lamina
from lamina.cli.cache.deleted_files import print_files
from lamina.cli.cache.layer_cache_option import layer_cache_option
from lamina.cli.options import ReportOptions, report_options
from lamina.cli.output import print_stdout
from lamina.cli.reporting import print_json, warn
from lamina.messages.sizes import format_size


@click.command(
    "prune",
    short_help="Delete the least recently used entries of the layer cache.",
    epilog="Example: lamina cache prune --max-size 100M --older-than 30",
)
@layer_cache_option
@click.option(
    "--max-size",
    metavar="SIZE",
    default="256MiB",
    help="How large the file may be afterwards: bytes, or 500M, 4GiB …  [default: 256MiB]",
)
@click.option(
    "--older-than", metavar="DAYS", type=int, help="Also delete entries that were not used for this many days."
)
@report_options
def command(layer_cache: str, max_size: str, older_than: int | None, *, report: ReportOptions) -> None:
    """Delete the least recently used entries of the layer cache until its file is no larger than --max-size.

    Every image does this by itself, above 256 MiB. Prune also deletes what earlier versions of lamina left beside the
    file, and the file itself if any of it is damaged.
    """
    result = lamina.prune_layer_cache(layer_cache=layer_cache, max_size=max_size, older_than=older_than)
    warn(result.warnings, report)
    if report.as_json:
        print_json({"layer_cache": layer_cache, **asdict(result)})
        return
    print_files(result.files)
    print_stdout(f"{result.deleted} entries deleted, {result.kept} kept ({format_size(result.size)})")
