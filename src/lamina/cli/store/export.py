"""``lamina store export``."""

from __future__ import annotations

import click

import lamina
from lamina.cli.command import option, verb
from lamina.cli.documents.stores import dump_store_export
from lamina.cli.options import ReportOptions, output_option, report_options
from lamina.cli.output import open_output
from lamina.cli.reporting import explain, format_count, open_progress, print_json, print_summary, warn
from lamina.cli.store.store_option import StoreOptions, store_options


@verb("export", "lamina store export hello | ssh server nix-store --import")
@click.argument(
    "roots", metavar="[ROOT]...", nargs=-1, help="A store path or a name; everything that it needs is exported too."
)
@output_option("FILE", "Write to this file, whole or not at all.  [default: stdout]", default="-")
@option("--all", "all_paths", is_flag=True, help="Export everything in the store; there is no ROOT.")
@store_options()
@report_options
def command(
    roots: tuple[str, ...], output: str, store: StoreOptions, *, all_paths: bool, report: ReportOptions
) -> None:
    """Write each ROOT and everything it needs as one stream that nix-store --import and lamina store import read.

    An export has no signatures, so import only exports of people whom you trust. With --json the paths go to stderr, or
    to stdout if there is a FILE.
    """
    explain([f"store: {store.folder}"], report)
    with open_progress(report) as progress, open_output(output) as target:
        paths = lamina.export_paths(
            roots,
            output=target,
            embedded_store=store.folder,
            all_paths=all_paths,
            progress=progress,
            **store.sources,
        )
    warn(paths.warnings, report)
    print_summary((f"{format_count(len(paths), 'path')} exported",), report)
    if report.as_json:
        print_json(dump_store_export(output, paths, paths.warnings), to_stderr=output == "-")
