"""The ``lamina store`` group: its commands by name, each imported only when it runs."""

from __future__ import annotations

import click

from lamina.cli.lazy_group import LazyGroup

_COMMANDS = {
    "fetch": "Fetch store paths and all they need from binary caches.",
    "add": "Make store paths of files and folders of your own.",
    "ls": "Which store paths are there.",
    "info": "What is known of a store path.",
    "verify": "Hash everything anew, and compare: the store's paths, and what the layer cache knows.",
    "gc": "Remove what no root reaches.",
    "export": "Store paths as one stream, as nix-store --export writes it.",
    "import": "Take in what nix-store --export, or lamina store export, wrote.",
    "sign": "Sign store paths with a key of yours.",
    "key": "Make a key to sign with, or show its public half.",
    "push": "Copy store paths to another binary cache.",
}


@click.group(
    "store",
    cls=LazyGroup,
    package="lamina.cli.store",
    noun="command",
    summaries=_COMMANDS,
    short_help="The store that lamina keeps: fetch, add, ls, info, verify, gc …",
    epilog="Example: lamina store fetch hello --channel nixos-25.11",
)
def command() -> None:
    """The store that lamina keeps on this machine: a folder that is a binary cache.

    Images are made from it where there is no Nix; nix copy --from file://FOLDER, and any web server, can read it.
    """
