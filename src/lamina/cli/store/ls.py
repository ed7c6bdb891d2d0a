"""``lamina store ls``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

import lamina
from lamina.cli.command import option, verb
from lamina.cli.documents.stores import dump_paths
from lamina.cli.options import ReportOptions, decision_options
from lamina.cli.output import print_stderr, print_stdout
from lamina.cli.reporting import explain, print_json
from lamina.cli.store.path_reports import summarize_paths
from lamina.cli.store.store_option import find_store_folder
from lamina.cli.tables import Column, print_table
from lamina.core.labels import HASH_DIGITS
from lamina.errors import NotFound
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.formats.narinfo import NarInfo


@verb("ls", "lamina store ls", "lamina store ls hello --size")
@click.argument(
    "names",
    metavar="[NAME]...",
    nargs=-1,
    help="List only paths of this name: hello, hello-2.12.1, hello^dev, or a store path.",
)
@option(
    "--store",
    section="sources",
    completion="folder",
    metavar="FOLDER",
    help="The store to list.  [default: the one in your data folder]",
)
@option(
    "--size",
    section="output",
    is_flag=True,
    help="Print sizes and their sum too. A terminal shows them always.",
)
@option("--full", section="output", is_flag=True, help="Print whole store paths on a terminal too.")
@decision_options
def command(names: tuple[str, ...], store: str | None, *, size: bool, full: bool, report: ReportOptions) -> None:
    """List the valid paths of the embedded store.

    On a terminal, a table has the name, the size and the first digits of the hash of each path. Elsewhere, whole store
    paths are printed, one per line.
    """
    folder = find_store_folder(store)
    explain([f"store: {folder or 'not there yet'}"], report)
    if folder is None and names:
        raise NotFound(names[0], "no store yet", "one", hint="lamina store fetch and lamina store add create one")
    narinfos = lamina.list_paths(names, embedded_store=folder) if folder is not None else ()
    if report.as_json:
        print_json(dump_paths(folder, narinfos))
        return
    is_table = sys.stdout.isatty()
    if is_table and not full:
        _print_table(narinfos)
    else:
        for narinfo in narinfos:
            path = narinfo.info.path
            sized = size or is_table
            print_stdout(f"{format_size(narinfo.info.nar_size):>11}  {path}" if sized else str(path))
    if (size or is_table) and narinfos and not report.quiet:
        print_stderr(summarize_paths(narinfos))


def _print_table(narinfos: Iterable[NarInfo]) -> None:
    columns = [Column("NAME", is_flexible=True), Column("SIZE", is_number=True), Column("HASH", style="dim")]
    infos = sorted((narinfo.info for narinfo in narinfos), key=lambda info: (info.path.name, info.path.hash))
    print_table(columns, ((info.path.name, format_size(info.nar_size), info.path.hash[:HASH_DIGITS]) for info in infos))
