"""``lamina cache info``."""

from __future__ import annotations

import lamina
from lamina.cli.cache.layer_cache_option import layer_cache_option
from lamina.cli.command import verb
from lamina.cli.documents.caches import dump_cache_info
from lamina.cli.options import ReportOptions, result_options
from lamina.cli.output import escape_controls, print_stdout
from lamina.cli.reporting import print_json
from lamina.cli.tables import print_fields
from lamina.messages.sizes import format_size


@verb("info", "lamina cache info")
@layer_cache_option
@result_options
def command(layer_cache: str, *, report: ReportOptions) -> None:
    """Show the path and size of the layer cache, its number of entries, and when the oldest one was last used."""
    result = lamina.describe_layer_cache(layer_cache=layer_cache)
    if report.as_json:
        print_json(dump_cache_info(layer_cache, result))
        return
    if not result.exists:
        print_stdout(escape_controls(f"no layer cache at {layer_cache}"))
        return
    fields = [
        ("size", format_size(result.size)),
        ("entries", str(result.entries)),
        ("layers", str(result.layers)),
        ("compressed layers", str(result.compressed)),
        ("store paths", str(result.listings)),
    ]
    if result.oldest:
        fields.append(("least recently used", f"{result.oldest:%Y-%m-%d}"))
    print_fields(layer_cache, fields)
