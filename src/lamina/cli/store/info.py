"""``lamina store info``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

import lamina
from lamina.cli.options import output_options
from lamina.cli.output import escape_controls, print_stdout
from lamina.cli.reporting import print_json, readable_size
from lamina.cli.store.path_reports import path_document
from lamina.cli.store.store_option import store_folder
from lamina.core.names import STORE_DIR

if TYPE_CHECKING:
    from lamina.api.store import StoredPath


@click.command(
    "info",
    short_help="What is known of a store path.",
    epilog="Example: lamina store info hello",
)
@click.argument("roots", metavar="ROOT...", nargs=-1, required=True)
@click.option("--store", metavar="FOLDER", help="The store to look into.  [default: in the data folder]")
@output_options
def command(roots: tuple[str, ...], store: str | None, **flags: Any) -> None:
    """What the store knows of each ROOT, a store path or a name that fits one.

    With --json it is named as nix path-info --json names it.
    """
    folder = store_folder(store)
    found = lamina.describe_paths(roots, embedded_store=folder)
    if flags["as_json"]:
        print_json({"store": folder, "paths": list(map(_document, found))})
        return
    for number, path in enumerate(found):
        if number:
            print_stdout("")
        for line in _lines(path):
            print_stdout(escape_controls(line))


def _lines(path: StoredPath) -> Iterator[str]:
    known, info = path.known, path.known.info
    yield str(info.path)
    yield f"  nar: {readable_size(info.nar_size)}, {info.nar_hash.sri}"
    yield f"  closure: {readable_size(path.closure_size)}"
    yield f"  file: {path.file}"
    if known.deriver:
        yield f"  deriver: {STORE_DIR}/{known.deriver}"
    if known.address:
        yield f"  content address: {known.address}"
    for signature in known.signatures:
        yield f"  signature: {signature}"
    for reference in sorted(info.references):
        yield f"  reference: {reference}"


def _document(path: StoredPath) -> dict[str, Any]:
    return {**path_document(path.known), "closureSize": path.closure_size, "file": str(path.file)}
