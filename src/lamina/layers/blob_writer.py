"""Write layers as blobs, each to a file of its own, and skip those that are already stored.

Invariant: a blob's bytes do not depend on the contents of the layer cache or on the number of worker processes.

Blobs need not be written in order, so the layers of a large image are written in parallel. One worker process lists,
hashes and compresses a layer in a single pass, so every file is read once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from lamina.compression.compressors import LayerCompression
from lamina.layer_cache.cache import LayerCache
from lamina.layers import worker_tasks
from lamina.layers.context import BuildContext, LayerState
from lamina.layers.layer import FinishedLayer, Layer, LayerSource, StoreLayer
from lamina.layers.listings import LayerListings, find_listings
from lamina.layers.worker_tasks import LayerContent
from lamina.system.locations import list_location
from lamina.system.transfer import BlobInfo

if TYPE_CHECKING:  # small images need no worker processes, so the module is imported on demand
    from concurrent.futures import Future

    from lamina.layers.workers import RunTask, WorkerPool

# With more workers than this, the disk is the bottleneck.
_MAX_WRITING_WORKERS, _MAX_COMPRESSING_WORKERS = 4, 32
_BlobResult = tuple[BlobInfo, BlobInfo]
"""Digest and size of a layer's uncompressed tar, then of its blob; both are equal without compression."""


class BlobStore(Protocol):
    """A place where blobs are kept as files."""

    def has(self, blob: BlobInfo) -> bool:
        """Return whether the complete blob is stored."""

    def create(self) -> Path:
        """Create an empty file for a blob to be written to. Raises `OutputError`."""

    def commit(self, part: Path, blob: BlobInfo) -> None:
        """Store the file ``part``, which `create` returned, as ``blob``. Raises `OutputError`."""


@dataclass(frozen=True, slots=True)
class WrittenBlob:
    """A layer, the blob that contains it, and the source that it was packed from."""

    layer: Layer
    blob: BlobInfo
    source: LayerSource


class BlobWriter:
    """An iterator over the layers of an image, lowest first, that writes each to ``blobs``; a context manager."""

    def __init__(
        self, sources: Sequence[LayerSource], context: BuildContext, compression: LayerCompression, blobs: BlobStore
    ) -> None:
        self._context = context
        self._compression = compression
        self._blobs = blobs
        jobs = [
            _BlobJob(LayerState(number, source, context), self._find_existing)
            for number, source in enumerate(sources, 1)
        ]
        missing = [job for job in jobs if not job.existing]
        limit = _MAX_WRITING_WORKERS if compression.is_none else _MAX_COMPRESSING_WORKERS
        worker_count = context.worker_count(sum(job.state.estimated_size for job in missing), limit)
        self._pool = _start_pool(worker_count) if worker_count else None
        self._threads = max(1, context.jobs // max(1, len(missing)))
        self._jobs = jobs

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
            OutputError: if a blob cannot be written.
            IntegrityError: if a layer differs from what `LayerState.finish` expects.
            Error: whatever else packing the layer raises.
        """
        if self._pool:
            for job in self._jobs:
                if not job.existing:
                    self._submit_job(job, self._pool)
        for job in self._jobs:
            plain, blob = job.existing or self._finish_blob(job)
            layer = job.state.finish(plain)
            if job.listings:
                job.listings.put()
            if blob != plain:
                self._context.layer_cache.put_compressed(plain.digest, self._compression.identity, blob)
            yield WrittenBlob(layer, blob, job.state.source)

    def _find_existing(self, state: LayerState) -> _BlobResult | None:
        """Return what the layer cache knows of a layer and its blob; None unless the blob is already stored."""
        plain = state.known
        if plain is None:
            return None
        blob = plain
        if not self._compression.is_none:
            compressed = self._context.layer_cache.get_compressed(plain.digest, self._compression.identity)
            if compressed is None:
                return None
            blob = compressed
        return (plain, blob) if self._blobs.has(blob) else None

    def _submit_job(self, job: _BlobJob, pool: WorkerPool) -> None:
        """Submit ``job`` to the pool if a worker can read the layer's files.

        The largest layers come first, so that no large one is left for the end. Layers whose store paths are still
        being downloaded follow in their own order.
        """
        source = job.state.source
        if isinstance(source, FinishedLayer):
            job.part = self._blobs.create()
            task = partial(self._write_in_worker, job.part, source.tar)
            job.future = pool.submit(task, (0, -job.state.estimated_size))
        elif isinstance(source, StoreLayer) and source.locate:
            job.part = self._blobs.create()
            priority = (0, -job.state.estimated_size) if source.is_local else (1, job.state.number)
            job.future = pool.submit(partial(self._list_in_worker, job.part, job), priority)

    def _list_in_worker(self, part: Path, job: _BlobJob, run_task: RunTask) -> _BlobResult | None:
        listings = job.find_listings(self._context.layer_cache)
        if listings is None:
            return None
        listed = listings.complete(worker_tasks.parse_listings(run_task(worker_tasks.listing_task(listings.missing))))
        return self._write_in_worker(part, listed, run_task) if listed else None

    def _write_in_worker(self, part: Path, content: LayerContent, run_task: RunTask) -> _BlobResult:
        task = worker_tasks.blob_task(content, os.fsencode(part), self._compression, self._threads)
        plain, blob = worker_tasks.parse_blob_infos(run_task(task))
        return plain, blob

    def _finish_blob(self, job: _BlobJob) -> _BlobResult:
        part = job.part or self._blobs.create()
        result = (job.future and job.future.result()) or self._write_in_process(job, part)
        self._blobs.commit(part, result[1])
        return result

    def _write_in_process(self, job: _BlobJob, part: Path) -> _BlobResult:
        listings = job.find_listings(self._context.layer_cache) if not job.future else None
        listed = listings.complete(map(list_location, listings.missing)) if listings else None
        packed = listed.pack() if listed else job.state.source.pack()
        return worker_tasks.write_blob_file(packed, os.fsencode(part), self._compression, self._context.jobs)


def _start_pool(size: int) -> WorkerPool:
    from lamina.layers.workers import WorkerPool

    return WorkerPool(size)


class _BlobJob:
    """The writing of one layer; ``existing`` is set if its blob is already stored, and there is nothing to do."""

    def __init__(self, state: LayerState, find_existing: Callable[[LayerState], _BlobResult | None]) -> None:
        self.state = state
        self.existing = find_existing(state)
        self.part: Path | None = None
        self.future: Future[_BlobResult | None] | None = None
        self.listings: LayerListings | None = None

    def find_listings(self, layer_cache: LayerCache) -> LayerListings | None:
        """Set and return `listings`, without any from the layer cache; None if the paths are not on this machine."""
        source = self.state.source
        self.listings = (
            find_listings(source, layer_cache, ignore_cached=True) if isinstance(source, StoreLayer) else None
        )
        return self.listings
