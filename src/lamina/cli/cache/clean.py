"""``lamina cache clean``."""

from __future__ import annotations

import lamina
from lamina.cli.cache.blob_cache_option import blob_cache_option, choose_blob_cache
from lamina.cli.cache.deleted_files import print_files
from lamina.cli.cache.layer_cache_option import layer_cache_option
from lamina.cli.command import verb
from lamina.cli.default_paths import get_default_channel_lists, get_default_layer_cache
from lamina.cli.documents.caches import dump_cache_clean
from lamina.cli.options import ReportOptions, decision_options
from lamina.cli.output import print_stdout
from lamina.cli.reporting import explain, format_count, print_json
from lamina.messages.sizes import format_size


@verb("clean", "lamina cache clean")
@layer_cache_option
@blob_cache_option
@decision_options
def command(layer_cache: str, blob_cache: str | None, *, report: ReportOptions) -> None:
    """Delete the layer cache, the files of earlier versions of lamina beside it, the blob cache, and lists of channels.

    With another --layer-cache than the default one, the lists of channels are kept, and so is the blob cache unless
    --blob-cache names it. Files of other programs are never deleted. Prints each deleted file after its size.
    """
    explain([f"layer cache: {layer_cache}"], report)
    is_default = layer_cache == get_default_layer_cache()
    result = lamina.clean_cache(
        layer_cache=layer_cache,
        channel_lists=get_default_channel_lists() if is_default else None,
        blob_cache=choose_blob_cache(blob_cache, layer_cache),
    )
    if report.as_json:
        print_json(dump_cache_clean(result))
        return
    print_files(result.files)
    print_stdout(f"{format_count(len(result.files), 'file')} deleted, {format_size(result.size)}")
