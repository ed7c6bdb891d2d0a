"""A store on this machine whose trees are known from before.

Invariant: what is remembered is of the same place and the same NAR hash; everything else the store itself is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from lamina.core.names import Digest, StorePath
from lamina.core.nodes import Node
from lamina.core.pathinfo import PathInfo
from lamina.formats.listing import Listing
from lamina.layer_cache.cache import Ledger
from lamina.stores.mentioned import resolve_mentions
from lamina.stores.protocols import Arriving, Catalogue, Located, Settling, Store
from lamina.system import locations


class _Machine(Store, Located, Catalogue, Protocol):
    """A store on this machine."""


def remembering(store: Store, ledger: Ledger) -> Store:
    """``store`` that walks no tree which ``ledger`` remembers; ``store`` itself where it is not on this machine."""
    if isinstance(store, Located) and isinstance(store, Catalogue):
        return Remembering(store, ledger)
    return store


class Remembering:
    """``store``, as far as ``ledger`` does not know better."""

    def __init__(self, store: _Machine, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger
        self._hashes: dict[StorePath, Digest] = {}
        self.place = store.place
        self._arriving = store if isinstance(store, Arriving) else None
        self.find = store.find
        self.hashes = store.hashes
        self.with_hashes = store.with_hashes

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        """What the store knows of ``paths``."""
        found = self._store.query(paths)
        self._hashes |= {path: info.nar_hash for path, info in found.items()}
        return found

    def resolve_mentions(self, spelt: Collection[StorePath]) -> Mapping[StorePath, StorePath]:
        """Find the valid path that each of ``spelt`` means."""
        return resolve_mentions(self._store, spelt)

    def settle(self, infos: Iterable[PathInfo]) -> bool:
        """Do what `Settling.settle` says, where the store can."""
        return isinstance(self._store, Settling) and self._store.settle(infos)

    def expect(self, paths: Iterable[StorePath]) -> None:
        """Has ``paths`` come, where the store has to have them come."""
        if self._arriving:
            self._arriving.expect(paths)

    def is_here(self, path: StorePath) -> bool:
        """Whether nobody would wait for ``path``."""
        return not self._arriving or self._arriving.is_here(path)

    def nodes(self, path: StorePath) -> Iterable[Node]:
        """What ``path`` is made of; raises as the store does."""
        if path not in self._hashes:
            self.query((path,))
        place, nar_hash = self._store.place(path), self._hashes.get(path)
        if place is None or nar_hash is None:
            return self._store.nodes(path)
        key = locations.name(place), nar_hash
        remembered = self._ledger.listings([key]).get(key)
        if remembered is None:
            return self._store.nodes(path)
        return locations.nodes(Listing.parse(remembered), place)
