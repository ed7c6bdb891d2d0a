"""``lamina cache info``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lamina
from lamina.cli.cache.blob_cache_option import blob_cache_option, choose_blob_cache
from lamina.cli.cache.layer_cache_option import layer_cache_option
from lamina.cli.command import verb
from lamina.cli.documents.caches import dump_cache_info
from lamina.cli.options import ReportOptions, result_options
from lamina.cli.output import escape_controls, print_stdout
from lamina.cli.reporting import print_json
from lamina.cli.tables import print_fields
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.api.blob_cache import BlobCacheResult
    from lamina.api.cache_folder import LayerCacheResult


@verb("info", "lamina cache info")
@layer_cache_option
@blob_cache_option
@result_options
def command(layer_cache: str, blob_cache: str | None, *, report: ReportOptions) -> None:
    """Show the paths and sizes of the layer cache and the blob cache, and when the oldest entries were last used."""
    result = lamina.describe_layer_cache(layer_cache=layer_cache)
    folder = choose_blob_cache(blob_cache, layer_cache)
    blobs = lamina.describe_blob_cache(blob_cache=folder) if folder else None
    if report.as_json:
        print_json(dump_cache_info(layer_cache, result, folder, blobs))
        return
    _print_layer_cache(layer_cache, result)
    if folder and blobs and blobs.exists:
        print_stdout("")
        _print_blob_cache(folder, blobs)


def _print_blob_cache(folder: str, result: BlobCacheResult) -> None:
    fields = [("size", format_size(result.size)), ("layers", str(result.blobs))]
    if result.oldest:
        fields.append(("least recently used", f"{result.oldest:%Y-%m-%d}"))
    print_fields(folder, fields)


def _print_layer_cache(layer_cache: str, result: LayerCacheResult) -> None:
    if not result.exists:
        print_stdout(escape_controls(f"no layer cache at {layer_cache}"))
        return
    fields = [
        ("size", format_size(result.size)),
        ("entries", str(result.entries)),
        ("layers", str(result.layers)),
        ("compressed layers", str(result.compressed)),
        ("store paths", str(result.listings)),
        ("plans", str(result.plans)),
    ]
    if result.shared:
        fields.append(("shared", str(result.shared)))
    if result.oldest:
        fields.append(("least recently used", f"{result.oldest:%Y-%m-%d}"))
    print_fields(layer_cache, fields)
