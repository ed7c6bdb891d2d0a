"""``lamina store ls``."""

from __future__ import annotations

import click

import lamina
from lamina.cli.options import ReportOptions, report_options
from lamina.cli.output import print_stderr, print_stdout
from lamina.cli.reporting import print_json
from lamina.cli.store.path_reports import dump_narinfo, summarize_paths
from lamina.cli.store.store_option import find_store_folder
from lamina.errors import NotFound
from lamina.messages.sizes import format_size


@click.command(
    "ls",
    short_help="Which store paths are there.",
    epilog="Example: lamina store ls --size",
)
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--store", metavar="FOLDER", help="The store to look into.  [default: in the data folder]")
@click.option("--size", is_flag=True, help="Print how large each one is, and at the end all of them.")
@report_options
def command(names: tuple[str, ...], store: str | None, *, size: bool, report: ReportOptions) -> None:
    """The store paths that are valid in the store, one a line; with NAME... those that are called so.

    A NAME is hello, hello-2.12.1, hello^dev, or a store path.
    """
    folder = find_store_folder(store)
    if folder is None and names:
        raise NotFound(names[0], "no store yet", "one", hint="lamina store fetch and add make one")
    narinfos = lamina.list_paths(names, embedded_store=folder) if folder is not None else ()
    if report.as_json:
        print_json({"store": folder, "paths": list(map(dump_narinfo, narinfos))})
        return
    for narinfo in narinfos:
        path = narinfo.info.path
        print_stdout(f"{format_size(narinfo.info.nar_size):>11}  {path}" if size else str(path))
    if size and not report.quiet:
        print_stderr(summarize_paths(narinfos))
