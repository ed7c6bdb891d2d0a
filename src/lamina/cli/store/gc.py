"""``lamina store gc``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import lamina
from lamina.cli.options import ReportOptions, report_options
from lamina.cli.output import escape_controls, print_stdout
from lamina.cli.reporting import print_json, warn
from lamina.cli.store.path_reports import count_paths
from lamina.cli.store.store_option import resolve_store_folder
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.stores.embedded.gc import GCResult


@click.command(
    "gc",
    short_help="Remove what no root reaches.",
    epilog="Example: lamina store gc lamina.toml hello.tar.gz --dry-run",
)
@click.argument("roots", metavar="[ROOT]...", nargs=-1)
@click.option("--all", "all_paths", is_flag=True, help="Remove all there is: no ROOT is kept.")
@click.option("--dry-run", is_flag=True, help="Only list what would go.")
@click.option("--store", metavar="FOLDER", help="The store to clean up.  [default: in the data folder]")
@report_options
def command(
    roots: tuple[str, ...], store: str | None, *, all_paths: bool, dry_run: bool, report: ReportOptions
) -> None:
    """Remove from the store what no ROOT reaches, and what killed processes left there.

    A ROOT is a store path, a name, an image file, an OCI layout, or a spec file: lamina.toml, or lamina.toml#NAME for
    one table of it. Of images and spec files that is kept which is in the store; one that keeps nothing is an error.
    Prints what goes, one a line, with the bytes that are free then, and a summary. While another process uses the
    store nothing is removed.
    """
    folder = resolve_store_folder(store)
    result = lamina.collect_garbage(roots, embedded_store=folder, all_paths=all_paths, dry_run=dry_run)
    warn(result.warnings, report)
    if report.as_json:
        print_json({"store": folder, "dry_run": dry_run, **_dump_result(result)})
        return
    for path, size in result.paths:
        print_stdout(f"{size:>12} {path}")
    for name, size in result.files:
        print_stdout(escape_controls(f"{size:>12} {name}"))
    print_stdout(_format_summary(result, dry_run=dry_run))


def _format_summary(result: GCResult, *, dry_run: bool) -> str:
    count = len(result.files)
    others = f" and {count} other {'file' if count == 1 else 'files'}" if count else ""
    removed = f"{count_paths(len(result.paths))}{others}, {result.size} bytes ({format_size(result.size)})"
    return f"{removed} {'would be' if dry_run else ''} removed, {count_paths(result.kept)} kept".replace("  ", " ")


def _dump_result(result: GCResult) -> dict[str, Any]:
    return {
        "paths": [{"path": str(path), "size": size} for path, size in result.paths],
        "files": [{"name": name, "size": size} for name, size in result.files],
        "size": result.size,
        "kept": result.kept,
        "warnings": result.warnings,
    }
