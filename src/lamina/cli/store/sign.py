"""``lamina store sign``."""

from __future__ import annotations

import click

import lamina
from lamina.cli.command import option, verb
from lamina.cli.documents.stores import dump_paths
from lamina.cli.options import ReportOptions, decision_options
from lamina.cli.output import print_stdout
from lamina.cli.reporting import explain, print_json, warn
from lamina.cli.store.store_option import resolve_store_folder


@verb("sign", "lamina store sign --key cache.key --all", "lamina store sign hello --recursive --key cache.key")
@click.argument(
    "roots", metavar="[ROOT]...", nargs=-1, help="A store path, or a name that matches one path of the store."
)
@option(
    "--key",
    completion="file",
    required=True,
    metavar="FILE",
    help="The secret key, as lamina store key generate makes it.",
)
@option("--all", "all_paths", is_flag=True, help="Sign everything in the store; there is no ROOT.")
@option("-r", "--recursive", is_flag=True, help="Sign everything that ROOT needs too.")
@option(
    "--store",
    section="sources",
    completion="folder",
    metavar="FOLDER",
    help="The store that has them.  [default: the one in your data folder]",
)
@decision_options
def command(
    roots: tuple[str, ...], key: str, store: str | None, *, all_paths: bool, recursive: bool, report: ReportOptions
) -> None:
    """Sign each ROOT in the embedded store, and print its path.

    People who trust the public key can then use the paths from the store's folder, or from a cache that they are pushed
    to. A signature by a key of the same name is replaced.
    """
    folder = resolve_store_folder(store)
    explain([f"store: {folder}"], report)
    result = lamina.sign_paths(roots, key_file=key, embedded_store=folder, all_paths=all_paths, recursive=recursive)
    warn(result.warnings, report)
    if report.as_json:
        print_json(dump_paths(folder, result, result.warnings))
        return
    for narinfo in result:
        print_stdout(str(narinfo.info.path))
