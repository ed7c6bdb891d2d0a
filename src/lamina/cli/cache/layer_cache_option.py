"""The option ``--layer-cache`` of the commands of ``lamina cache``."""

from __future__ import annotations

import click

from lamina.cli.default_paths import get_default_layer_cache

layer_cache_option = click.option(
    "--layer-cache",
    metavar="PATH",
    default=get_default_layer_cache,
    help="The file of the layer cache.  [default: in the cache folder]",
)
