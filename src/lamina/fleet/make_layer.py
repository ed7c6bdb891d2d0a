"""Make a layer in a worker: read its store paths, pack and compress them in one pass, and write the blob to its home.

Invariant: a layer is packed only from store paths with the NAR hashes that the task states, so that a worker whose
stores have other contents fails instead of giving a layer that another machine would not give.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lamina.compression.compressors import LayerCompression
from lamina.core.callbacks import ignore
from lamina.core.progress import Progress, ProgressItem
from lamina.errors import IntegrityError, NotFound
from lamina.fleet.layer_task import CachePlace, LayerResult, LayerTask, PathSources
from lamina.images.blob_cache import BlobCache
from lamina.inputs.blob_caches import open_blob_cache
from lamina.inputs.layer_caches import open_layer_cache
from lamina.inputs.stores import open_store
from lamina.layer_cache.key import LayerInputs
from lamina.layering.plans import LayerPlan
from lamina.layers.blob_writer import BlobWriter
from lamina.layers.context import BuildContext, LayerBlobs
from lamina.layers.layer import StoreLayer
from lamina.layers.temporary_blobs import create_blob_folder
from lamina.stores.store import Store
from lamina.system.transfer import BlobInfo

_HINT = "all workers need the same stores; a store that has other contents under this name must not be among them"


def make_layer(task: LayerTask) -> LayerResult:
    """Make the layer of ``task``, unless its home has it already.

    Args:
        task: the layer.

    Returns:
        The digests of the layer, and what it took.

    Raises:
        InvalidArgument: this process has another version of lamina or of a library than the task wants.
        NotFound: no store has one of the store paths.
        Unavailable: a store could not be read.
        IntegrityError: a store path has another NAR hash than the task states, or a file changed while it was read.
        RegistryError: the registry failed.
        AuthError: the registry refuses the credentials, or wants some.
        OutputError: the blob could not be written.

    """
    began = time.monotonic()
    task.fingerprint.check_this_process()
    packing = _PackingProgress()
    with ExitStack() as resources:
        place = task.layer_cache
        layer_cache = resources.enter_context(
            open_layer_cache(place.place, [], local=place.local, offline=task.offline)
        )
        store = resources.enter_context(_open_sources(task.sources, task.inputs))
        kept = resources.enter_context(_open_blob_cache(task.blob_cache, offline=task.offline))
        blobs = resources.enter_context(task.home.open_blobs())
        taking = _NoticedBlobs(kept) if kept else None
        context = BuildContext(layer_cache, verify=task.verify, blobs=taking)
        source = _make_source(task.inputs, store)
        compression = LayerCompression.parse(task.compression)
        writer = resources.enter_context(BlobWriter([source], context, compression, blobs, packing))
        (written,) = writer
    return LayerResult(
        BlobInfo(written.layer.diff_id, written.layer.size),
        written.blob,
        task.home,
        packing.is_begun and not (taking and taking.is_taken),
        written.blob.size if packing.is_begun else 0,
        time.monotonic() - began,
        name_worker(),
    )


def name_worker() -> str:
    """Return a name for this process that differs from those of all other workers: ``HOST:PID``."""
    return f"{socket.gethostname()}:{os.getpid()}"


class _PackingProgress(Progress):
    """Notices whether the layer goes to its home. One that is there already is finished without being started."""

    def __init__(self) -> None:
        self.is_begun = False

    def start(self, item: ProgressItem) -> None:
        self.is_begun = True


class _NoticedBlobs(LayerBlobs):
    """The compressed layers of earlier runs. It notices whether the layer is one of them."""

    def __init__(self, blobs: LayerBlobs) -> None:
        self._blobs = blobs
        self.is_taken = False

    def take(self, blob: BlobInfo, target: Path) -> bool:
        self.is_taken = self._blobs.take(blob, target)
        return self.is_taken

    def add(self, blob: BlobInfo, file: Path) -> None:
        self._blobs.add(blob, file)


@contextmanager
def _open_sources(sources: PathSources, inputs: LayerInputs) -> Iterator[Store]:
    """Open the stores for the block, and check that the store paths are those of the task."""
    with open_store(sources.stores, sources.embedded_store, []) as store:
        found = store.query(inputs.paths)
        for path, nar_hash, _ in inputs.contents:
            info = found.get(path)
            if info is None:
                raise NotFound(path, "no such path in the stores of the worker", "a store that has it", hint=_HINT)
            if info.nar_hash != nar_hash:
                raise IntegrityError(path, f"the NAR hash {info.nar_hash}", nar_hash, hint=_HINT)
        yield store


@contextmanager
def _open_blob_cache(place: CachePlace, *, offline: bool) -> Iterator[BlobCache | None]:
    """Open the blob cache for the block. On another machine, a temporary folder is in front of a bucket."""
    with ExitStack() as resources:
        local = place.local
        if place.place and local is None:
            local = str(resources.enter_context(create_blob_folder()).path)
        yield resources.enter_context(open_blob_cache(place.place, local, ignore, offline=offline))


def _make_source(inputs: LayerInputs, store: Store) -> StoreLayer:
    plan = LayerPlan(inputs.paths, nars=tuple((nar_hash, size) for _, nar_hash, size in inputs.contents))
    return StoreLayer(
        plan,
        store.nodes,
        inputs.owner,
        inputs.mtime,
        store.location,
        store.is_local,
        prefetch_paths=store.prefetch,
    )
