"""Several stores as one: the first that has a path answers for it.

Invariant: a path's contents come from the store that vouched for it, or, where that was a graph, from the next one
that has them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from lamina.errors import NotFound
from lamina.formats.narinfo import NarInfo
from lamina.image import Arriving, Catalogue, Located, Store
from lamina.names import StorePath
from lamina.nodes import Node
from lamina.pathinfo import PathInfo
from lamina.places import Place
from lamina.stores.mentioned import resolve_mentions

_T = TypeVar("_T")


@runtime_checkable
class Described(Protocol):
    """A store that knows of a path what a binary cache says."""

    def narinfo(self, path: StorePath) -> NarInfo | None:
        """All that is known of ``path``; None where it is not valid."""


class FirstOf:
    """``stores`` in the order in which they are asked."""

    def __init__(self, stores: Sequence[Store]) -> None:
        self._stores = tuple(stores)
        self._vouched: dict[StorePath, int] = {}

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        """What the first store that has it knows of each path."""
        found: dict[StorePath, PathInfo] = {}
        for number, store in enumerate(self._stores):
            missing = [path for path in paths if path not in found]
            if missing:
                answer = store.query(missing)
                found |= answer
                self._vouched |= dict.fromkeys(answer, number)
        return found

    def resolve_mentions(self, spelt: Collection[StorePath]) -> Mapping[StorePath, StorePath]:
        """Find the valid path that each of ``spelt`` means, in the first store that knows it."""
        found: dict[StorePath, StorePath] = {}
        for store in self._stores:
            found |= resolve_mentions(store, [path for path in spelt if path not in found])
        return found

    def nodes(self, path: StorePath) -> Iterable[Node]:
        """The contents of ``path``; raises the `NotFound` of the last store where none has them."""
        return self._first(path, lambda store: store.nodes(path))

    def place(self, path: StorePath) -> Place | None:
        """Where the contents of ``path`` lie, None where no store can say; raises `NotFound` as `nodes` does."""
        return self._first(path, lambda store: _place(store, path))

    def _first(self, path: StorePath, ask: Callable[[Store], _T]) -> _T:
        missing = NotFound(f"{path}: got no store, expected one to have its contents")
        for store in self._stores[self._vouched.get(path, 0) :]:
            try:
                return ask(store)
            except NotFound as error:
                missing = error
        raise missing

    def narinfo(self, path: StorePath) -> NarInfo | None:
        """What the store that vouched for ``path`` would say of it as a binary cache, None where it says no more."""
        store = self._stores[self._vouched.get(path, 0)]
        return store.narinfo(path) if isinstance(store, Described) else None

    def expect(self, paths: Iterable[StorePath]) -> None:
        """Has ``paths`` come from wherever they are, in that order."""
        wanted = tuple(paths)
        for store in self._stores:
            if isinstance(store, Arriving):
                store.expect(wanted)

    def is_here(self, path: StorePath) -> bool:
        """Whether nobody would wait for ``path``."""
        return all(store.is_here(path) for store in self._stores if isinstance(store, Arriving))

    def find(self, name: str) -> tuple[StorePath, ...]:
        """The paths of that name in the first store that has any."""
        for store in self._stores:
            found = store.find(name) if isinstance(store, Catalogue) else ()
            if found:
                return found
        return ()

    def hashes(self) -> Collection[str]:
        """The hashes of all paths that are known by name."""
        known = (store.hashes() for store in self._stores if isinstance(store, Catalogue))
        return frozenset().union(*known)

    def with_hashes(self, hashes: Collection[str]) -> tuple[StorePath, ...]:
        """The paths that begin with one of ``hashes``, from every store."""
        known = (store.with_hashes(hashes) for store in self._stores if isinstance(store, Catalogue))
        return tuple(dict.fromkeys(path for paths in known for path in paths))


def _place(store: Store, path: StorePath) -> Place | None:
    if isinstance(store, Located):
        return store.place(path)
    store.nodes(path)  # raises where it has none
    return None
