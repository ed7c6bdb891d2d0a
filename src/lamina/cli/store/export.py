"""``lamina store export``."""

from __future__ import annotations

import click

import lamina
from lamina.cli.options import ReportOptions, report_options
from lamina.cli.output import open_output
from lamina.cli.reporting import print_json, print_summary, warn
from lamina.cli.store.path_reports import count_paths
from lamina.cli.store.store_option import StoreOptions, store_options


@click.command(
    "export",
    short_help="Store paths as one stream, as nix-store --export writes it.",
    epilog="Example: lamina store export hello | ssh server nix-store --import",
)
@click.argument("roots", metavar="[ROOT]...", nargs=-1)
@click.option("-o", "--output", metavar="FILE", default="-", help="Where it goes, whole or not at all; - is stdout.")
@click.option("--all", "all_paths", is_flag=True, help="All that is in the store, in place of ROOT...")
@store_options()
@report_options
def command(
    roots: tuple[str, ...], output: str, store: StoreOptions, *, all_paths: bool, report: ReportOptions
) -> None:
    """Write ROOT... and all they need to stdout, or to FILE, as nix-store --export does: references first.

    nix-store --import and lamina store import take it. It holds no signatures: who imports it believes who made it.
    With --json the paths are on stderr, or on stdout where there is a FILE.
    """
    with open_output(output) as target:
        paths = lamina.export_paths(
            roots, output=target, embedded_store=store.folder, all_paths=all_paths, **store.sources
        )
    warn(paths.warnings, report)
    print_summary(f"exported {count_paths(len(paths))}", report)
    if report.as_json:
        print_json({"paths": list(map(str, paths)), "warnings": paths.warnings}, to_stderr=output == "-")
