"""The option ``--layer-cache`` of the commands of ``lamina cache``."""

from __future__ import annotations

from lamina.cli.command import option
from lamina.cli.default_paths import get_default_layer_cache

layer_cache_option = option(
    "--layer-cache",
    section="speed",
    completion="file",
    metavar="PATH",
    default=get_default_layer_cache,
    help="The file of the layer cache.  [default: the one in your cache folder]",
)
