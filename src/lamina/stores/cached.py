"""A store on this machine whose directory listings come from the layer cache.

Invariant: a cached listing is used only for the same location and the same NAR hash; otherwise the store is read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from lamina.core.names import Digest, StorePath
from lamina.core.nodes import Node
from lamina.core.pathinfo import PathInfo
from lamina.formats.listing import Listing
from lamina.layer_cache.cache import LayerCache
from lamina.stores.mention_lookup import resolve_mentions
from lamina.stores.protocols import CanConfirmSources, CanPrefetch, HasLocation, PathIndex, Store
from lamina.system import locations


class _MachineStore(Store, HasLocation, PathIndex, Protocol):
    """A store on this machine: its paths have a location and an index."""


def with_layer_cache(store: Store, layer_cache: LayerCache) -> Store:
    """Return ``store``, wrapped so that trees listed in ``layer_cache`` are not walked; unchanged if it is remote."""
    if isinstance(store, HasLocation) and isinstance(store, PathIndex):
        return CachedStore(store, layer_cache)
    return store


class CachedStore:
    """Wraps ``store`` and takes the listings of its paths from ``layer_cache`` where that has them."""

    def __init__(self, store: _MachineStore, layer_cache: LayerCache) -> None:
        self._store = store
        self._layer_cache = layer_cache
        self._hashes: dict[StorePath, Digest] = {}
        self.location = store.location
        self._prefetcher = store if isinstance(store, CanPrefetch) else None
        self.find = store.find
        self.hashes = store.hashes
        self.with_hashes = store.with_hashes

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        """Return the path infos that the store has of ``paths``."""
        found = self._store.query(paths)
        self._hashes |= {path: info.nar_hash for path, info in found.items()}
        return found

    def resolve_mentions(self, mentions: Collection[StorePath]) -> Mapping[StorePath, StorePath]:
        """Find the valid path that each of ``mentions`` means."""
        return resolve_mentions(self._store, mentions)

    def confirm_sources(self, infos: Iterable[PathInfo]) -> bool:
        """Call `CanConfirmSources.confirm_sources` of the store; return False if the store does not have it."""
        return isinstance(self._store, CanConfirmSources) and self._store.confirm_sources(infos)

    def prefetch(self, paths: Iterable[StorePath]) -> None:
        """Begin to download ``paths``, if the store downloads paths at all."""
        if self._prefetcher:
            self._prefetcher.prefetch(paths)

    def is_local(self, path: StorePath) -> bool:
        """Return whether ``path`` can be read without waiting for a download."""
        return not self._prefetcher or self._prefetcher.is_local(path)

    def nodes(self, path: StorePath) -> Iterable[Node]:
        """Return the nodes of ``path``; raises what the store raises."""
        if path not in self._hashes:
            self.query((path,))
        location, nar_hash = self._store.location(path), self._hashes.get(path)
        if location is None or nar_hash is None:
            return self._store.nodes(path)
        key = locations.disk_path(location), nar_hash
        listing = self._layer_cache.get_listings([key]).get(key)
        if listing is None:
            return self._store.nodes(path)
        return locations.iter_nodes(Listing.parse(listing), location)
