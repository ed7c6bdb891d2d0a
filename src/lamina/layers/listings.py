"""Which files a layer of store paths is made of: what the layer cache remembers, and what is left to be listed.

Invariant: what is remembered is of the same place and the same NAR hash; what is listed anew is learnt once the layer
is settled, by who opened the layer cache.
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
    """Of ``layer``, whose store paths lie at ``locations``; with ``ignore_cached`` nothing is remembered."""

    def __init__(
        self, layer: StoreLayer, locations: Iterable[Location], layer_cache: LayerCache, *, ignore_cached: bool
    ) -> None:
        self._layer = layer
        self._locations = tuple(locations)
        self._tops = tuple(map(disk_path, self._locations))
        self._hashes: tuple[Digest, ...] = tuple(nar_hash for nar_hash, _ in layer.plan.nars)
        self._layer_cache = layer_cache
        remembered = (
            {} if ignore_cached else layer_cache.get_listings(list(zip(self._tops, self._hashes, strict=False)))
        )
        self._known = {top: Listing.parse(data) for (top, _), data in remembered.items()}
        self._new: dict[bytes, Listing] = {}

    @property
    def missing(self) -> list[Location]:
        """Where the store paths lie that have to be listed."""
        return [location for location, top in zip(self._locations, self._tops, strict=True) if top not in self._known]

    def complete(self, listings: Iterable[Listing | None]) -> ListedLayer | None:
        """The layer, given the listings of what was `missing`; None where one of them is."""
        found = dict(zip(map(disk_path, self.missing), listings, strict=True))
        self._new = {top: listing for top, listing in found.items() if listing is not None}
        known = self._known | self._new
        if len(known) < len(set(self._tops)):
            return None
        parts = (
            ListedPath(str(path).encode(), location, known[top])
            for path, location, top in zip(self._layer.paths, self._locations, self._tops, strict=True)
        )
        return ListedLayer(tuple(parts), self._layer.owner, self._layer.mtime)

    def put(self) -> None:
        """Has the layer cache remember what was listed anew."""
        for top, nar_hash in zip(self._tops, self._hashes, strict=False):
            if top in self._new:
                self._layer_cache.put_listing(top, nar_hash, self._new[top].dump())
        self._new = {}

    def remove(self) -> None:
        """Has the layer cache forget what it remembered: the files are others."""
        for top, nar_hash in zip(self._tops, self._hashes, strict=False):
            self._layer_cache.remove_listing(top, nar_hash)


def find_listings(layer: StoreLayer, layer_cache: LayerCache, *, ignore_cached: bool) -> LayerListings | None:
    """The survey of ``layer``, None where it does not lie on this machine. Raises `NotFound`."""
    if layer.location is None:
        return None
    locations = [layer.location(path) for path in layer.paths]
    found = [location for location in locations if location is not None]
    return (
        LayerListings(layer, found, layer_cache, ignore_cached=ignore_cached) if len(found) == len(locations) else None
    )
