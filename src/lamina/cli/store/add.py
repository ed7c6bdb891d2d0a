"""``lamina store add``."""

from __future__ import annotations

import click

import lamina
from lamina.cli.options import ReportOptions, report_options
from lamina.cli.output import print_stdout
from lamina.cli.reporting import print_json, warn
from lamina.cli.store.path_reports import dump_narinfo
from lamina.cli.store.store_option import split_stores
from lamina.errors import InvalidArgument


@click.command(
    "add",
    short_help="Make store paths of files and folders of your own.",
    epilog="Example: lamina store add ./site --name site-1.0",
)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--name", metavar="NAME", help="What to call the store path.  [default: as PATH is called]")
@click.option(
    "--store",
    multiple=True,
    metavar="WHERE",
    help="The store to add to: a folder that is one of lamina's, or empty, or not there.  [default: in the data "
    "folder]  A folder that holds nix/store has more paths to look for; those that are found are copied too.",
)
@click.option(
    "--reference",
    "references",
    multiple=True,
    metavar="ROOT",
    help="A path of that store that PATH needs, though nothing in it says so; repeat it.",
)
@report_options
def command(
    paths: tuple[str, ...], name: str | None, store: tuple[str, ...], references: tuple[str, ...], report: ReportOptions
) -> None:
    """Make a store path of each PATH, a file or folder of your own, and print it.

    It is called by its content: the same name, content and references give the same path, which without references is
    that of nix-store --add. It refers to every path of the store whose hash is found in it. A PATH that is itself
    called HASH-NAME is taken for a store path, and its own hash in it becomes the new one.
    """
    if name is not None and len(paths) > 1:
        raise InvalidArgument("name", f"one for {len(paths)} paths", "--name with one PATH")
    folder, others = split_stores(store)
    added = []
    for path in paths:
        added.append(lamina.add_path(path, embedded_store=folder, name=name, references=references, store=others))
        warn(added[-1].warnings, report)
        if not report.as_json:
            print_stdout(str(added[-1].info.path))
    if report.as_json:
        warnings = [warning for path in added for warning in path.warnings]
        print_json({"store": folder, "paths": list(map(dump_narinfo, added)), "warnings": warnings})
