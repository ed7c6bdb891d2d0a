"""The ledger rechecked: what it knows of layers is compared with what the store has.

Invariant: afterwards the ledger has nothing of a layer whose store paths are here but what was found to be true, and
what could not be looked at it has as before.
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
from lamina.images.progress import Progress, Silence
from lamina.layer_cache.cache import Ledger
from lamina.layer_cache.key import Recipe
from lamina.layering.plans import LayerPlan
from lamina.layers.layer import StoreLayer
from lamina.layers.listings import surveyed
from lamina.layers.packed import ListedLayer
from lamina.stores.protocols import Located, Store
from lamina.system import locations
from lamina.system.locations import Place, list_place
from lamina.system.transfer import Measure, Piece, Tally, copy

# What is wrong with store paths that cannot be packed.
_FAULTS = (FormatError, IntegrityError, NotFound, Unavailable)


@dataclass(frozen=True, slots=True)
class DamagedLayer:
    """A layer that is not what the ledger had: its diff ID as it stood there, its store paths in packing order, and
    what is wrong, as ``SUBJECT: got X, expected Y``.
    """

    diff_id: Digest
    paths: tuple[StorePath, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What became of rechecking a ledger.

    So many of its layers were ``intact``, so many ``absent``, for a store path of theirs is not here, the others
    ``damaged``. ``exists`` is whether there was a ledger; ``warnings`` is what was odd about it.
    """

    intact: int = 0
    absent: int = 0
    damaged: tuple[DamagedLayer, ...] = ()
    exists: bool = True
    warnings: tuple[str, ...] = ()

    @property
    def layers(self) -> int:
        """How many the ledger had."""
        return self.intact + self.absent + len(self.damaged)


def verify(ledger: Ledger, store: Store, progress: Progress | None = None) -> Verified:
    """Hashes each layer of ``ledger`` whose paths are in ``store``, and each of these paths, as Nix does; what turns
    out to be wrong the ledger forgets.

    Raises `Unavailable` for a store that cannot be asked.
    """
    check = _Check(ledger, store, progress or Silence())
    intact = absent = 0
    damaged: list[DamagedLayer] = []
    for number, (recipe, known) in enumerate(check.entries(), 1):
        reason = check.layer(number, recipe, known)
        if reason is None:
            absent += 1
        elif reason:
            damaged.append(DamagedLayer(known.digest, recipe.paths, reason))
        else:
            intact += 1
    return Verified(intact, absent, tuple(damaged))


class _Check:
    def __init__(self, ledger: Ledger, store: Store, watcher: Progress) -> None:
        self._ledger = ledger
        self._store = store
        self._place_of = store.place if isinstance(store, Located) else None
        self._watcher = watcher
        self._faults: dict[tuple[StorePath, Digest], str] = {}

    def entries(self) -> Iterator[tuple[Recipe, Measure]]:
        """All layers of the ledger, once it was said how many there are."""
        count = sum(1 for _ in self._ledger.entries())
        if count:
            self._watcher.begin(count, count)
        return self._ledger.entries()

    def layer(self, number: int, recipe: Recipe, known: Measure) -> str | None:
        """What was wrong with a layer, and is forgotten now; nothing where nothing was, None where it is not here."""
        reason = self._fault(number, recipe, known) if self._is_here(recipe) else None
        if reason and not self._is_here(recipe):  # a path may go while it is read
            return None
        if reason:
            self._forget(recipe)
        return reason

    def _is_here(self, recipe: Recipe) -> bool:
        """Whether the store has all paths; one that was built anew with other bytes it has not."""
        infos = self._store.query(recipe.paths)
        return all(
            path in infos and infos[path].nar_hash == nar_hash and self._lies_here(path)
            for path, nar_hash, _ in recipe.contents
        )

    def _lies_here(self, path: StorePath) -> bool:
        try:
            if self._place(path) is None:
                next(iter(self._store.nodes(path)), None)
        except NotFound:
            return False
        return True

    def _place(self, path: StorePath) -> Place | None:
        return self._place_of(path) if self._place_of else None

    def _fault(self, number: int, recipe: Recipe, known: Measure) -> str:
        nars = tuple((nar_hash, nar_size) for _, nar_hash, nar_size in recipe.contents)
        plan = LayerPlan(recipe.paths, "", nars)
        layer = _CheckedLayer(plan, self._store.nodes, recipe.owner, recipe.mtime, self._place_of)
        unread = (size for path, nar_hash, size in recipe.contents if (path, nar_hash) not in self._faults)
        self._watcher.layer(number, layer, known.size + sum(unread))
        try:
            survey = surveyed(layer, self._ledger, anew=True)
            listed = survey.complete(map(list_place, survey.missing)) if survey else None
            return (
                self._fault_of_paths(recipe, listed)
                or self._fault_of_layer(listed or layer, known)
                or self._fault_of_listings(recipe, listed)
            )
        except _FAULTS as error:
            return str(error)

    def _fault_of_paths(self, recipe: Recipe, listed: ListedLayer | None) -> str:
        for number, (path, nar_hash, _) in enumerate(recipe.contents):
            if (path, nar_hash) not in self._faults:
                part = listed.parts[number] if listed else None
                nodes = locations.nodes(part.listing, part.place) if part else self._store.nodes(path)
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

    def _fault_of_layer(self, layer: ListedLayer | StoreLayer, known: Measure) -> str:
        found = self._measure(layer.pack().pieces)
        if found.digest != known.digest:
            return f"tar: got {found.digest}, expected {known.digest}"
        return "" if found.size == known.size else f"tar: got {found.size} bytes, expected {known.size}"

    def _measure(self, pieces: Iterable[Piece]) -> Measure:
        tally = Tally(len)
        copy(pieces, tally, self._watcher.advance)
        return tally.measure

    def _fault_of_listings(self, recipe: Recipe, listed: ListedLayer | None) -> str:
        """What is wrong with the listings that the ledger has; where only dates are, it learns those that there are."""
        parts = zip(recipe.contents, listed.parts, strict=True) if listed else ()
        found = {(locations.name(part.place), nar_hash): (path, part.listing) for (path, nar_hash, _), part in parts}
        for place, data in self._ledger.listings(found).items():
            path, listing = found[place]
            if not _is_alike(Listing.parse(data), listing):
                return f"{path}: got other files in the ledger, expected those that are there"
            if data != listing.dump():
                self._ledger.learn_listing(*place, listing.dump())
        return ""

    def _forget(self, recipe: Recipe) -> None:
        self._ledger.forget_layer(recipe)
        for path, nar_hash, _ in recipe.contents:
            with contextlib.suppress(NotFound):
                if place := self._place(path):
                    self._ledger.forget_listing(locations.name(place), nar_hash)


class _CheckedLayer(StoreLayer):
    __slots__ = ()

    def headline(self, number: int) -> str:
        return f"Checking layer {number} of paths: {list(map(str, self.paths))}"


def _is_alike(one: Listing, other: Listing) -> bool:
    """Whether they differ in dates at most."""
    return all(a and b and (a[:3], a[4]) == (b[:3], b[4]) for a, b in zip_longest(one, other))
