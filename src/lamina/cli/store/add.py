"""``lamina store add``."""

from __future__ import annotations

import click

import lamina
from lamina.cli.command import option, verb
from lamina.cli.completers import make_completer
from lamina.cli.documents.stores import dump_paths
from lamina.cli.options import ReportOptions, decision_options
from lamina.cli.output import print_stdout
from lamina.cli.reporting import explain, open_bars, print_json, warn
from lamina.cli.store.store_option import choose_destination, destination_option
from lamina.errors import InvalidArgument


@verb("add", "lamina store add ./site --name site-1.0")
@click.argument(
    "paths",
    metavar="PATH...",
    nargs=-1,
    required=True,
    help="A file or folder of your own.",
    shell_complete=make_completer("file"),
)
@option("--name", metavar="NAME", help="Name the store path.  [default: the last part of PATH]")
@option(
    "--reference",
    "references",
    multiple=True,
    metavar="ROOT",
    help="Record that PATH needs this path of the store, though it does not mention it.",
)
@destination_option
@option(
    "--store",
    section="sources",
    completion="folder",
    multiple=True,
    metavar="WHERE",
    help="Look for references in this store too, such as / for the machine's own. Paths that PATH needs are copied.",
)
@decision_options
def command(
    paths: tuple[str, ...],
    name: str | None,
    to: str | None,
    store: tuple[str, ...],
    references: tuple[str, ...],
    report: ReportOptions,
) -> None:
    """Make a store path of each PATH, and print it.

    The hash in its name follows from its content: the same name, content and references give the same path, which
    without references is that of nix-store --add. It refers to every path of the store whose hash is found in it. A
    PATH that is itself called HASH-NAME counts as a store path: where it mentions its own hash, it gets the new one.
    """
    if name is not None and len(paths) > 1:
        raise InvalidArgument("name", f"one for {len(paths)} paths", "--name with one PATH")
    folder = choose_destination(to, store)
    explain([f"store: {folder}"], report)
    added = []
    for path in paths:
        with open_bars(report) as progress:
            added.append(
                lamina.add_path(
                    path, embedded_store=folder, name=name, references=references, store=store, progress=progress
                )
            )
        warn(added[-1].warnings, report)
        if not report.as_json:
            print_stdout(str(added[-1].info.path))
    if report.as_json:
        warnings = [warning for path in added for warning in path.warnings]
        print_json(dump_paths(folder, added, warnings))
