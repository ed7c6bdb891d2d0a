"""``lamina store info``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

import lamina
from lamina.cli.command import option, verb
from lamina.cli.documents.stores import dump_path_info
from lamina.cli.options import ReportOptions, decision_options
from lamina.cli.output import print_stdout
from lamina.cli.reporting import explain, print_json
from lamina.cli.store.store_option import resolve_store_folder
from lamina.cli.tables import print_fields
from lamina.core.labels import shorten_sri
from lamina.core.names import STORE_DIR
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.api.store import StoredPath


@verb("info", "lamina store info hello")
@click.argument(
    "roots",
    metavar="ROOT...",
    nargs=-1,
    required=True,
    help="A store path, or a name that matches one path of the store.",
)
@option(
    "--store",
    section="sources",
    completion="folder",
    metavar="FOLDER",
    help="The store that has them.  [default: the one in your data folder]",
)
@option("--full", section="output", is_flag=True, help="Print whole hashes, signatures and store paths.")
@decision_options
def command(roots: tuple[str, ...], store: str | None, report: ReportOptions, *, full: bool) -> None:
    """Show size, closure size, references and signatures of each ROOT in the embedded store.

    Without --full, hashes are shortened, and references are shown by name.
    """
    folder = resolve_store_folder(store)
    explain([f"store: {folder}"], report)
    stored_paths = lamina.describe_paths(roots, embedded_store=folder)
    if report.as_json:
        print_json(dump_path_info(folder, stored_paths))
        return
    for number, path in enumerate(stored_paths):
        if number:
            print_stdout("")
        print_fields(str(path.known.info.path), list(_list_fields(path, full=full)), is_whole=full)


def _list_fields(path: StoredPath, *, full: bool) -> Iterator[tuple[str, str]]:
    narinfo, info = path.known, path.known.info
    yield "size", format_size(info.nar_size)
    yield "closure size", format_size(path.closure_size)
    yield "nar hash", info.nar_hash.sri if full else shorten_sri(info.nar_hash)
    yield "file", str(path.file)
    if narinfo.deriver:
        yield "deriver", f"{STORE_DIR}/{narinfo.deriver}" if full else narinfo.deriver.partition("-")[2]
    if narinfo.address:
        yield "content address", narinfo.address
    for signature in narinfo.signatures:
        yield "signature", signature if full else signature.partition(":")[0]
    for reference in sorted(info.references):
        yield "reference", str(reference) if full else reference.name
