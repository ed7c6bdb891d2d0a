"""Write layers as blobs, each to a file of its own, and skip those that are already stored.

Blobs need not be written in order, so the layers of a large image are written in parallel. One worker process lists,
hashes and compresses a layer in a single pass, so every file is read once.

Invariant: a blob's bytes do not depend on the contents of the layer cache or on the number of worker processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from lamina.compression.compressors import LayerCompression
from lamina.core.progress import REUSED, Progress, ProgressItem
from lamina.layers import worker_tasks
from lamina.layers.context import BuildContext, LayerState
from lamina.layers.layer import Layer, LayerSource, list_items
from lamina.layers.listings import put_listings
from lamina.layers.packed import ListedLayer
from lamina.system.progress_reporter import ProgressReporter
from lamina.system.transfer import BlobInfo

if TYPE_CHECKING:  # small images need no worker processes, so the module is imported on demand
    from concurrent.futures import Future

    from lamina.layers.workers import WorkerPool

# With more workers than this, the disk is the bottleneck.
_MAX_WRITING_WORKERS, _MAX_COMPRESSING_WORKERS = 4, 32


class BlobStore(Protocol):
    """A place where blobs are kept as files."""

    def has(self, blob: BlobInfo) -> bool:
        """Return whether the complete blob is stored."""

    def create(self) -> Path:
        """Create an empty file for a blob to be written to. Raises `OutputError`."""

    def commit(self, part: Path, blob: BlobInfo) -> bool:
        """Store the file ``part``, which `create` returned, as ``blob``; return whether the blob is new.

        Raises `OutputError`.
        """


@dataclass(frozen=True, slots=True)
class WrittenBlob:
    """A layer, the blob that contains it, the source that it was packed from, and whether the blob is new."""

    layer: Layer
    blob: BlobInfo
    source: LayerSource
    is_new: bool


class BlobWriter:
    """An iterator over the layers of an image, lowest first, that writes each to ``blobs``; a context manager.

    ``progress`` is told about ``items``, one for each of ``sources``, as they are written.
    """

    def __init__(
        self,
        sources: Sequence[LayerSource],
        context: BuildContext,
        compression: LayerCompression,
        blobs: BlobStore,
        progress: Progress | None = None,
        items: Sequence[ProgressItem] = (),
    ) -> None:
        self._progress = ProgressReporter(progress)
        self._items = items or list_items(sources)
        self._context = context
        self._compression = compression
        self._blobs = blobs
        states = [LayerState.find(number, source, context) for number, source in enumerate(sources, 1)]
        self._layers = [(state, self._find_stored(state)) for state in states]
        self._missing = [state for state, stored in self._layers if not stored]
        limit = _MAX_WRITING_WORKERS if compression.is_none else _MAX_COMPRESSING_WORKERS
        worker_count = context.worker_count(sum(state.source.weight for state in self._missing), limit)
        self._pool = _start_pool(worker_count) if worker_count else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool:
            self._pool.__exit__(kind, error, trace)

    def __iter__(self) -> Iterator[WrittenBlob]:
        """Yield each layer once its blob is stored.

        Raises:
            OutputError: A blob cannot be written.
            IntegrityError: A layer differs from what `LayerState.finish` expects.
            Error: Any other error from packing the layer.
        """
        for state, found in self._layers:
            if found:
                self._progress.finish(self._items[state.number - 1], REUSED, found.plain.size)
        submitted = {state.number: self._submit_layer(state, self._pool) for state in self._missing if self._pool}
        for state, found in self._layers:
            stored = found or self._finish_blob(state, submitted.get(state.number))
            plain, blob = stored.plain, stored.blob
            layer = state.finish(plain)
            if stored.listed:
                put_listings(self._context.layer_cache, stored.listed)
            if blob != plain:
                self._context.layer_cache.put_compressed(plain.digest, self._compression.identity, blob)
            yield WrittenBlob(layer, blob, state.source, stored.is_new)

    def _find_stored(self, state: LayerState) -> _StoredBlob | None:
        """Return what the layer cache knows about a layer and its blob; None unless the blob is already stored."""
        plain = blob = state.known
        if plain and not self._compression.is_none:
            blob = self._context.layer_cache.get_compressed(plain.digest, self._compression.identity)
        return _StoredBlob(plain, blob, is_new=False) if plain and blob and self._blobs.has(blob) else None

    def _submit_layer(self, state: LayerState, pool: WorkerPool) -> _SubmittedBlob:
        """Submit the writing of a layer to the pool.

        The largest layers come first, so that no large layer is left for the end. Layers whose store paths are still
        being downloaded come last, in the order of the image.
        """
        part = self._blobs.create()
        priority = (0, -state.source.weight) if state.source.is_local else (1, state.number)
        return _SubmittedBlob(part, pool.submit(partial(self._write_in_worker, part, state), priority))

    def _write_in_worker(self, part: Path, state: LayerState, run_task: worker_tasks.RunTask) -> _StoredBlob | None:
        """Write a layer in a worker; return None if its files are not on this machine or cannot be listed."""
        located = state.source.locate_paths()
        listed = located.list_in_worker(run_task) if located else None
        content = listed or state.source.find_tar()
        if content is None:
            return None
        item = self._start_item(state)
        threads = max(1, self._context.jobs // len(self._missing))
        task = worker_tasks.blob_task(content, os.fsencode(part), self._compression, threads)
        plain, blob = worker_tasks.parse_blob_infos(run_task(task, partial(self._progress.advance, item)))
        return self._commit(part, state, _StoredBlob(plain, blob, listed))

    def _finish_blob(self, state: LayerState, submitted: _SubmittedBlob | None) -> _StoredBlob:
        stored = submitted and submitted.future.result()
        return stored or self._write_in_process(submitted.part if submitted else self._blobs.create(), state)

    def _write_in_process(self, part: Path, state: LayerState) -> _StoredBlob:
        item = self._start_item(state)
        located = state.source.locate_paths()
        listed = located.list_files() if located else None
        packed = (listed or state.source).pack()
        on_bytes = partial(self._progress.advance, item)
        infos = worker_tasks.write_blob_file(packed, os.fsencode(part), self._compression, self._context.jobs, on_bytes)
        return self._commit(part, state, _StoredBlob(*infos, listed))

    def _start_item(self, state: LayerState) -> ProgressItem:
        item = self._items[state.number - 1]
        self._progress.start(item)
        return item

    def _commit(self, part: Path, state: LayerState, stored: _StoredBlob) -> _StoredBlob:
        is_new = self._blobs.commit(part, stored.blob)
        self._progress.finish(self._items[state.number - 1], state.outcome if is_new else REUSED, stored.plain.size)
        return replace(stored, is_new=is_new)


@dataclass(frozen=True, slots=True)
class _SubmittedBlob:
    """A layer that a worker writes to ``part``; the result is None if this process has to write it."""

    part: Path
    future: Future[_StoredBlob | None]


@dataclass(frozen=True, slots=True)
class _StoredBlob:
    """The digest and size of a layer's uncompressed tar, and those of its blob, which are equal without compression.

    ``listed`` is the layer with its listings if it was listed while this blob was written. ``is_new`` is False if the
    blob was stored before.
    """

    plain: BlobInfo
    blob: BlobInfo
    listed: ListedLayer | None = None
    is_new: bool = True


def _start_pool(size: int) -> WorkerPool:
    from lamina.layers.workers import WorkerPool

    return WorkerPool(size)
