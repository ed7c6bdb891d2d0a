"""Which of the places after ``--store`` is the store that a command works in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from lamina.cli.options import embedded_store
from lamina.errors import InvalidName, shown
from lamina.messages.redaction import holds_secret
from lamina.stores.opening import is_cache_folder, is_remote

source_option = click.option(
    "--store",
    multiple=True,
    metavar="WHERE",
    help="Where ROOT is: as lamina stream has it; repeat it, the first that gives a path wins.  [default: the store in "
    "the data folder]",
)


def divided(places: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The folder to work in, by default that in the user's data folder, and the other places, in their order.

    It is the one that is a store of lamina's, or empty, or not there. Raises `InvalidName` for two.
    """
    folders = [place for place in places if _is_own(place)]
    if len(folders) > 1:
        raise InvalidName(
            f"store: got {shown(folders[0])} and {shown(folders[1])}, expected one folder to work in",
            hint=f"to read from the other, name it as a binary cache: --store file://{os.path.abspath(folders[1])}",
        )
    return folders[0] if folders else embedded_store(), tuple(place for place in places if place not in folders)


def present(place: str | None) -> str | None:
    """The folder to look into; None where none was named and there is none yet, which is as good as an empty one.

    Raises `InvalidName` for a URL.
    """
    if place is not None and is_remote(place):
        raise InvalidName(f"store: got {shown(place)}, expected the folder of a store of lamina's")
    folder = work_folder(place)
    return folder if place is not None or os.path.lexists(folder) else None


def work_folder(place: str | None) -> str:
    """Return the folder after ``--store``, by default that in the user's data folder.

    Raises `InvalidName` for a URL without its scheme, or a key, which would become the name of a new folder.
    """
    if place is not None and not os.path.lexists(place) and holds_secret(place):
        raise InvalidName(
            f"store: got {shown(place)}, expected a folder, or the URL of a binary cache",
            hint="a URL begins with its scheme: https://, s3:// or file://",
        )
    return place if place is not None else embedded_store()


def _is_own(place: str) -> bool:
    if is_remote(place) or not place:
        return False
    work_folder(place)
    if not os.path.lexists(place) or is_cache_folder(place):
        return True
    from lamina.stores.embedded.store import may_become_store

    return may_become_store(Path(place))
