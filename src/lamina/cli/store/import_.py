"""``lamina store import``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

import lamina
from lamina.cli.command import option, verb
from lamina.cli.completers import make_completer
from lamina.cli.documents.stores import dump_import
from lamina.cli.options import ReportOptions, report_options
from lamina.cli.output import print_stdout
from lamina.cli.reporting import explain, format_count, print_json, print_summary, warn
from lamina.cli.store.store_option import choose_destination, destination_option
from lamina.errors import InvalidArgument

if TYPE_CHECKING:
    from lamina.stores.embedded.nix_export import ImportedPath


@verb(
    "import", "nix-store --export $(nix-store -qR ./result) | lamina store import", "lamina store import paths.export"
)
@click.argument(
    "file", metavar="[FILE]", default="-", help="The export.  [default: stdin]", shell_complete=make_completer("file")
)
@destination_option
@option("--store", metavar="DIR", hidden=True, help="The old name of --to.")
@report_options
def command(file: str, to: str | None, store: str | None, report: ReportOptions) -> None:
    """Import the store paths of an export of nix-store --export or lamina store export, and print each that is valid.

    Each path is hashed, and everything that it refers to must be in the store or come before it. An export has no
    signatures, so its references are accepted without a check. If the export is cut off, the complete paths before that
    stay.
    """
    if to is not None and store is not None:
        raise InvalidArgument("--store", "it and --to", "only one of them: it is the old name of the other")
    folder = choose_destination(store if to is None else to)
    explain([f"store: {folder}"], report)
    if file == "-" and sys.stdin.isatty():
        raise InvalidArgument("stdin", "a terminal", "an export", hint="lamina store import FILE reads a file")

    def print_path(imported: ImportedPath) -> None:
        if not report.as_json:
            print_stdout(str(imported.info.path))

    result = lamina.import_paths(sys.stdin.buffer if file == "-" else file, embedded_store=folder, on_path=print_path)
    warn(result.warnings, report)
    new = sum(imported.is_new for imported in result)
    if report.as_json:
        print_json(dump_import(folder, result, result.warnings))
    else:
        print_summary((folder, format_count(len(result), "path"), f"{new} new"), report)
