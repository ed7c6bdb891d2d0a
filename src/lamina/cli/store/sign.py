"""``lamina store sign``."""

from __future__ import annotations

import click

import lamina
from lamina.cli.options import ReportOptions, report_options
from lamina.cli.output import print_stdout
from lamina.cli.reporting import print_json, warn
from lamina.cli.store.path_reports import dump_narinfo
from lamina.cli.store.store_option import resolve_store_folder


@click.command(
    "sign",
    short_help="Sign store paths with a key of yours.",
    epilog="Example: lamina store sign --key cache.key --all",
)
@click.argument("roots", metavar="[ROOT]...", nargs=-1)
@click.option("--key", required=True, metavar="FILE", help="The secret key, as lamina store key generate makes it.")
@click.option("--all", "all_paths", is_flag=True, help="All that is in the store, in place of ROOT...")
@click.option("-r", "--recursive", is_flag=True, help="All that ROOT... need too.")
@click.option("--store", metavar="FOLDER", help="The store that they are in.  [default: in the data folder]")
@report_options
def command(
    roots: tuple[str, ...], key: str, store: str | None, *, all_paths: bool, recursive: bool, report: ReportOptions
) -> None:
    """Add a signature to each ROOT in the store, in place of one under the same key's name, and print them.

    Whoever trusts the public key can then take them from the store's folder, and from wherever they are pushed to.
    """
    folder = resolve_store_folder(store)
    result = lamina.sign_paths(roots, key_file=key, embedded_store=folder, all_paths=all_paths, recursive=recursive)
    warn(result.warnings, report)
    if report.as_json:
        print_json({"store": folder, "paths": list(map(dump_narinfo, result)), "warnings": result.warnings})
        return
    for narinfo in result:
        print_stdout(str(narinfo.info.path))
