"""``lamina store gc``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import lamina
from lamina.cli.command import option, verb
from lamina.cli.completers import make_completer
from lamina.cli.documents.stores import dump_garbage
from lamina.cli.options import ReportOptions, decision_options
from lamina.cli.output import escape_controls, print_stdout
from lamina.cli.reporting import explain, format_count, print_json, warn
from lamina.cli.store.store_option import resolve_store_folder
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.stores.embedded.gc import GCResult


@verb("gc", "lamina store gc lamina.toml hello.tar.gz --dry-run", "lamina store gc --all")
@click.argument(
    "roots",
    metavar="[ROOT]...",
    nargs=-1,
    shell_complete=make_completer("file"),
    help="What to keep, with everything it needs: a store path, a name, an image file, an OCI layout, or a spec file "
    "(lamina.toml, or lamina.toml#NAME for one table). One that keeps nothing is an error.",
)
@option("--all", "all_paths", is_flag=True, help="Remove everything; there is no ROOT.")
@option("--dry-run", is_flag=True, help="Only list what would be removed.")
@option(
    "--store",
    section="sources",
    completion="folder",
    metavar="FOLDER",
    help="The store to clean up.  [default: the one in your data folder]",
)
@decision_options
def command(
    roots: tuple[str, ...], store: str | None, *, all_paths: bool, dry_run: bool, report: ReportOptions
) -> None:
    """Remove the store paths that no ROOT needs, and files that killed processes left behind.

    Prints what is removed, one per line, with the space that it frees, and a summary. Nothing is removed while another
    process uses the store.
    """
    folder = resolve_store_folder(store)
    explain([f"store: {folder}"], report)
    result = lamina.collect_garbage(roots, embedded_store=folder, all_paths=all_paths, dry_run=dry_run)
    warn(result.warnings, report)
    if report.as_json:
        print_json(dump_garbage(folder, result, dry_run=dry_run))
        return
    for path, size in result.paths:
        print_stdout(f"{format_size(size):>11}  {path}")
    for name, size in result.files:
        print_stdout(escape_controls(f"{format_size(size):>11}  {name}"))
    print_stdout(_format_summary(result, dry_run=dry_run))


def _format_summary(result: GCResult, *, dry_run: bool) -> str:
    others = f" and {format_count(len(result.files), 'other file')}" if result.files else ""
    removed = f"{format_count(len(result.paths), 'path')}{others}, {format_size(result.size)}"
    verb_phrase = "would be removed" if dry_run else "removed"
    return f"{removed} {verb_phrase}, {format_count(result.kept, 'path')} kept"
