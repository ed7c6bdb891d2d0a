"""Write the layers of an image to a stream, in order: list them ahead, hash them in parallel, write each once.

A layer that is in the layer cache is written without being hashed. The other layers of a large image are hashed by
worker processes while this process writes; those of a small image are hashed by a thread. Two limits bound how far the
workers run ahead: a number of bytes in layers, so that a file is hashed and written while it is still in the page
cache, and a number of bytes in listings, because the listings take memory.

Invariant: a layer's digest does not depend on the contents of the layer cache, on the number of worker processes or on
the order in which they finish. A layer is written exactly as it was listed, or the run ends in `IntegrityError`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import starmap, zip_longest
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lamina.core.nodes import Extent
from lamina.core.progress import REUSED
from lamina.errors import IntegrityError
from lamina.layers import worker_tasks
from lamina.layers.context import BuildContext, LayerState
from lamina.layers.layer import Layer, LayerSource
from lamina.layers.listings import LocatedLayer, put_listings, remove_listings
from lamina.layers.packed import ListedLayer, PackedLayer
from lamina.layers.worker_tasks import RunTask
from lamina.system.extents import check_mtime
from lamina.system.fd_writer import Output
from lamina.system.shared_memory import BufferRange, SharedBuffer
from lamina.system.transfer import BlobInfo, OnBytes, Piece, copy, hash_pieces, transfer

if TYPE_CHECKING:  # small images need no worker processes, so the module is imported on demand
    from concurrent.futures import Future

    from lamina.layers.workers import WorkerPool

FindBlobInfo = Callable[[], BlobInfo]
"""A function that returns the digest and size of a written layer. It waits for a worker that still hashes it."""

# Listing comes first, because the writer waits for it. Among the layers to be hashed, the largest comes first, so that
# no large layer is left for the end.
_LISTING_PRIORITY, _HASHING_PRIORITY = 0, 1
# With more workers than this, the writer is the bottleneck.
_MAX_HASHING_WORKERS = 4
# The worker that hashes a small layer also copies it to the shared buffer, so that each file is opened only once.
_MAX_BUFFERED, _BUFFER_SIZE, _PORTION = 12 << 20, 48 << 20, 1 << 20
# How far listing and hashing may run ahead of the writer: bytes of layers, and bytes of memory for their listings.
_MAX_AHEAD = 1 << 30
_MAX_LISTED = 32 << 20


class LayerStream:
    """An iterator over the layers of an image, lowest first; a context manager.

    Each layer has to be written once, before the next one is taken.
    """

    def __init__(self, sources: Sequence[LayerSource], context: BuildContext) -> None:
        for source in sources:
            source.prefetch()
        self._states = LayerState.find_all(sources, context)
        unknown_size = sum(state.source.weight for state in self._states if state.known is None)
        worker_count = context.worker_count(unknown_size, _MAX_HASHING_WORKERS)
        self._buffer = _create_buffer() if worker_count else None
        self._pool = _start_pool(worker_count, self._buffer) if worker_count else None
        self._started: deque[_ListingLayer | _ReadyLayer] = deque()
        self._written: list[tuple[LayerState, FindBlobInfo]] = []

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
        for index in range(len(self._states)):
            self._start_layers(index)
            yield PendingLayer(self._started.popleft().result(), self._written)

    def layers(self) -> tuple[Layer, ...]:
        """Return the layers with their digests, once all are written.

        Raises `IntegrityError` if a digest is not the one that the source expects, or, with ``verify``, not the one in
        the layer cache.
        """
        if len(self._written) < len(self._states):
            raise ValueError(f"layers: got {len(self._written)} written, expected all {len(self._states)}")
        return tuple(state.finish(find_blob_info()) for state, find_blob_info in self._written)

    def _start_layers(self, index: int) -> None:
        """Start the layer at ``index`` and, with a worker pool, the layers after it, up to a limit."""
        ahead = sum(layer.state.source.weight for layer in self._started)
        listed = sum(layer.memory_size for layer in self._started)
        for state in self._states[index + len(self._started) :]:
            is_wanted = self._pool and ahead <= _MAX_AHEAD and listed <= _MAX_LISTED and state.source.is_local
            if self._started and not is_wanted:
                return
            started = self._start_layer(state)
            self._started.append(started)
            ahead += state.source.weight
            listed += started.memory_size

    def _start_layer(self, state: LayerState) -> _ListingLayer | _ReadyLayer:
        """Start listing and hashing the layer in a worker, or prepare it for hashing and writing in this process."""
        tar, located = state.source.find_tar(), state.source.locate_paths()
        if state.known:
            listed = located.get_listings(state.context.layer_cache) if located else None
            if listed:
                return _CachedLayer(state, listed.pack(), listed, state.known)
            if not located:
                return _KnownLayer(state, state.source.pack(), None, state.known)
            # Without cached modification times it is impossible to tell whether a file has changed since it was hashed.
        if self._pool and tar:
            return _HashedLayer(state, state.source.pack(), None, _submit_hashing(self._pool, state, tar))
        if self._pool and located:
            task = partial(_list_and_hash, state, located, self._pool, self._buffer)
            return _ListingLayer(state, self._pool.submit(task, (_LISTING_PRIORITY, state.number)))
        listed = located.list_files() if located else None
        return _UnhashedLayer(state, (listed or state.source).pack(), listed)


class PendingLayer:
    """A layer that is ready to be written: its ``source``, its ``size`` in bytes, and how its bytes are made."""

    def __init__(self, layer: _ReadyLayer, written: list[tuple[LayerState, FindBlobInfo]]) -> None:
        self.source: LayerSource = layer.state.source
        self.size: int = layer.packed.size
        self.outcome: str = layer.outcome
        self._layer = layer
        self._written = written

    def write(self, out: Output, on_bytes: OnBytes) -> None:
        """Write the layer and report the size of each portion to ``on_bytes``.

        Raises `IntegrityError` if a file has changed since it was listed, and whatever ``out`` raises.
        """
        self._written.append((self._layer.state, self._layer.write(out, on_bytes)))


@dataclass(frozen=True, slots=True)
class _ListingLayer:
    """A layer that a worker lists, and also hashes if it is small. The result is None if it could not be listed."""

    state: LayerState
    future: Future[_ReadyLayer | None]

    @property
    def memory_size(self) -> int:
        listed = self.future.result() if self.future.done() else None
        return listed.memory_size if listed else 0

    def result(self) -> _ReadyLayer:
        """Wait for the listing. Raises whatever listing raises."""
        return self.future.result() or _UnhashedLayer(self.state, self.state.source.pack(), None)


@dataclass(frozen=True, slots=True)
class _ReadyLayer(ABC):
    """A layer that can be written, and its listing if it has one. The subclasses differ in how the digest is found."""

    state: LayerState
    packed: PackedLayer
    listed: ListedLayer | None

    @property
    def outcome(self) -> str:
        """The word of `lamina.core.progress` for how the layer's bytes are made."""
        return self.state.outcome

    @property
    def memory_size(self) -> int:
        """The memory that its listing takes, in bytes."""
        return self.listed.memory_size if self.listed else 0

    def result(self) -> Self:
        return self

    @abstractmethod
    def write(self, out: Output, on_bytes: OnBytes) -> FindBlobInfo:
        """Write the layer, and return a function that returns its digest and size.

        The function holds no reference to the layer, so that the memory of its listing is freed.
        """

    def check_size(self, size: int) -> None:
        if size != self.packed.size:
            raise IntegrityError(f"layer {self.state.number}", f"{size} bytes", self.packed.size)

    def put_listings(self, listed: ListedLayer | None) -> None:
        if listed:
            put_listings(self.state.context.layer_cache, listed)


@dataclass(frozen=True, slots=True)
class _UnhashedLayer(_ReadyLayer):
    """A layer that a thread of this process hashes while it is written."""

    def write(self, out: Output, on_bytes: OnBytes) -> FindBlobInfo:
        blob_info = transfer(self.packed.pieces, partial(_write_and_report, out, on_bytes), self.state.context.buffers)
        self.check_size(blob_info.size)
        self.put_listings(self.listed)
        return lambda: blob_info


@dataclass(frozen=True, slots=True)
class _HashedLayer(_ReadyLayer):
    """A layer that a worker hashes, perhaps while it is written."""

    blob_info: Future[BlobInfo]

    def write(self, out: Output, on_bytes: OnBytes) -> FindBlobInfo:
        self.check_size(copy(self.packed.pieces, out, on_bytes))
        self.put_listings(self.listed)
        return self.blob_info.result


@dataclass(frozen=True, slots=True)
class _BufferedLayer(_ReadyLayer):
    """A small layer that a worker has hashed and copied to ``region`` of the shared buffer."""

    blob_info: BlobInfo
    buffer: SharedBuffer
    region: BufferRange

    def write(self, out: Output, on_bytes: OnBytes) -> FindBlobInfo:
        with self.buffer.view(self.region) as view:
            for start in range(0, self.region.size, _PORTION):
                with view[start : start + _PORTION] as portion:
                    out.write(portion)
                    on_bytes(len(portion))
        self.buffer.free(self.region)
        self.put_listings(self.listed)
        blob_info = self.blob_info
        return lambda: blob_info


@dataclass(frozen=True, slots=True)
class _KnownLayer(_ReadyLayer):
    """A layer that is in the layer cache and whose store paths have no location. It is not hashed."""

    known: BlobInfo

    @property
    def outcome(self) -> str:
        return REUSED

    def write(self, out: Output, on_bytes: OnBytes) -> FindBlobInfo:
        self.check_size(copy(self.packed.pieces, out, on_bytes))
        self.check_size(self.known.size)
        known = self.known
        return lambda: known


@dataclass(frozen=True, slots=True)
class _CachedLayer(_ReadyLayer):
    """A layer that is in the layer cache, with its listings. It is hashed only if a modification time has changed."""

    listed: ListedLayer
    known: BlobInfo

    @property
    def outcome(self) -> str:
        return REUSED

    def write(self, out: Output, on_bytes: OnBytes) -> FindBlobInfo:
        mtimes: dict[bytes, int] = {}

        def on_mtime_change(extent: Extent, mtime_ns: int) -> None:
            mtimes[extent.file] = mtime_ns

        try:
            size = copy(self.packed.pieces, out, on_bytes, on_mtime_change)
            blob_info = self._rehash(mtimes) if mtimes else self.known
        except IntegrityError as error:
            remove_listings(self.state.context.layer_cache, self.listed)
            error.add_hint("run the command again, as the store path was removed from the layer cache")
            raise
        self.check_size(size)
        self.check_size(blob_info.size)
        return lambda: blob_info

    def _rehash(self, mtimes: Mapping[bytes, int]) -> BlobInfo:
        """List and hash the layer again, so that the layer cache gets the current modification times of its files.

        Args:
            mtimes: the modification times that files had when the layer was written, if not those of the listing.

        Raises:
            IntegrityError: The layer has changed since it was listed or written, so that the digest is not that of the
                bytes written.

        """
        located = self.state.source.locate_paths()
        listed = located.list_files() if located else None
        pieces = zip_longest(self.listed.pack().pieces, listed.pack().pieces if listed else ())
        if listed is None or not all(starmap(_is_same_piece, pieces)):
            raise IntegrityError(f"layer {self.state.number}", "other files", "the files that were listed before")
        blob_info = hash_pieces(listed.pack().pieces)
        for piece in self.listed.pack().pieces:
            if isinstance(piece, Extent):
                check_mtime(piece, mtimes.get(piece.file, piece.mtime_ns))
        self.put_listings(listed)
        return blob_info


def _list_and_hash(
    state: LayerState, located: LocatedLayer, pool: WorkerPool, buffer: SharedBuffer | None, run_task: RunTask
) -> _ReadyLayer | None:
    """List the layer in a worker and have it hashed; a small one is also copied to ``buffer``."""
    listed = located.list_in_worker(run_task)
    if listed is None:
        return None
    size = listed.size()
    packed = listed.pack_with_size(size)
    region = buffer.allocate(packed.size) if buffer and packed.size <= _MAX_BUFFERED else None
    if buffer and region:
        (blob_info,) = worker_tasks.parse_blob_infos(run_task(worker_tasks.buffer_task(listed, size, region)))
        return _BufferedLayer(state, packed, listed, blob_info, buffer, region)
    return _HashedLayer(state, packed, listed, _submit_hashing(pool, state, listed))


def _submit_hashing(pool: WorkerPool, state: LayerState, content: worker_tasks.LayerContent) -> Future[BlobInfo]:
    return pool.submit(partial(_hash_content, content), (_HASHING_PRIORITY, -state.source.weight))


def _start_pool(size: int, buffer: SharedBuffer | None) -> WorkerPool:
    from lamina.layers.workers import WorkerPool

    return WorkerPool(size, (buffer.fd,) if buffer else ())


def _create_buffer() -> SharedBuffer | None:
    """Create the shared buffer; return None if the system has no memfd_create(2)."""
    try:
        return SharedBuffer(_BUFFER_SIZE)
    except OSError:
        return None


def _write_and_report(out: Output, on_bytes: OnBytes, data: memoryview) -> None:
    out.write(data)
    on_bytes(len(data))


def _is_same_piece(written: Piece | None, listed: Piece | None) -> bool:
    """Return whether two pieces of a layer are equal, apart from the modification time of a file."""
    if isinstance(written, Extent) and isinstance(listed, Extent):
        return written._replace(mtime_ns=listed.mtime_ns) == listed
    return written == listed


def _hash_content(content: worker_tasks.LayerContent, run_task: RunTask) -> BlobInfo:
    (blob_info,) = worker_tasks.parse_blob_infos(run_task(worker_tasks.hash_task(content)))
    return blob_info
