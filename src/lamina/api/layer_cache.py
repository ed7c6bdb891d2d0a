"""The layer cache rechecked: what it knows of layers is compared with what the store has.

Invariant: afterwards the layer cache has nothing of a layer whose store paths are here but what was found to be true,
and what could not be looked at it has as before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

from lamina.core.names import Digest, StorePath
from lamina.core.nodes import Node
from lamina.errors import FormatError, IntegrityError, NotFound, Unavailable
from lamina.formats import nar
from lamina.formats.listing import Listing
from lamina.images.progress import NoProgress, Progress
from lamina.layer_cache.cache import LayerCache
from lamina.layer_cache.key import LayerInputs
from lamina.layering.plans import LayerPlan
from lamina.layers.layer import StoreLayer
from lamina.layers.listings import find_listings
from lamina.layers.packed import ListedLayer
from lamina.stores.protocols import HasLocation, Store
from lamina.system import locations
from lamina.system.locations import Location, list_location
from lamina.system.transfer import BlobInfo, HashingWriter, Piece, copy

# What is wrong with store paths that cannot be packed.
_FAULTS = (FormatError, IntegrityError, NotFound, Unavailable)


@dataclass(frozen=True, slots=True)
class DamagedLayer:
    """A layer that is not what the layer cache had: its diff ID as it stood there, its store paths in packing order,
    and what is wrong, as ``SUBJECT: got X, expected Y``.
    """

    diff_id: Digest
    paths: tuple[StorePath, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class LayerCacheCheck:
    """What became of rechecking a layer cache.

    So many of its layers were ``intact``, so many ``absent``, for a store path of theirs is not here, the others
    ``damaged``. ``exists`` is whether there was a layer cache; ``warnings`` is what was odd about it.
    """

    intact: int = 0
    absent: int = 0
    damaged: tuple[DamagedLayer, ...] = ()
    exists: bool = True
    warnings: tuple[str, ...] = ()

    @property
    def layers(self) -> int:
        """How many the layer cache had."""
        return self.intact + self.absent + len(self.damaged)


def verify(layer_cache: LayerCache, store: Store, progress: Progress | None = None) -> LayerCacheCheck:
    """Hashes each layer of ``layer_cache`` whose paths are in ``store``, and each of these paths, as Nix does; what
    turns out to be wrong the layer cache forgets.

    Raises `Unavailable` for a store that cannot be asked.
    """
    check = _Check(layer_cache, store, progress or NoProgress())
    intact = absent = 0
    damaged: list[DamagedLayer] = []
    for number, (inputs, recorded) in enumerate(check.entries(), 1):
        reason = check.layer(number, inputs, recorded)
        if reason is None:
            absent += 1
        elif reason:
            damaged.append(DamagedLayer(recorded.digest, inputs.paths, reason))
        else:
            intact += 1
    return LayerCacheCheck(intact, absent, tuple(damaged))


class _Check:
    def __init__(self, layer_cache: LayerCache, store: Store, progress: Progress) -> None:
        self._layer_cache = layer_cache
        self._store = store
        self._location = store.location if isinstance(store, HasLocation) else None
        self._progress = progress
        self._faults: dict[tuple[StorePath, Digest], str] = {}

    def entries(self) -> Iterator[tuple[LayerInputs, BlobInfo]]:
        """All layers of the layer cache, once it was said how many there are."""
        count = sum(1 for _ in self._layer_cache.entries())
        if count:
            self._progress.begin(count, count)
        return self._layer_cache.entries()

    def layer(self, number: int, inputs: LayerInputs, recorded: BlobInfo) -> str | None:
        """What was wrong with a layer, and is forgotten now; nothing where nothing was, None where it is not here."""
        reason = self._fault(number, inputs, recorded) if self._has_all_paths(inputs) else None
        if reason and not self._has_all_paths(inputs):  # a path may go while it is read
            return None
        if reason:
            self._remove(inputs)
        return reason

    def _has_all_paths(self, inputs: LayerInputs) -> bool:
        """Whether the store has all paths; one that was built anew with other bytes it has not."""
        infos = self._store.query(inputs.paths)
        return all(
            path in infos and infos[path].nar_hash == nar_hash and self._is_present(path)
            for path, nar_hash, _ in inputs.contents
        )

    def _is_present(self, path: StorePath) -> bool:
        try:
            if self._find_location(path) is None:
                next(iter(self._store.nodes(path)), None)
        except NotFound:
            return False
        return True

    def _find_location(self, path: StorePath) -> Location | None:
        return self._location(path) if self._location else None

    def _fault(self, number: int, inputs: LayerInputs, recorded: BlobInfo) -> str:
        nars = tuple((nar_hash, nar_size) for _, nar_hash, nar_size in inputs.contents)
        plan = LayerPlan(inputs.paths, "", nars)
        layer = _CheckedLayer(plan, self._store.nodes, inputs.owner, inputs.mtime, self._location)
        unread = (size for path, nar_hash, size in inputs.contents if (path, nar_hash) not in self._faults)
        self._progress.layer(number, layer, recorded.size + sum(unread))
        try:
            listings = find_listings(layer, self._layer_cache, ignore_cached=True)
            listed = listings.complete(map(list_location, listings.missing)) if listings else None
            return (
                self._fault_of_paths(inputs, listed)
                or self._fault_of_layer(listed or layer, recorded)
                or self._fault_of_listings(inputs, listed)
            )
        except _FAULTS as error:
            return str(error)

    def _fault_of_paths(self, inputs: LayerInputs, listed: ListedLayer | None) -> str:
        for number, (path, nar_hash, _) in enumerate(inputs.contents):
            if (path, nar_hash) not in self._faults:
                part = listed.parts[number] if listed else None
                nodes = locations.nodes(part.listing, part.location) if part else self._store.nodes(path)
                self._faults[path, nar_hash] = self._fault_of_path(path, nar_hash, nodes)
            if fault := self._faults[path, nar_hash]:
                return fault
        return ""

    def _fault_of_path(self, path: StorePath, nar_hash: Digest, nodes: Iterable[Node]) -> str:
        try:
            found = self._measure(nar.dump(nodes)).digest
        except _FAULTS as error:
            return str(error)
        return "" if found == nar_hash else f"{path}: got NAR hash {found}, expected {nar_hash}"

    def _fault_of_layer(self, layer: ListedLayer | StoreLayer, recorded: BlobInfo) -> str:
        found = self._measure(layer.pack().pieces)
        if found.digest != recorded.digest:
            return f"tar: got {found.digest}, expected {recorded.digest}"
        return "" if found.size == recorded.size else f"tar: got {found.size} bytes, expected {recorded.size}"

    def _measure(self, pieces: Iterable[Piece]) -> BlobInfo:
        tally = HashingWriter(len)
        copy(pieces, tally, self._progress.advance)
        return tally.blob_info

    def _fault_of_listings(self, inputs: LayerInputs, listed: ListedLayer | None) -> str:
        """What is wrong with the listings that the layer cache has; where only dates are, it learns those that there
        are.
        """
        parts = zip(inputs.contents, listed.parts, strict=True) if listed else ()
        found = {
            (locations.disk_path(part.location), nar_hash): (path, part.listing) for (path, nar_hash, _), part in parts
        }
        for location, data in self._layer_cache.get_listings(found).items():
            path, listing = found[location]
            if not _equal_except_dates(Listing.parse(data), listing):
                return f"{path}: got other files in the layer cache, expected those that are there"
            if data != listing.dump():
                self._layer_cache.put_listing(*location, listing.dump())
        return ""

    def _remove(self, inputs: LayerInputs) -> None:
        self._layer_cache.remove_layer(inputs)
        for path, nar_hash, _ in inputs.contents:
            with contextlib.suppress(NotFound):
                if location := self._find_location(path):
                    self._layer_cache.remove_listing(locations.disk_path(location), nar_hash)


class _CheckedLayer(StoreLayer):
    __slots__ = ()

    def headline(self, number: int) -> str:
        return f"Checking layer {number} of paths: {list(map(str, self.paths))}"


def _equal_except_dates(one: Listing, other: Listing) -> bool:
    """Whether they differ in dates at most."""
    return all(a and b and (a[:3], a[4]) == (b[:3], b[4]) for a, b in zip_longest(one, other))
