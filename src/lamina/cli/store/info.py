"""``lamina store info``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

import lamina
from lamina.cli.options import ReportOptions, report_options
from lamina.cli.output import escape_controls, print_stdout
from lamina.cli.reporting import print_json
from lamina.cli.store.path_reports import dump_narinfo
from lamina.cli.store.store_option import resolve_store_folder
from lamina.core.names import STORE_DIR
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.api.store import StoredPath


@click.command(
    "info",
    short_help="What is known of a store path.",
    epilog="Example: lamina store info hello",
)
@click.argument("roots", metavar="ROOT...", nargs=-1, required=True)
@click.option("--store", metavar="FOLDER", help="The store to look into.  [default: in the data folder]")
@report_options
def command(roots: tuple[str, ...], store: str | None, report: ReportOptions) -> None:
    """What the store knows of each ROOT, a store path or a name that fits one.

    With --json it is named as nix path-info --json names it.
    """
    folder = resolve_store_folder(store)
    stored_paths = lamina.describe_paths(roots, embedded_store=folder)
    if report.as_json:
        print_json({"store": folder, "paths": list(map(_dump_path, stored_paths))})
        return
    for number, path in enumerate(stored_paths):
        if number:
            print_stdout("")
        for line in _format_lines(path):
            print_stdout(escape_controls(line))


def _format_lines(path: StoredPath) -> Iterator[str]:
    narinfo, info = path.known, path.known.info
    yield str(info.path)
    yield f"  nar: {format_size(info.nar_size)}, {info.nar_hash.sri}"
    yield f"  closure: {format_size(path.closure_size)}"
    yield f"  file: {path.file}"
    if narinfo.deriver:
        yield f"  deriver: {STORE_DIR}/{narinfo.deriver}"
    if narinfo.address:
        yield f"  content address: {narinfo.address}"
    for signature in narinfo.signatures:
        yield f"  signature: {signature}"
    for reference in sorted(info.references):
        yield f"  reference: {reference}"


def _dump_path(path: StoredPath) -> dict[str, Any]:
    return {**dump_narinfo(path.known), "closureSize": path.closure_size, "file": str(path.file)}
