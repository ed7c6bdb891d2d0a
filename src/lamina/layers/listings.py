"""Which files a layer of store paths is made of: what the ledger remembers, and what is left to be listed.

Invariant: what is remembered is of the same place and the same NAR hash; what is listed anew is learnt once the layer
is settled, by who opened the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable

from lamina.core.names import Digest
from lamina.formats.listing import Listing
from lamina.layer_cache.cache import Ledger
from lamina.layers.layer import StoreLayer
from lamina.layers.packed import ListedLayer, ListedPath
from lamina.system.locations import Place, name


class Survey:
    """Of ``layer``, whose store paths lie at ``places``; with ``anew`` nothing is remembered."""

    def __init__(self, layer: StoreLayer, places: Iterable[Place], ledger: Ledger, *, anew: bool) -> None:
        self._layer = layer
        self._places = tuple(places)
        self._tops = tuple(map(name, self._places))
        self._hashes: tuple[Digest, ...] = tuple(nar_hash for nar_hash, _ in layer.plan.nars)
        self._ledger = ledger
        remembered = {} if anew else ledger.listings(list(zip(self._tops, self._hashes, strict=False)))
        self._known = {top: Listing.parse(data) for (top, _), data in remembered.items()}
        self._new: dict[bytes, Listing] = {}

    @property
    def missing(self) -> list[Place]:
        """Where the store paths lie that have to be listed."""
        return [place for place, top in zip(self._places, self._tops, strict=True) if top not in self._known]

    def complete(self, listings: Iterable[Listing | None]) -> ListedLayer | None:
        """The layer, given the listings of what was `missing`; None where one of them is."""
        found = dict(zip(map(name, self.missing), listings, strict=True))
        self._new = {top: listing for top, listing in found.items() if listing is not None}
        known = self._known | self._new
        if len(known) < len(set(self._tops)):
            return None
        parts = (
            ListedPath(str(path).encode(), place, known[top])
            for path, place, top in zip(self._layer.paths, self._places, self._tops, strict=True)
        )
        return ListedLayer(tuple(parts), self._layer.owner, self._layer.mtime)

    def learn(self) -> None:
        """Has the ledger remember what was listed anew."""
        for top, nar_hash in zip(self._tops, self._hashes, strict=False):
            if top in self._new:
                self._ledger.learn_listing(top, nar_hash, self._new[top].dump())
        self._new = {}

    def forget(self) -> None:
        """Has the ledger forget what it remembered: the files are others."""
        for top, nar_hash in zip(self._tops, self._hashes, strict=False):
            self._ledger.forget_listing(top, nar_hash)


def surveyed(layer: StoreLayer, ledger: Ledger, *, anew: bool) -> Survey | None:
    """The survey of ``layer``, None where it does not lie on this machine. Raises `NotFound`."""
    if layer.place is None:
        return None
    places = [layer.place(path) for path in layer.paths]
    found = [place for place in places if place is not None]
    return Survey(layer, found, ledger, anew=anew) if len(found) == len(places) else None
