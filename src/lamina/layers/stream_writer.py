"""Write the layers of an image to a stream, in order: list them ahead, hash them in parallel, write each once.

Invariant: a layer's digest does not depend on the contents of the layer cache, on the number of worker processes or on
the order in which they finish. A layer is written exactly as it was listed, or the run ends in `IntegrityError`.

A layer that the layer cache knows is written without being hashed. The other layers of a large image are hashed by
worker processes while this process writes; those of a small image are hashed by a thread. Two limits bound how far the
workers run ahead: the bytes of layers, so that a file is hashed and written while it is still in the page cache, and
the bytes of listings, because those are what takes memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import starmap, zip_longest
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
from lamina.system.extents import check_mtime
from lamina.system.locations import list_location
from lamina.system.shared_memory import BufferRange, SharedBuffer
from lamina.system.transfer import BlobInfo, OnBytes, Piece, Write, copy, hash_pieces, transfer

if TYPE_CHECKING:  # small images need no worker processes, so the module is imported on demand
    from concurrent.futures import Future

    from lamina.layers.workers import RunTask, WorkerPool

# Listing comes first, because the writer waits for it. Among the layers to be hashed, the largest comes first, so that
# no large one is left for the end.
_LISTING_PRIORITY, _HASHING_PRIORITY = 0, 1
# With more workers than this, the writer is the bottleneck.
_MAX_HASHING_WORKERS = 4
# The worker that hashes a small layer also copies it to the shared buffer, so that its files are opened only once.
_MAX_BUFFERED, _BUFFER_SIZE, _PORTION = 12 << 20, 48 << 20, 1 << 20
# How far listing and hashing may run ahead of the writer: bytes of layers, and bytes of memory for their listings.
_MAX_AHEAD = 1 << 30
_MAX_LISTED = 32 << 20


class LayerStream:
    """An iterator over the layers of an image, lowest first; a context manager.

    Each layer has to be written once, before the next one is taken.
    """

    def __init__(self, sources: Sequence[LayerSource], context: BuildContext) -> None:
        states = [LayerState(number, source, context) for number, source in enumerate(sources, 1)]
        self._jobs = [_LayerJob(state, context.layer_cache) for state in states]
        unknown_size = sum(state.estimated_size for state in states if state.known is None)
        worker_count = context.worker_count(unknown_size, _MAX_HASHING_WORKERS)
        self._buffer = _create_buffer() if worker_count else None
        self._pool = _start_pool(worker_count, self._buffer) if worker_count else None
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
        """Yield the layers. Raises whatever listing them raises."""
        for number, job in enumerate(self._jobs):
            self._start_jobs(number)
            yield PendingLayer(job, job.pack())

    def layers(self) -> tuple[Layer, ...]:
        """Return the layers with their digests, once all are written.

        Raises `IntegrityError` if a digest is not the one that the source expects, or, with ``verify``, not the one in
        the layer cache.
        """
        return tuple(job.finish() for job in self._jobs)

    def _start_jobs(self, current: int) -> None:
        """Start the job of the ``current`` layer and, with a worker pool, those of the next ones, up to a limit."""
        ahead = listed = 0
        for number in range(current, len(self._jobs)):
            job = self._jobs[number]
            if number >= self._started:
                wanted = self._pool and ahead <= _MAX_AHEAD and listed <= _MAX_LISTED and job.is_local
                if number > current and not wanted:
                    return
                job.start(self._pool, self._buffer)
                self._started = number + 1
            ahead += job.state.estimated_size
            listed += job.listing_memory


class PendingLayer:
    """A layer that is ready to be written: its ``source``, and its ``size`` in bytes."""

    def __init__(self, job: _LayerJob, packed: PackedLayer) -> None:
        self.source = job.state.source
        self.size = packed.size
        self._job = job
        self._packed = packed

    def write(self, out: Write, on_bytes: OnBytes) -> None:
        """Write the layer and report the size of each portion to ``on_bytes``.

        Raises `IntegrityError` if a file has changed since it was listed, and whatever ``out`` raises.
        """
        self._job.write(self._packed, out, on_bytes)


class _LayerJob:
    """The listing, hashing and writing of one layer."""

    def __init__(self, state: LayerState, layer_cache: LayerCache) -> None:
        self.state = state
        self._layer_cache = layer_cache
        self._listings: LayerListings | None = None
        self._listing_future: Future[ListedLayer | None] | None = None
        self._listed: ListedLayer | None = None
        self._written: ListedLayer | None = None
        self._hashing_future: Future[BlobInfo] | None = None
        self._blob_info: BlobInfo | None = None
        self._buffered: tuple[SharedBuffer, BufferRange] | None = None

    @property
    def is_local(self) -> bool:
        """Whether its store paths can be read without waiting for a download."""
        source = self.state.source
        return not isinstance(source, StoreLayer) or source.is_local

    @property
    def listing_memory(self) -> int:
        """The memory that its listing takes, in bytes; 0 until it is listed."""
        future = self._listing_future
        listed = future.result() if future and future.done() else None
        return listed.memory_size if listed else 0

    def start(self, pool: WorkerPool | None, buffer: SharedBuffer | None) -> None:
        """List the layer's files, and submit the hashing to ``pool`` if its digest is unknown.

        A small layer is also copied to ``buffer`` by the worker that hashes it.
        """
        state, source = self.state, self.state.source
        if isinstance(source, FinishedLayer) and pool:
            self._hashing_future = pool.submit(
                partial(_hash_content, source.tar), (_HASHING_PRIORITY, -state.estimated_size)
            )
        if not isinstance(source, StoreLayer):
            return
        listings = find_listings(source, self._layer_cache, ignore_cached=state.known is None)
        if listings and listings.missing and state.known:
            # Without cached modification times there is no way to tell whether a file has changed since it was hashed.
            listings, state.known = find_listings(source, self._layer_cache, ignore_cached=True), None
        if listings and state.known is None and pool:
            self._listing_future = pool.submit(
                partial(self._list_and_hash, listings, pool, buffer), (_LISTING_PRIORITY, state.number)
            )
        elif listings:
            self._listed = listings.complete(map(list_location, listings.missing))
        self._listings = listings

    def _list_and_hash(
        self, listings: LayerListings, pool: WorkerPool, buffer: SharedBuffer | None, run_task: RunTask
    ) -> ListedLayer | None:
        """List the layer in a worker and have it hashed.

        Returns the listed layer, whose hashing has been submitted. Returns None if the layer is already hashed and in
        ``buffer``, or if it could not be listed.
        """
        listed = listings.complete(worker_tasks.parse_listings(run_task(worker_tasks.listing_task(listings.missing))))
        if listed is None:
            return None
        if buffer and self.state.estimated_size <= _MAX_BUFFERED:
            size = listed.size()
            tar_size = listed.pack_with_size(size).size
            region = buffer.allocate(tar_size) if tar_size <= _MAX_BUFFERED else None
            if region:
                task = worker_tasks.buffer_task(listed, size, region)
                (self._blob_info,) = worker_tasks.parse_blob_infos(run_task(task))
                self._buffered = buffer, region
                return None
        self._hashing_future = pool.submit(
            partial(_hash_content, listed), (_HASHING_PRIORITY, -self.state.estimated_size)
        )
        return listed

    def pack(self) -> PackedLayer:
        """Wait for the listing and pack the layer. Raises whatever listing it has raised."""
        listed = self._listing_future.result() if self._listing_future else self._listed
        self._listing_future = self._listed = None
        self._written = listed if self.state.known else None
        if self._buffered:
            return PackedLayer(self._buffered[1].size, iter(()))
        return listed.pack() if listed else self.state.source.pack()

    def write(self, packed: PackedLayer, out: Write, on_bytes: OnBytes) -> None:
        """Write the layer that `pack` returned."""
        if self._buffered:
            count = self._write_buffered(*self._buffered, out, on_bytes)
        elif self.state.known:
            count = self._write_known(self.state.known, packed, out, on_bytes)
        elif self._hashing_future:
            count = copy(packed.pieces, out, on_bytes)
        else:
            self._blob_info = transfer(packed.pieces, add_progress(out, on_bytes))
            count = self._blob_info.size
        self._check_size(count, packed)
        if self._listings:
            self._listings.put()
        self._written = None  # frees the memory of the listing

    def _check_size(self, size: int, packed: PackedLayer) -> None:
        if size != packed.size:
            raise IntegrityError(f"layer {self.state.number}", got=f"{size} bytes", expected=packed.size)

    def _write_buffered(self, buffer: SharedBuffer, region: BufferRange, out: Write, on_bytes: OnBytes) -> int:
        with buffer.view(region) as view:
            for start in range(0, region.size, _PORTION):
                with view[start : start + _PORTION] as portion:
                    out(portion)
                    on_bytes(len(portion))
        buffer.free(region)
        return region.size

    def _write_known(self, known: BlobInfo, packed: PackedLayer, out: Write, on_bytes: OnBytes) -> int:
        """Write a layer that the layer cache knows, and hash it only if a file's modification time has changed."""
        mtimes: dict[bytes, int] = {}

        def on_mtime_change(extent: Extent, mtime_ns: int) -> None:
            mtimes[extent.file] = mtime_ns

        try:
            count = copy(packed.pieces, out, on_bytes, on_mtime_change if self._written else None)
            self._blob_info = self._rehash(self._written, mtimes) if self._written and mtimes else known
        except IntegrityError as error:
            if not self._listings:
                raise
            self._listings.remove()
            error.add_hint("run it again: what was known of the store path is forgotten")
            raise
        self._check_size(self._blob_info.size, packed)
        return count

    def _rehash(self, written: ListedLayer, mtimes: Mapping[bytes, int]) -> BlobInfo:
        """List and hash the layer again, so that the layer cache gets the current modification times of its files.

        Args:
            written: the listing from which the layer was written.
            mtimes: the modification times that files had then, if they are not those of ``written``.

        Raises:
            IntegrityError: The layer has changed since it was listed or written, so that the digest is not that of the
                bytes written.

        """
        source = self.state.source
        listings = (
            find_listings(source, self._layer_cache, ignore_cached=True) if isinstance(source, StoreLayer) else None
        )
        listed = listings.complete(map(list_location, listings.missing)) if listings else None
        if listed is None or not all(starmap(_is_same_piece, zip_longest(written.pack().pieces, listed.pack().pieces))):
            raise IntegrityError(
                f"layer {self.state.number}", got="other files", expected="those that were listed before"
            )
        blob_info = hash_pieces(listed.pack().pieces)
        for piece in written.pack().pieces:
            if isinstance(piece, Extent):
                check_mtime(piece, mtimes.get(piece.file, piece.mtime_ns))
        self._listings = listings
        return blob_info

    def finish(self) -> Layer:
        """Return the layer with its digest, and put it into the layer cache."""
        blob_info = self._blob_info or (self._hashing_future.result() if self._hashing_future else None)
        if blob_info is None:
            raise ValueError(f"layer {self.state.number}: got it not written yet, expected it to be")
        return self.state.finish(blob_info)


def _start_pool(size: int, buffer: SharedBuffer | None) -> WorkerPool:
    from lamina.layers.workers import WorkerPool

    return WorkerPool(size, (buffer.fd,) if buffer else ())


def _create_buffer() -> SharedBuffer | None:
    """Create the shared buffer; None if the system has no shared memory of this kind."""
    try:
        return SharedBuffer(_BUFFER_SIZE)
    except OSError:
        return None


def add_progress(write: Write, on_bytes: OnBytes) -> Write:
    """Return a function that calls ``write`` and then ``on_bytes`` with the number of bytes written."""

    def write_and_report(data: memoryview) -> None:
        write(data)
        on_bytes(len(data))

    return write_and_report


def _is_same_piece(written: Piece | None, listed: Piece | None) -> bool:
    """Return whether two pieces of a layer are equal but for the modification time of a file."""
    if isinstance(written, Extent) and isinstance(listed, Extent):
        return written._replace(mtime_ns=listed.mtime_ns) == listed
    return written == listed


def _hash_content(content: worker_tasks.LayerContent, run_task: RunTask) -> BlobInfo:
    (blob_info,) = worker_tasks.parse_blob_infos(run_task(worker_tasks.hash_task(content)))
    return blob_info
