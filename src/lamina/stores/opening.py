"""From what a user writes after ``--store`` to a store.

Invariant: opening looks at what is named and nowhere else.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

from lamina.errors import InvalidName, Unavailable
from lamina.image import Store
from lamina.names import STORE_DIR
from lamina.stores.first_of import FirstOf
from lamina.stores.folder import Folder
from lamina.stores.graph import GraphStore
from lamina.stores.local import DATABASE, LocalStore

MACHINE = Path("/")


def open_stores(places: Sequence[str]) -> Store:
    """The stores at ``places``, the first asked first; none is the machine's own.

    Raises `InvalidName` for what is neither a folder nor a closure graph, `Unavailable` where it cannot be read,
    `FormatError` for a broken graph.
    """
    if not places:
        return _machine()
    stores: list[Store] = []
    for place in places:
        stores.append(_open(place, after_graph=any(isinstance(store, GraphStore) for store in stores)))
    if any(isinstance(store, GraphStore) for store in stores) and machine_has_store():
        stores.append(Folder(MACHINE))
    return FirstOf(stores)


def machine_has_store() -> bool:
    """Whether there is a store folder where the names of store paths say it is."""
    return _mode(MACHINE / STORE_DIR[1:]) is not None


def _machine() -> Store:
    if _mode(MACHINE / DATABASE) is None:
        raise Unavailable(
            "store: got none on this machine, expected a Nix store at /",
            hint="name one with --store: a folder that holds nix/store, or a closure graph in JSON",
        )
    return LocalStore(MACHINE)


def _open(place: str, *, after_graph: bool) -> Store:
    path = Path(place)
    if "://" in place:
        raise InvalidName(f"store: got {place.partition('://')[0]}://, expected a folder or a closure graph in JSON")
    mode = _mode(path)
    if mode is None:
        raise Unavailable(f"store {place}: got nothing there, expected a folder or a closure graph in JSON")
    if not stat.S_ISDIR(mode):
        return GraphStore(path)
    folder = Folder(path)
    if _mode(path / DATABASE) is not None:
        return LocalStore(path)
    if after_graph:
        return folder
    raise Unavailable(
        f"store {place}: got no {DATABASE} in it, expected a Nix database",
        hint="name a closure graph before it, which says what refers to what: --store graph.json --store FOLDER",
    )


def _mode(path: Path) -> int | None:
    """The kind and mode of what is at ``path``, None where nothing is; raises `Unavailable` where nobody can tell."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last for a NUL in it
        return None
    except OSError as error:
        raise Unavailable(f"{path}: got {error.strerror}, expected to look at it") from error
