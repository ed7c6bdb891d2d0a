"""Layers on their way out, in order: listed ahead, hashed beside, and written once.

Invariant: what a layer turns out to be does not depend on what the layer cache knew, on how many processes worked, or
on which of them was done first; a layer is written as it was listed, or the run ends in `IntegrityError`.

A layer that the layer cache knows is written and not hashed. Of the others, a large image's are hashed by other
processes while this one writes, a small image's by a thread. How far the others are ahead is bounded, in bytes of
layers, so that a file is hashed and written while it is still in memory, and in bytes of listings, which are what
memory is needed for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lamina.core.nodes import Extent
from lamina.errors import IntegrityError
from lamina.layer_cache.cache import LayerCache
from lamina.layers import worker_tasks
from lamina.layers.context import BuildContext, LayerState
from lamina.layers.layer import FinishedLayer, Layer, LayerSource, StoreLayer
from lamina.layers.listings import LayerListings, find_listings
from lamina.layers.packed import ListedLayer, PackedLayer
from lamina.system.locations import list_location
from lamina.system.shared_memory import BufferRange, SharedBuffer
from lamina.system.transfer import BlobInfo, OnBytes, Write, copy, hash_pieces, transfer

if TYPE_CHECKING:  # a small image does without other processes
    from concurrent.futures import Future

    from lamina.layers.workers import RunTask, WorkerPool

# Listing comes first, for it is waited for; of what is to be hashed the largest, so that none is left alone at the end.
_LISTING, _HASHING = 0, 1
# More would wait for the writer.
_MAX_HASHING_WORKERS = 4
# Small layers are laid down by who hashes them, so that their files are opened once.
_MAX_BUFFERED, _BUFFER_SIZE, _PORTION = 12 << 20, 48 << 20, 1 << 20
_AHEAD = 1 << 30
_MAX_LISTED = 32 << 20


class LayerStream:
    """The layers of an image from the lowest up, each to be written once, in that order; a context manager."""

    def __init__(self, sources: Sequence[LayerSource], context: BuildContext) -> None:
        states = [LayerState(number, source, context) for number, source in enumerate(sources, 1)]
        self._jobs = [_LayerJob(state, context.layer_cache) for state in states]
        unknown = sum(state.estimated_size for state in states if state.known is None)
        helping = context.worker_count(unknown, _MAX_HASHING_WORKERS)
        self._buffer = _create_buffer() if helping else None
        self._pool = _start_pool(helping, self._buffer) if helping else None
        self._started = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool:
            self._pool.__exit__(kind, error, trace)
        if self._buffer:
            self._buffer.close()

    def __iter__(self) -> Iterator[PendingLayer]:
        """The layers; raises what listing them raises."""
        for number, job in enumerate(self._jobs):
            self._begin(number)
            yield PendingLayer(job, job.pack())

    def layers(self) -> tuple[Layer, ...]:
        """What they were, once all are written.

        Raises `IntegrityError` where one is not what it promised to be, or, with ``verify``, what the layer cache has.
        """
        return tuple(job.finish() for job in self._jobs)

    def _begin(self, current: int) -> None:
        """Begins with the ``current`` layer and with those that come soon, as far as there is anybody to do it."""
        ahead = listed = 0
        for number in range(current, len(self._jobs)):
            job = self._jobs[number]
            if number >= self._started:
                wanted = self._pool and ahead <= _AHEAD and listed <= _MAX_LISTED and job.is_local
                if number > current and not wanted:
                    return
                job.begin(self._pool, self._buffer)
                self._started = number + 1
            ahead += job.state.estimated_size
            listed += job.listing_memory


class PendingLayer:
    """A layer that is about to be written: its ``source``, and its ``size`` in bytes."""

    def __init__(self, job: _LayerJob, packed: PackedLayer) -> None:
        self.source = job.state.source
        self.size = packed.size
        self._job = job
        self._packed = packed

    def write(self, out: Write, step: OnBytes) -> None:
        """Writes it, telling ``step`` of each portion. Raises `IntegrityError` and whatever ``out`` raises."""
        self._job.write(self._packed, out, step)


class _LayerJob:
    """One layer on its way."""

    def __init__(self, state: LayerState, layer_cache: LayerCache) -> None:
        self.state = state
        self._layer_cache = layer_cache
        self._listings: LayerListings | None = None
        self._listing: Future[ListedLayer | None] | None = None
        self._ready: ListedLayer | None = None
        self._hashing: Future[BlobInfo] | None = None
        self._found: BlobInfo | None = None
        self._buffered: tuple[SharedBuffer, BufferRange] | None = None

    @property
    def is_local(self) -> bool:
        """Whether nobody would wait for its store paths."""
        source = self.state.source
        return not isinstance(source, StoreLayer) or source.is_local

    @property
    def listing_memory(self) -> int:
        """How much memory its listing takes, in bytes."""
        listed = self._listing.result() if self._listing and self._listing.done() else None
        return listed.memory_size if listed else 0

    def begin(self, pool: WorkerPool | None, buffer: SharedBuffer | None) -> None:
        """Has it listed, hashed by ``pool`` where that must be and can be, and laid in ``buffer`` where it is small."""
        state, source = self.state, self.state.source
        if isinstance(source, FinishedLayer) and pool:
            self._hashing = pool.submit(partial(_hash_content, source.tar), (_HASHING, -state.estimated_size))
        if not isinstance(source, StoreLayer):
            return
        listings = find_listings(source, self._layer_cache, ignore_cached=state.known is None)
        if listings and listings.missing and state.known:
            # Without a date to compare with, nothing would tell that a file was touched since.
            listings, state.known = find_listings(source, self._layer_cache, ignore_cached=True), None
        if listings and state.known is None and pool:
            self._listing = pool.submit(partial(self._list_and_hash, listings, pool, buffer), (_LISTING, state.number))
        elif listings:
            self._ready = listings.complete(map(list_location, listings.missing))
        self._listings = listings

    def _list_and_hash(
        self, listings: LayerListings, pool: WorkerPool, buffer: SharedBuffer | None, run_task: RunTask
    ) -> ListedLayer | None:
        """The listing, whose layer is hashed from here on, or was, for it lies in ``buffer``."""
        listed = listings.complete(worker_tasks.parse_listings(run_task(worker_tasks.listing_task(listings.missing))))
        if listed is None:
            return None
        if buffer and self.state.estimated_size <= _MAX_BUFFERED:
            size = listed.size()
            whole = listed.pack_with_size(size).size
            region = buffer.allocate(whole) if whole <= _MAX_BUFFERED else None
            if region:
                (self._found,) = worker_tasks.parse_blob_infos(run_task(worker_tasks.buffer_task(listed, size, region)))
                self._buffered = buffer, region
                return None
        self._hashing = pool.submit(partial(_hash_content, listed), (_HASHING, -self.state.estimated_size))
        return listed

    def pack(self) -> PackedLayer:
        """The layer; raises what listing it has raised."""
        listed = self._listing.result() if self._listing else self._ready
        self._listing = self._ready = None
        if self._buffered:
            return PackedLayer(self._buffered[1].size, iter(()))
        return listed.pack() if listed else self.state.source.pack()

    def write(self, packed: PackedLayer, out: Write, step: OnBytes) -> None:
        """Writes what `pack` gave."""
        if self._buffered:
            count = self._write_buffered(*self._buffered, out, step)
        elif self.state.known:
            count = self._write_known(self.state.known, packed, out, step)
        elif self._hashing:
            count = copy(packed.pieces, out, step)
        else:
            self._found = transfer(packed.pieces, with_progress(out, step))
            count = self._found.size
        if count != packed.size:
            raise IntegrityError(f"layer {self.state.number}: got {count} bytes, expected {packed.size}")
        if self._listings:
            self._listings.put()

    def _write_buffered(self, buffer: SharedBuffer, region: BufferRange, out: Write, step: OnBytes) -> int:
        with buffer.view(region) as view:
            for start in range(0, region.size, _PORTION):
                with view[start : start + _PORTION] as portion:
                    out(portion)
                    step(len(portion))
        buffer.free(region)
        return region.size

    def _write_known(self, known: BlobInfo, packed: PackedLayer, out: Write, step: OnBytes) -> int:
        """A file with another date than the layer cache remembers makes the layer one that is not known after all."""
        touched: set[Extent] = set()

        def on_mtime_change(extent: Extent) -> None:
            if not touched:
                touched.add(extent)

        try:
            count = copy(packed.pieces, out, step, on_mtime_change if self._listings else None)
        except IntegrityError as error:
            if not self._listings:
                raise
            self._listings.remove()
            hint = "run it again: what was known of the store path is forgotten"
            raise IntegrityError(str(error), hint=hint) from error
        self._found = self._rehash() if touched else known
        return count if self._found.size == packed.size else self._found.size

    def _rehash(self) -> BlobInfo:
        """What the layer is, listed again, so that the next run has the dates that its files have now."""
        source = self.state.source
        self._listings = (
            find_listings(source, self._layer_cache, ignore_cached=True) if isinstance(source, StoreLayer) else None
        )
        listed = self._listings.complete(map(list_location, self._listings.missing)) if self._listings else None
        return hash_pieces(listed.pack().pieces if listed else source.pack().pieces)

    def finish(self) -> Layer:
        """What it was; the layer cache learns it."""
        found = self._found or (self._hashing.result() if self._hashing else None)
        if found is None:
            raise ValueError(f"layer {self.state.number}: got it not written yet, expected it to be")
        return self.state.finish(found)


def _start_pool(size: int, buffer: SharedBuffer | None) -> WorkerPool:
    from lamina.layers.workers import WorkerPool

    return WorkerPool(size, (buffer.fd,) if buffer else ())


def _create_buffer() -> SharedBuffer | None:
    """None where the system has no such memory."""
    try:
        return SharedBuffer(_BUFFER_SIZE)
    except OSError:
        return None


def with_progress(write: Write, step: OnBytes) -> Write:
    """``write`` that tells ``step`` how far it is."""

    def watching(data: memoryview) -> None:
        write(data)
        step(len(data))

    return watching


def _hash_content(content: worker_tasks.LayerContent, run_task: RunTask) -> BlobInfo:
    (found,) = worker_tasks.parse_blob_infos(run_task(worker_tasks.hash_task(content)))
    return found
