"""The file listings of a layer of store paths: those from the layer cache, and those that have to be made.

Invariant: a cached listing is used only for a store path at the same location and with the same NAR hash.

New listings go into the layer cache once the layer has been written, and in the process that opened the cache: worker
processes return listings and never open it.
"""

from __future__ import annotations

from collections.abc import Iterable

from lamina.core.names import Digest
from lamina.formats.listing import Listing
from lamina.layer_cache.cache import LayerCache
from lamina.layers.layer import StoreLayer
from lamina.layers.packed import ListedLayer, ListedPath
from lamina.system.locations import Location, disk_path


class LayerListings:
    """The listings of ``layer``, whose store paths lie at ``locations``.

    With ``ignore_cached``, no listing comes from the layer cache.
    """

    def __init__(
        self, layer: StoreLayer, locations: Iterable[Location], layer_cache: LayerCache, *, ignore_cached: bool
    ) -> None:
        self._layer = layer
        self._locations = tuple(locations)
        self._tops = tuple(map(disk_path, self._locations))
        self._hashes: tuple[Digest, ...] = tuple(nar_hash for nar_hash, _ in layer.plan.nars)
        self._layer_cache = layer_cache
        cached = {} if ignore_cached else layer_cache.get_listings(list(zip(self._tops, self._hashes, strict=False)))
        self._known = {top: Listing.parse(data) for (top, _), data in cached.items()}
        self._new: dict[bytes, Listing] = {}

    @property
    def missing(self) -> list[Location]:
        """The locations of the store paths that have to be listed, in packing order."""
        return [location for location, top in zip(self._locations, self._tops, strict=True) if top not in self._known]

    def complete(self, listings: Iterable[Listing | None]) -> ListedLayer | None:
        """Return the layer, given the listings of the `missing` locations; None if one of those is None."""
        by_top = dict(zip(map(disk_path, self.missing), listings, strict=True))
        self._new = {top: listing for top, listing in by_top.items() if listing is not None}
        known = self._known | self._new
        if len(known) < len(set(self._tops)):
            return None
        parts = (
            ListedPath(str(path).encode(), location, known[top])
            for path, location, top in zip(self._layer.paths, self._locations, self._tops, strict=True)
        )
        return ListedLayer(tuple(parts), self._layer.owner, self._layer.mtime)

    def put(self) -> None:
        """Put the new listings into the layer cache."""
        for top, nar_hash in zip(self._tops, self._hashes, strict=False):
            if top in self._new:
                self._layer_cache.put_listing(top, nar_hash, self._new[top].dump())
        self._new = {}

    def remove(self) -> None:
        """Remove the layer's listings from the layer cache, because the files on disk have changed."""
        for top, nar_hash in zip(self._tops, self._hashes, strict=False):
            self._layer_cache.remove_listing(top, nar_hash)


def find_listings(layer: StoreLayer, layer_cache: LayerCache, *, ignore_cached: bool) -> LayerListings | None:
    """Return the listings of ``layer``; None if one of its store paths is not on this machine.

    Raises `NotFound` if a store path has disappeared.
    """
    if layer.locate is None:
        return None
    located = list(map(layer.locate, layer.paths))
    locations = [location for location in located if location is not None]
    if len(locations) < len(located):
        return None
    return LayerListings(layer, locations, layer_cache, ignore_cached=ignore_cached)
