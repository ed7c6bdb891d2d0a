"""Which of the places after ``--store`` is the store that a command works in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from lamina.cli.options import default_embedded_store
from lamina.errors import InvalidArgument
from lamina.messages.redaction import holds_secret, short_repr
from lamina.stores.open import is_cache_folder, is_remote

source_option = click.option(
    "--store",
    multiple=True,
    metavar="WHERE",
    help="Where ROOT is: as lamina stream has it; repeat it, the first that gives a path wins.  [default: the store in "
    "the data folder]",
)


def split_stores(stores: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The folder to work in, by default that in the user's data folder, and the other places, in their order.

    It is the one that is a store of lamina's, or empty, or not there. Raises `InvalidArgument` for two.
    """
    folders = [store for store in stores if _is_embedded_store(store)]
    if len(folders) > 1:
        raise InvalidArgument(
            f"store: got {short_repr(folders[0])} and {short_repr(folders[1])}, expected one folder to work in",
            hint=f"to read from the other, name it as a binary cache: --store file://{os.path.abspath(folders[1])}",
        )
    return folders[0] if folders else default_embedded_store(), tuple(store for store in stores if store not in folders)


def existing_folder(store: str | None) -> str | None:
    """The folder to look into; None where none was named and there is none yet, which is as good as an empty one.

    Raises `InvalidArgument` for a URL.
    """
    if store is not None and is_remote(store):
        raise InvalidArgument(f"store: got {short_repr(store)}, expected the folder of a store of lamina's")
    folder = store_folder(store)
    return folder if store is not None or os.path.lexists(folder) else None


def store_folder(store: str | None) -> str:
    """Return the folder after ``--store``, by default that in the user's data folder.

    Raises `InvalidArgument` for a URL without its scheme, or a key, which would become the name of a new folder.
    """
    if store is not None and not os.path.lexists(store) and holds_secret(store):
        raise InvalidArgument(
            f"store: got {short_repr(store)}, expected a folder, or the URL of a binary cache",
            hint="a URL begins with its scheme: https://, s3:// or file://",
        )
    return store if store is not None else default_embedded_store()


def _is_embedded_store(store: str) -> bool:
    if is_remote(store) or not store:
        return False
    store_folder(store)
    if not os.path.lexists(store) or is_cache_folder(store):
        return True
    from lamina.stores.embedded.store import may_become_store

    return may_become_store(Path(store))
