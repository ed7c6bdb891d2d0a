"""The ``lamina layout`` group: its commands by name, each imported only when it runs."""

from __future__ import annotations

import click

from lamina.cli.lazy_group import LazyGroup

_COMMANDS = {"prune": "Remove images from an OCI layout, and blobs that nothing needs."}


@click.group(
    "layout",
    cls=LazyGroup,
    package="lamina.cli.layout",
    noun="command",
    summaries=_COMMANDS,
    examples=("lamina layout prune images/ --keep-last 5",),
)
def command() -> None:
    """Look after OCI layouts, the folders that lamina build -o DIR/ writes images to."""
