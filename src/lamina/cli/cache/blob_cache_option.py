"""The option ``--blob-cache`` of the commands of ``lamina cache``."""

from __future__ import annotations

from lamina.cli.command import option
from lamina.cli.default_paths import get_default_blob_cache, get_default_layer_cache

blob_cache_option = option(
    "--blob-cache",
    section="speed",
    completion="folder",
    metavar="DIR",
    help="The folder of layers from registries.  [default: the one in your cache folder, or none with --layer-cache]",
)


def choose_blob_cache(given: str | None, layer_cache: str) -> str | None:
    """Return the folder that was given, or the default one beside the default layer cache; otherwise None."""
    return given if given or layer_cache != get_default_layer_cache() else get_default_blob_cache()
