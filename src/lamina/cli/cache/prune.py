"""``lamina cache prune``."""

from __future__ import annotations

import lamina
from lamina.cli.cache.blob_cache_option import blob_cache_option, choose_blob_cache
from lamina.cli.cache.deleted_files import print_files
from lamina.cli.cache.layer_cache_option import layer_cache_option
from lamina.cli.command import option, verb
from lamina.cli.documents.caches import dump_cache_prune
from lamina.cli.options import NUMBER, ReportOptions, decision_options
from lamina.cli.output import print_stdout
from lamina.cli.reporting import explain, format_count, print_json, warn
from lamina.inputs.parsers import parse_days, parse_size
from lamina.messages.sizes import format_size


@verb("prune", "lamina cache prune --max-size 100M --older-than 30")
@layer_cache_option
@blob_cache_option
@option(
    "--max-size",
    metavar="SIZE",
    default="256MiB",
    parse=parse_size,
    help="Make the file of the layer cache no larger than this: a number of bytes, or a size such as 500M or 4GiB."
    "  [default: 256MiB]",
)
@option(
    "--max-blob-size",
    metavar="SIZE",
    default="10GiB",
    parse=parse_size,
    help="Delete layers of the blob cache until all have at most this size.  [default: 10GiB]",
)
@option(
    "--older-than",
    metavar="DAYS",
    type=NUMBER,
    parse=parse_days,
    help="Also delete entries that were not used for this many days.",
)
@decision_options
def command(
    layer_cache: str,
    blob_cache: str | None,
    max_size: int,
    max_blob_size: int,
    older_than: int | None,
    *,
    report: ReportOptions,
) -> None:
    """Delete the least recently used entries of the layer cache and the blob cache until they are small enough.

    Every build does this at the default sizes. Prune also deletes files of earlier versions of lamina beside the layer
    cache, and the layer cache itself if any part of it is damaged.
    """
    explain([f"layer cache: {layer_cache}"], report)
    result = lamina.prune_layer_cache(layer_cache=layer_cache, max_size=max_size, older_than=older_than)
    folder = choose_blob_cache(blob_cache, layer_cache)
    blobs = (
        lamina.prune_blob_cache(blob_cache=folder, max_size=max_blob_size, older_than=older_than) if folder else None
    )
    warn(result.warnings, report)
    if report.as_json:
        print_json(dump_cache_prune(layer_cache, result, folder, blobs))
        return
    print_files(result.files)
    print_stdout(f"{format_count(result.deleted, 'entry')} deleted, {result.kept} kept ({format_size(result.size)})")
    if blobs and (blobs.files or blobs.kept):
        print_files(blobs.files)
        print_stdout(f"{format_count(len(blobs.files), 'blob')} deleted, {blobs.kept} kept ({format_size(blobs.size)})")
