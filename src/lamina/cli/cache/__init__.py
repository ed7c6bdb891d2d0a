"""The ``lamina cache`` group: its commands by name, each imported only when it runs."""

from __future__ import annotations

import click

from lamina.cli.lazy_group import LazyGroup

_COMMANDS = {
    "info": "Show where the layer cache and the blob cache are, and what they hold.",
    "prune": "Delete the least recently used entries of the layer cache and the blob cache.",
    "clean": "Delete everything that lamina keeps in the cache folder.",
}


@click.group(
    "cache",
    cls=LazyGroup,
    package="lamina.cli.cache",
    noun="command",
    summaries=_COMMANDS,
    examples=("lamina cache info", "lamina cache prune --older-than 30"),
)
def command() -> None:
    """Show and delete what lamina keeps in your cache folder: the layer cache, layers from registries, and lists.

    All of it can be deleted at any time, also while lamina is running. The next image takes longer then.
    """
