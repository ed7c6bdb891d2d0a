"""Layers as blobs: each written to a file of its own, unless it is there already.

Invariant: what a blob is does not depend on what the layer cache knew or on how many processes worked, and one that is
there already was written whole.

There is no order to keep, so the layers of a large image are written side by side, each by a process that lists,
hashes and compresses it on the way: everything is read once.
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

if TYPE_CHECKING:  # a small image does without other processes
    from concurrent.futures import Future

    from lamina.layers.workers import RunTask, WorkerPool

# More would wait for the disk.
_MAX_WRITING_WORKERS, _MAX_COMPRESSING_WORKERS = 4, 32
_BlobResult = tuple[BlobInfo, BlobInfo]
"""What a layer is, and what its blob is."""


class BlobStore(Protocol):
    """Where blobs are kept."""

    def has(self, blob: BlobInfo) -> bool:
        """Whether the blob is there."""

    def create(self) -> Path:
        """A new empty file, to become a blob. Raises `OutputError`."""

    def commit(self, part: Path, blob: BlobInfo) -> None:
        """What was begun is ``blob`` now. Raises `OutputError`."""


@dataclass(frozen=True, slots=True)
class WrittenBlob:
    """A layer, the blob that it lies in, and where it comes from."""

    layer: Layer
    blob: BlobInfo
    source: LayerSource


class BlobWriter:
    """The layers of an image from the lowest up, each on ``blobs`` when it comes; a context manager."""

    def __init__(
        self, sources: Sequence[LayerSource], context: BuildContext, compression: LayerCompression, blobs: BlobStore
    ) -> None:
        self._context = context
        self._compression = compression
        self._blobs = blobs
        works = [_BlobJob(LayerState(number, source, context), self._known) for number, source in enumerate(sources, 1)]
        missing = [job for job in works if not job.found]
        most = _MAX_WRITING_WORKERS if compression.is_none else _MAX_COMPRESSING_WORKERS
        helping = context.worker_count(sum(job.state.estimated_size for job in missing), most)
        self._pool = _start_pool(helping) if helping else None
        self._threads = max(1, context.jobs // max(1, len(missing)))
        self._jobs = works

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool:
            self._pool.__exit__(kind, error, trace)

    def __iter__(self) -> Iterator[WrittenBlob]:
        """The layers. Raises what packing them raises, `OutputError`, and `IntegrityError` as `LayerState.finish`."""
        if self._pool:
            for job in self._jobs:
                if not job.found:
                    self._begin(job, self._pool)
        for job in self._jobs:
            plain, blob = job.found or self._finish_blob(job)
            layer = job.state.finish(plain)
            if job.listings:
                job.listings.put()
            if blob != plain:
                self._context.layer_cache.put_compressed(plain.digest, self._compression.identity, blob)
            yield WrittenBlob(layer, blob, job.state.source)

    def _known(self, state: LayerState) -> _BlobResult | None:
        """What the layer is and what its blob, where that is there already."""
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

    def _begin(self, job: _BlobJob, pool: WorkerPool) -> None:
        """Has ``job`` done by the crew, where it can be: the largest first, so that none is left alone at the end, but
        those whose paths are still on their way as they come.
        """
        source = job.state.source
        if isinstance(source, FinishedLayer):
            job.part = self._blobs.create()
            task = partial(self._write_in_worker, job.part, source.tar)
            job.future = pool.submit(task, (0, -job.state.estimated_size))
        elif isinstance(source, StoreLayer) and source.location:
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
        found = (job.future and job.future.result()) or self._write_in_process(job, part)
        self._blobs.commit(part, found[1])
        return found

    def _write_in_process(self, job: _BlobJob, part: Path) -> _BlobResult:
        listings = job.find_listings(self._context.layer_cache) if not job.future else None
        listed = listings.complete(map(list_location, listings.missing)) if listings else None
        packed = listed.pack() if listed else job.state.source.pack()
        return worker_tasks.write_blob_file(packed, os.fsencode(part), self._compression, self._context.jobs)


def _start_pool(size: int) -> WorkerPool:
    from lamina.layers.workers import WorkerPool

    return WorkerPool(size)


class _BlobJob:
    """One layer on its way; ``found`` is what it is where its blob is there already."""

    def __init__(self, state: LayerState, known: Callable[[LayerState], _BlobResult | None]) -> None:
        self.state = state
        self.found = known(state)
        self.part: Path | None = None
        self.future: Future[_BlobResult | None] | None = None
        self.listings: LayerListings | None = None

    def find_listings(self, layer_cache: LayerCache) -> LayerListings | None:
        """Its `listings` from now on, which asks the layer cache for nothing; None where there is none."""
        source = self.state.source
        self.listings = (
            find_listings(source, layer_cache, ignore_cached=True) if isinstance(source, StoreLayer) else None
        )
        return self.listings
