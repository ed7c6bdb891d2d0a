"""A store on this machine whose directory listings come from the layer cache.

Invariant: a cached listing is used only for the same location and the same NAR hash; otherwise the store is read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from lamina.core.names import Digest, StorePath
from lamina.core.nodes import Node
from lamina.core.pathinfo import PathInfo
from lamina.formats.listing import Listing
from lamina.layer_cache.cache import LayerCache
from lamina.stores.store import Store, WrappedStore
from lamina.system import locations


class CachedStore(WrappedStore):
    """Wraps ``store`` and takes listings from ``layer_cache``, if it has them, for paths with a location."""

    def __init__(self, store: Store, layer_cache: LayerCache) -> None:
        super().__init__(store)
        self._layer_cache = layer_cache
        self._hashes: dict[StorePath, Digest] = {}

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        """Return the path infos that the store has of ``paths``."""
        found = self._store.query(paths)
        self._hashes |= {path: info.nar_hash for path, info in found.items()}
        return found

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
