"""The ``lamina store`` group: its commands by name, each imported only when it runs."""

from __future__ import annotations

import click

from lamina.cli.lazy_group import LazyGroup

_COMMANDS = {
    "fetch": "Fetch store paths and everything they need from binary caches.",
    "add": "Make store paths of files and folders of your own.",
    "ls": "List the paths of the store.",
    "info": "Show what the store knows of a path.",
    "verify": "Hash every path and every known layer, and compare.",
    "gc": "Remove the paths that nothing needs.",
    "export": "Write store paths as a stream for nix-store --import.",
    "import": "Read store paths from a stream of nix-store --export.",
    "sign": "Sign store paths with your key.",
    "key": "Make a key to sign with, or show its public half.",
    "push": "Copy store paths to another binary cache.",
}


@click.group(
    "store",
    cls=LazyGroup,
    package="lamina.cli.store",
    noun="command",
    summaries=_COMMANDS,
    examples=("lamina store fetch hello --channel nixos-25.11", "lamina store ls --size"),
)
def command() -> None:
    """Keep store paths on this machine without Nix, in the embedded store.

    The embedded store is a folder that is also a binary cache: lamina makes images from it, nix copy --from
    file://FOLDER reads it, and any web server can serve it.
    """
