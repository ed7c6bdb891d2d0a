"""``lamina store sign``."""

from __future__ import annotations

from typing import Any

import click

import lamina
from lamina.cli.options import talk_options
from lamina.cli.output import say
from lamina.cli.reporting import print_json, warn
from lamina.cli.store.described import document
from lamina.cli.store.places import work_folder


@click.command(
    "sign",
    short_help="Sign store paths with a key of yours.",
    epilog="Example: lamina store sign --key cache.key --all",
)
@click.argument("roots", metavar="[ROOT]...", nargs=-1)
@click.option("--key", required=True, metavar="FILE", help="The secret key, as lamina store key generate makes it.")
@click.option("--all", "everything", is_flag=True, help="All that is in the store, in place of ROOT...")
@click.option("-r", "--recursive", is_flag=True, help="All that ROOT... need too.")
@click.option("--store", metavar="FOLDER", help="The store that they are in.  [default: in the data folder]")
@talk_options
def command(
    roots: tuple[str, ...], key: str, store: str | None, *, everything: bool, recursive: bool, **flags: Any
) -> None:
    """Add a signature to each ROOT in the store, in place of one under the same key's name, and print them.

    Whoever trusts the public key can then take them from the store's folder, and from wherever they are pushed to.
    """
    folder = work_folder(store)
    done = lamina.sign_paths(roots, key_file=key, embedded_store=folder, everything=everything, recursive=recursive)
    warn(done.warnings, flags)
    if flags["as_json"]:
        print_json({"store": folder, "paths": list(map(document, done)), "warnings": done.warnings})
        return
    for known in done:
        say(str(known.info.path))
