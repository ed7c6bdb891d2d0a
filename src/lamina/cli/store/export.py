"""``lamina store export``."""

from __future__ import annotations

from typing import Any

import click

import lamina
from lamina.cli.options import cache_arguments, cache_options, talk_options
from lamina.cli.output import stdout
from lamina.cli.reporting import concluded, print_json, warn
from lamina.cli.store.described import counted
from lamina.cli.store.places import divided, source_option


@click.command(
    "export",
    short_help="Store paths as one stream, as nix-store --export writes it.",
    epilog="Example: lamina store export hello | ssh server nix-store --import",
)
@click.argument("roots", metavar="[ROOT]...", nargs=-1)
@click.option("-o", "--output", metavar="FILE", default="-", help="Where it goes, whole or not at all; - is stdout.")
@click.option("--all", "everything", is_flag=True, help="All that is in the store, in place of ROOT...")
@source_option
@cache_options
@talk_options
def command(roots: tuple[str, ...], output: str, store: tuple[str, ...], *, everything: bool, **flags: Any) -> None:
    """Write ROOT... and all they need to stdout, or to FILE, as nix-store --export does: references first.

    nix-store --import and lamina store import take it. It holds no signatures: who imports it believes who made it.
    With --json the paths are on stderr, or on stdout where there is a FILE.
    """
    folder, others = divided(store)
    arguments = {"embedded_store": folder, "store": others, "everything": everything, **cache_arguments(flags)}
    if output == "-":
        with stdout() as out:
            paths = lamina.export_paths(roots, output=out, **arguments)
    else:
        paths = lamina.export_paths(roots, output=output, **arguments)
    warn(paths.warnings, flags)
    concluded(f"exported {counted(len(paths))}", flags)
    if flags["as_json"]:
        print_json({"paths": list(map(str, paths)), "warnings": paths.warnings}, aside=output == "-")
