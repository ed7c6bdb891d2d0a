"""``lamina store export``."""

from __future__ import annotations

from typing import Any

import click

import lamina
from lamina.cli.options import cache_options, collect_cache_arguments, output_options
from lamina.cli.output import open_stdout
from lamina.cli.reporting import print_json, print_summary, warn
from lamina.cli.store.path_reports import count_paths
from lamina.cli.store.store_option import source_option, split_stores


@click.command(
    "export",
    short_help="Store paths as one stream, as nix-store --export writes it.",
    epilog="Example: lamina store export hello | ssh server nix-store --import",
)
@click.argument("roots", metavar="[ROOT]...", nargs=-1)
@click.option("-o", "--output", metavar="FILE", default="-", help="Where it goes, whole or not at all; - is stdout.")
@click.option("--all", "all_paths", is_flag=True, help="All that is in the store, in place of ROOT...")
@source_option
@cache_options
@output_options
def command(roots: tuple[str, ...], output: str, store: tuple[str, ...], *, all_paths: bool, **flags: Any) -> None:
    """Write ROOT... and all they need to stdout, or to FILE, as nix-store --export does: references first.

    nix-store --import and lamina store import take it. It holds no signatures: who imports it believes who made it.
    With --json the paths are on stderr, or on stdout where there is a FILE.
    """
    folder, others = split_stores(store)
    arguments = {"embedded_store": folder, "store": others, "all_paths": all_paths, **collect_cache_arguments(flags)}
    if output == "-":
        with open_stdout() as out:
            paths = lamina.export_paths(roots, output=out, **arguments)
    else:
        paths = lamina.export_paths(roots, output=output, **arguments)
    warn(paths.warnings, flags)
    print_summary(f"exported {count_paths(len(paths))}", flags)
    if flags["as_json"]:
        print_json({"paths": list(map(str, paths)), "warnings": paths.warnings}, to_stderr=output == "-")
