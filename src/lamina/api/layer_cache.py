"""Verification of the layer cache: its entries are compared with the store paths.

Invariant: afterwards, every entry of a layer whose store paths are in the store is right; the entries of other layers
are unchanged.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest

from lamina.core.callbacks import ignore
from lamina.core.labels import shorten_digest, summarize_layer_paths
from lamina.core.names import Digest, StorePath
from lamina.core.nodes import Node
from lamina.core.progress import ABSENT, DAMAGED, INTACT, Progress, ProgressItem, Work
from lamina.errors import FormatError, IntegrityError, NotFound, Unavailable
from lamina.formats import nar
from lamina.formats.listing import Listing
from lamina.layer_cache.cache import LayerCache
from lamina.layer_cache.key import LayerInputs
from lamina.layering.plans import LayerPlan
from lamina.layers.layer import StoreLayer
from lamina.layers.packed import ListedLayer
from lamina.stores.store import Store
from lamina.system import locations
from lamina.system.progress_reporter import ProgressReporter
from lamina.system.transfer import BlobInfo, HashingWriter, OnBytes, Piece, copy

# The errors of store paths that cannot be packed. They are damage, not a reason to stop.
_FAULTS = (FormatError, IntegrityError, NotFound, Unavailable)


@dataclass(frozen=True, slots=True)
class DamagedLayer:
    """A layer that differs from its entry in the layer cache.

    Attributes:
        diff_id: the diff ID that the entry had.
        paths: the layer's store paths, in packing order.
        reason: what is wrong, as ``SUBJECT: got X, expected Y``.

    """

    diff_id: Digest
    paths: tuple[StorePath, ...]
    reason: str

    def __repr__(self) -> str:
        return f"<DamagedLayer {shorten_digest(self.diff_id)}: {summarize_layer_paths(self.paths)}: {self.reason}>"


@dataclass(frozen=True, slots=True)
class LayerCacheCheck:
    """The result of verifying a layer cache.

    Attributes:
        intact: the number of layers that are as recorded.
        absent: the number of layers with a store path that the store lacks.
        damaged: the layers that were wrong, and are removed from the layer cache.
        exists: whether there was a layer cache.
        warnings: messages about the layer cache and the stores.

    """

    intact: int = 0
    absent: int = 0
    damaged: tuple[DamagedLayer, ...] = ()
    exists: bool = True
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<LayerCacheCheck: {self.intact} intact, {self.absent} absent, {len(self.damaged)} damaged>"

    @property
    def layers(self) -> int:
        """The number of layers that the layer cache had."""
        return self.intact + self.absent + len(self.damaged)


def verify_layers(layer_cache: LayerCache, store: Store, progress: Progress | None = None) -> LayerCacheCheck:
    """Hash each layer of ``layer_cache`` whose paths are in ``store``, and each of these paths as Nix does.

    Entries that are wrong are removed from the layer cache. Raises `Unavailable` if the store could not be read.
    """
    verifier = _LayerVerifier(layer_cache, store, ProgressReporter(progress))
    intact = absent = 0
    damaged: list[DamagedLayer] = []
    for item, layer, inputs, recorded in verifier.begin():
        reason = verifier.verify_layer(item, layer, inputs, recorded)
        if reason is None:
            absent += 1
        elif reason:
            damaged.append(DamagedLayer(recorded.digest, inputs.paths, reason))
        else:
            intact += 1
    return LayerCacheCheck(intact, absent, tuple(damaged))


class _LayerVerifier:
    def __init__(self, layer_cache: LayerCache, store: Store, progress: Progress) -> None:
        self._layer_cache = layer_cache
        self._store = store
        self._progress = progress
        self._faults: dict[tuple[StorePath, Digest], str] = {}
        self._on_bytes: OnBytes = ignore

    def begin(self) -> Iterator[tuple[ProgressItem, StoreLayer, LayerInputs, BlobInfo]]:
        """Report which layers are in the layer cache, and yield them; report the end of the work after the last."""
        entries = tuple(self._layer_cache.entries())
        layers = [self._make_layer(inputs) for inputs, _ in entries]
        items = tuple(
            ProgressItem(number, recorded.size + layer.plan.nar_size, layer)
            for number, (layer, (_, recorded)) in enumerate(zip(layers, entries, strict=True), 1)
        )
        if not items:
            return
        self._progress.begin(Work("layer cache", items))
        for item, layer, (inputs, recorded) in zip(items, layers, entries, strict=True):
            yield item, layer, inputs, recorded
        self._progress.done()

    def _make_layer(self, inputs: LayerInputs) -> StoreLayer:
        nars = tuple((nar_hash, nar_size) for _, nar_hash, nar_size in inputs.contents)
        plan = LayerPlan(inputs.paths, "", nars)
        return _CheckedLayer(plan, self._store.nodes, inputs.owner, inputs.mtime, self._store.location)

    def verify_layer(
        self, item: ProgressItem, layer: StoreLayer, inputs: LayerInputs, recorded: BlobInfo
    ) -> str | None:
        """Check a layer, and remove it from the layer cache if it is damaged.

        Returns:
            What is wrong with the layer: empty if it is intact, None if the store lacks one of its paths.
        """
        reason = None
        if self._has_all_paths(inputs):
            self._progress.start(item)
            self._on_bytes = partial(self._progress.advance, item)
            reason = self._find_fault(layer, inputs, recorded)
        if reason and not self._has_all_paths(inputs):  # a path was deleted while it was read
            reason = None
        if reason:
            self._remove(inputs)
        outcome = ABSENT if reason is None else DAMAGED if reason else INTACT
        self._progress.finish(item, outcome, recorded.size)
        return reason

    def _has_all_paths(self, inputs: LayerInputs) -> bool:
        """Return whether the store has every path with its NAR hash; a path rebuilt to other bytes does not count."""
        infos = self._store.query(inputs.paths)
        return all(
            path in infos and infos[path].nar_hash == nar_hash and self._is_present(path)
            for path, nar_hash, _ in inputs.contents
        )

    def _is_present(self, path: StorePath) -> bool:
        try:
            if self._store.location(path) is None:
                next(iter(self._store.nodes(path)), None)
        except NotFound:
            return False
        return True

    def _find_fault(self, layer: StoreLayer, inputs: LayerInputs, recorded: BlobInfo) -> str:
        try:
            located = layer.locate_paths()
            listed = located.list_files() if located else None
            return (
                self._find_fault_in_paths(inputs, listed)
                or self._find_fault_in_tar(listed or layer, recorded)
                or self._find_fault_in_listings(inputs, listed)
            )
        except _FAULTS as error:
            return str(error)

    def _find_fault_in_paths(self, inputs: LayerInputs, listed: ListedLayer | None) -> str:
        for number, (path, nar_hash, _) in enumerate(inputs.contents):
            if (path, nar_hash) not in self._faults:
                part = listed.parts[number] if listed else None
                nodes = locations.iter_nodes(part.listing, part.location) if part else self._store.nodes(path)
                self._faults[path, nar_hash] = self._find_fault_in_path(path, nar_hash, nodes)
            if fault := self._faults[path, nar_hash]:
                return fault
        return ""

    def _find_fault_in_path(self, path: StorePath, nar_hash: Digest, nodes: Iterable[Node]) -> str:
        try:
            digest = self._hash(nar.dump(nodes)).digest
        except _FAULTS as error:
            return str(error)
        return "" if digest == nar_hash else f"{path}: got NAR hash {digest}, expected {nar_hash}"

    def _find_fault_in_tar(self, layer: ListedLayer | StoreLayer, recorded: BlobInfo) -> str:
        tar = self._hash(layer.pack().pieces)
        if tar.digest != recorded.digest:
            return f"tar: got {tar.digest}, expected {recorded.digest}"
        return "" if tar.size == recorded.size else f"tar: got {tar.size} bytes, expected {recorded.size}"

    def _hash(self, pieces: Iterable[Piece]) -> BlobInfo:
        writer = HashingWriter(ignore)
        copy(pieces, writer, self._on_bytes)
        return writer.blob_info

    def _find_fault_in_listings(self, inputs: LayerInputs, listed: ListedLayer | None) -> str:
        """Return what is wrong with the layer cache's listings; if only dates differ, store the new ones."""
        parts = zip(inputs.contents, listed.parts, strict=True) if listed else ()
        present = {
            (locations.disk_path(part.location), nar_hash): (path, part.listing) for (path, nar_hash, _), part in parts
        }
        for location, data in self._layer_cache.get_listings(present).items():
            path, listing = present[location]
            if not _equal_except_dates(Listing.parse(data), listing):
                return f"{path}: got other files in the layer cache, expected those that are there"
            if data != listing.dump():
                self._layer_cache.put_listing(*location, listing.dump())
        return ""

    def _remove(self, inputs: LayerInputs) -> None:
        self._layer_cache.remove_layer(inputs)
        for path, nar_hash, _ in inputs.contents:
            with contextlib.suppress(NotFound):
                if location := self._store.location(path):
                    self._layer_cache.remove_listing(locations.disk_path(location), nar_hash)


class _CheckedLayer(StoreLayer):
    __slots__ = ()

    def headline(self, number: int) -> str:
        return f"Checking layer {number} of paths: {list(map(str, self.paths))}"


def _equal_except_dates(one: Listing, other: Listing) -> bool:
    """Return whether the listings are equal except for dates."""
    return all(a and b and a[:4] == b[:4] for a, b in zip_longest(one, other))
