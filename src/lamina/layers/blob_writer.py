"""Write layers as blobs, each to a file of its own, and skip those that are already stored.

A compressed blob that an earlier run kept is copied instead of being made again.

Blobs need not be written in order, so the layers of a large image are written in parallel. One worker process lists,
hashes and compresses a layer in a single pass, so every file is read once.

Invariant: a blob's bytes do not depend on the contents of the layer cache, on blobs that earlier runs kept, or on the
number of worker processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from lamina.compression.compressors import LayerCompression
from lamina.core.progress import COPIED, Progress, ProgressItem
from lamina.layers import worker_tasks
from lamina.layers.context import BuildContext, LayerBlobs, LayerState
from lamina.layers.layer import Layer, LayerSource, list_items
from lamina.layers.listings import put_listings
from lamina.layers.packed import ListedLayer
from lamina.system.progress_reporter import ProgressReporter
from lamina.system.threads import ThreadPool
from lamina.system.transfer import BlobInfo

if TYPE_CHECKING:  # small images need no worker processes, so the module is imported on demand
    from concurrent.futures import Future

    from lamina.layers.workers import WorkerPool

# With more workers than this, the disk is the bottleneck.
_MAX_WRITING_WORKERS, _MAX_COMPRESSING_WORKERS = 4, 32
# Most of these threads wait for a bucket.
_TAKING_THREADS = 16

OnStored = Callable[[str], object]
"""A callback with the word of `lamina.core.progress` for how a blob came to where it is stored."""


class BlobStore(Protocol):
    """A place where blobs are kept: a folder of files, or a repository of a registry."""

    def find(self, blobs: Collection[BlobInfo]) -> Mapping[BlobInfo, str]:
        """Return those of ``blobs`` that are stored completely, each with the word for how it came there."""

    def create(self) -> Path:
        """Create an empty file for a blob to be written to. Raises `OutputError`."""

    def commit(self, part: Path, blob: BlobInfo, made: str, item: ProgressItem, on_stored: OnStored) -> None:
        """Store the file ``part``, which `create` returned, as ``blob``.

        Args:
            part: the file, which belongs to the store from now on.
            blob: what is in it.
            made: the word for how the bytes were made.
            item: the item of progress that the blob belongs to, for a store that takes long.
            on_stored: is called once the blob is stored, with ``made`` or a better word. A store may do that later,
                from another thread.

        Raises:
            OutputError: the blob cannot be stored.

        """


@dataclass(frozen=True, slots=True)
class WrittenBlob:
    """A layer, the blob that contains it, and the source that it was packed from."""

    layer: Layer
    blob: BlobInfo
    source: LayerSource


class BlobWriter:
    """An iterator over the layers of an image, lowest first, that writes each to ``blobs``; a context manager.

    ``progress`` is told about ``items``, one for each of ``sources``, as they are written. The number of an item is
    that of the layer in messages.
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
        items = items or list_items(sources)
        self._items = {item.number: item for item in items}
        self._context = context
        self._compression = compression
        self._blobs = blobs
        self._kept = context.find_blobs(compression)
        states = LayerState.find_all(sources, context, [item.number for item in items])
        known = self._find_all_known(states)
        stored = blobs.find({pair[1] for pair in known if pair})
        self._stored: dict[int, _StoredBlob] = {}
        self._not_stored: dict[int, tuple[BlobInfo, BlobInfo]] = {}
        for state, pair in zip(states, known, strict=True):
            if pair and pair[1] in stored:
                self._stored[state.number] = _StoredBlob(*pair, stored[pair[1]])
            elif pair:
                self._not_stored[state.number] = pair
        self._states = states
        self._missing_size = 0
        self._pool: WorkerPool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool:
            self._pool.__exit__(kind, error, trace)

    def __iter__(self) -> Iterator[WrittenBlob]:
        """Yield each layer once its blob has been given to the store.

        Raises:
            OutputError: A blob cannot be written.
            IntegrityError: A layer differs from what `LayerState.finish` expects.
            Error: Any other error from packing the layer.
        """
        for state in self._states:
            if found := self._stored.get(state.number):
                self._progress.finish(self._items[state.number], found.outcome, found.plain.size)
        present = {**self._stored, **self._take_kept()}
        missing = [state for state in self._states if state.number not in present]
        for state in missing:
            state.source.prefetch()
        self._start_workers(missing)
        submitted = {state.number: self._submit_layer(state, self._pool) for state in missing if self._pool}
        for state in self._states:
            if found := present.get(state.number):
                layer = Layer(found.plain.digest, found.plain.size, state.source.paths)
                yield WrittenBlob(layer, found.blob, state.source)
                continue
            made = self._finish_blob(state, submitted.get(state.number))
            layer = state.finish(made.plain)
            if made.listed:
                put_listings(self._context.layer_cache, made.listed)
            if made.blob != made.plain:
                self._context.layer_cache.put_compressed(made.plain.digest, self._compression.identity, made.blob)
            yield WrittenBlob(layer, made.blob, state.source)

    def _start_workers(self, missing: Sequence[LayerState]) -> None:
        limit = _MAX_WRITING_WORKERS if self._compression.is_none else _MAX_COMPRESSING_WORKERS
        self._missing_size = sum(state.source.weight for state in missing)
        count = self._context.worker_count(self._missing_size, limit)
        self._pool = _start_pool(count) if count else None

    def _take_kept(self) -> dict[int, _StoredBlob]:
        """Give those of the missing blobs to the store that an earlier run kept, and return them."""
        kept = self._kept
        if not kept or not self._not_stored:
            return {}
        with ThreadPool(min(_TAKING_THREADS, len(self._not_stored)), "lamina-kept-blobs") as pool:
            taking = {
                number: pool.submit(partial(self._take, kept, self._items[number], pair))
                for number, pair in self._not_stored.items()
            }
            return {number: taken for number, future in taking.items() if (taken := future.result())}

    def _take(self, kept: LayerBlobs, item: ProgressItem, known: tuple[BlobInfo, BlobInfo]) -> _StoredBlob | None:
        """Give a blob that was kept to the store; return None if it was not."""
        plain, blob = known
        part = self._blobs.create()
        if not kept.take(blob, part):
            part.unlink()
            return None
        self._progress.start(item)
        self._blobs.commit(part, blob, COPIED, item, lambda outcome: self._progress.finish(item, outcome, plain.size))
        return _StoredBlob(plain, blob, COPIED)

    def _find_all_known(self, states: Sequence[LayerState]) -> list[tuple[BlobInfo, BlobInfo] | None]:
        """Return what `_find_known` returns for each layer."""
        if not self._compression.is_none:
            digests = [plain.digest for state in states if (plain := self._find_plain(state))]
            self._context.layer_cache.look_up_compressed((digest, self._compression.identity) for digest in digests)
        return list(map(self._find_known, states))

    def _find_known(self, state: LayerState) -> tuple[BlobInfo, BlobInfo] | None:
        """Return digest and size of a layer's tar and of its blob; None if either is unknown."""
        plain = self._find_plain(state)
        if plain is None or self._compression.is_none:
            return (plain, plain) if plain else None
        blob = self._context.layer_cache.get_compressed(plain.digest, self._compression.identity)
        return (plain, blob) if blob else None

    def _find_plain(self, state: LayerState) -> BlobInfo | None:
        """Return digest and size of a layer's tar, or None if it has to be hashed."""
        return state.known or (None if self._context.verify else state.source.hashed)

    def _submit_layer(self, state: LayerState, pool: WorkerPool) -> _SubmittedBlob:
        """Submit the writing of a layer to the pool.

        The largest layers come first, so that no large layer is left for the end. Layers whose store paths are still
        being downloaded come last, in the order of the image.
        """
        part = self._blobs.create()
        priority = (0, -state.source.weight) if state.source.is_local else (1, state.number)
        return _SubmittedBlob(part, pool.submit(partial(self._write_in_worker, part, state), priority))

    def _write_in_worker(self, part: Path, state: LayerState, run_task: worker_tasks.RunTask) -> _MadeBlob | None:
        """Write a layer in a worker; return None if its files are not on this machine or cannot be listed."""
        located = state.source.locate_paths()
        listed = located.list_in_worker(run_task) if located else None
        content = listed or state.source.find_tar()
        if content is None:
            return None
        item = self._start_item(state)
        task = worker_tasks.blob_task(content, os.fsencode(part), self._compression, self._count_threads(state))
        plain, blob = worker_tasks.parse_blob_infos(run_task(task, partial(self._progress.advance, item)))
        return self._commit(part, state, _MadeBlob(plain, blob, listed))

    def _count_threads(self, state: LayerState) -> int:
        """Return with how many threads to compress a layer: its share of the processors by size, and at least one.

        A layer that is much larger than the others would otherwise be compressed by one thread after all of them.
        """
        return max(1, round(self._context.jobs * state.source.weight / max(1, self._missing_size)))

    def _finish_blob(self, state: LayerState, submitted: _SubmittedBlob | None) -> _MadeBlob:
        made = submitted and submitted.future.result()
        return made or self._write_in_process(submitted.part if submitted else self._blobs.create(), state)

    def _write_in_process(self, part: Path, state: LayerState) -> _MadeBlob:
        item = self._start_item(state)
        located = state.source.locate_paths()
        listed = located.list_files() if located else None
        packed = (listed or state.source).pack()
        on_bytes = partial(self._progress.advance, item)
        infos = worker_tasks.write_blob_file(packed, os.fsencode(part), self._compression, self._context.jobs, on_bytes)
        return self._commit(part, state, _MadeBlob(*infos, listed))

    def _start_item(self, state: LayerState) -> ProgressItem:
        item = self._items[state.number]
        self._progress.start(item)
        return item

    def _commit(self, part: Path, state: LayerState, made: _MadeBlob) -> _MadeBlob:
        item, size = self._items[state.number], made.plain.size
        if self._kept:
            self._kept.add(made.blob, part)
        self._blobs.commit(
            part, made.blob, state.outcome, item, lambda outcome: self._progress.finish(item, outcome, size)
        )
        return made


@dataclass(frozen=True, slots=True)
class _SubmittedBlob:
    """A layer that a worker writes to ``part``; the result is None if this process has to write it."""

    part: Path
    future: Future[_MadeBlob | None]


@dataclass(frozen=True, slots=True)
class _StoredBlob:
    """The digest and size of a layer's uncompressed tar, and those of its blob, which was stored before.

    The two are equal without compression. ``outcome`` is the word for how the blob came to where it is stored.
    """

    plain: BlobInfo
    blob: BlobInfo
    outcome: str


@dataclass(frozen=True, slots=True)
class _MadeBlob:
    """The digest and size of a layer's uncompressed tar, and those of the blob that was written.

    ``listed`` is the layer with its listings if it was listed while this blob was written.
    """

    plain: BlobInfo
    blob: BlobInfo
    listed: ListedLayer | None = None


def _start_pool(size: int) -> WorkerPool:
    from lamina.layers.workers import WorkerPool

    return WorkerPool(size)
