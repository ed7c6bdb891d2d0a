"""Make a layer in a worker: read its store paths, pack and compress them in one pass, and write the blob to its home.

Invariant: a layer is packed only from store paths with the NAR hashes that the task states, so that a worker whose
stores have other contents fails instead of giving a layer that another machine would not give.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

from lamina.compression.compressors import LayerCompression
from lamina.core.names import StorePath
from lamina.core.nodes import Node
from lamina.core.progress import Progress, ProgressItem
from lamina.errors import IntegrityError, NotFound
from lamina.fleet.layer_task import LayerResult, LayerTask
from lamina.fleet.worker_caches import open_worker_caches
from lamina.inputs.stores import open_store
from lamina.layer_cache.cache import LayerCache
from lamina.layer_cache.claims import limit_claim
from lamina.layer_cache.key import LayerInputs
from lamina.layering.plans import LayerPlan
from lamina.layers.blob_writer import BlobWriter
from lamina.layers.context import BuildContext, LayerBlobs
from lamina.layers.layer import StoreLayer
from lamina.stores.store import Store
from lamina.system.locations import Location
from lamina.system.transfer import BlobInfo

_HINT = "all workers need the same stores; a store that has other contents under this name must not be among them"


def make_layer(task: LayerTask) -> LayerResult | None:
    """Make the layer of ``task``, unless its home has it already.

    Args:
        task: the layer.

    Returns:
        The digests of the layer, and what it took; None if another batch is making it just now.

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
    packing, warnings = _PackingProgress(), list[str]()
    with ExitStack() as resources:
        caches = resources.enter_context(open_worker_caches(task, warnings))
        claim = _LayerClaim(task, caches.layers)
        # It is released when the blob is in its home, and before the caches are closed.
        resources.callback(claim.release)
        blobs = resources.enter_context(task.home.open_blobs())
        taking = _NoticedBlobs(caches.blobs) if caches.blobs else None
        context = BuildContext(caches.layers, verify=task.verify, blobs=taking)
        source = _make_source(task.inputs, _LazyStore(task, claim, resources))
        compression = LayerCompression.parse(task.compression)
        writer = resources.enter_context(BlobWriter([source], context, compression, blobs, packing))
        claim.note_lookup()
        try:
            (written,) = writer
        except _ClaimedError:
            return None
    return LayerResult(
        BlobInfo(written.layer.diff_id, written.layer.size),
        written.blob,
        task.home,
        packing.is_begun and not (taking and taking.is_taken),
        written.blob.size if packing.is_begun else 0,
        time.monotonic() - began,
        name_worker(),
        tuple(warnings),
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


class _ClaimedError(Exception):
    """Another batch makes the layer, or has just made it."""


class _LayerClaim:
    """The claim to the layer of a task, so that no other batch makes it at the same time; used by one thread.

    Args:
        task: the layer. It is not claimed if it is made again to verify it.
        layer_cache: has the claims.
    """

    def __init__(self, task: LayerTask, layer_cache: LayerCache) -> None:
        self._task = task
        self._layer_cache = layer_cache
        self._was_known = False
        self._is_held = False

    def note_lookup(self) -> None:
        """Remember whether the layer cache knows the layer, after it was looked up."""
        self._was_known = self._layer_cache.get_layer(self._task.inputs) is not None

    def take(self) -> None:
        """Claim the layer, and look again whether it was made since it was looked up.

        Raises:
            _ClaimedError: another batch makes the layer, or has just made it.

        """
        task = self._task
        if not task.batch or task.verify:
            return
        if not self._layer_cache.claim(task.claim_key, task.batch, limit_claim(task.nar_size)):
            raise _ClaimedError
        self._is_held = True
        if not self._was_known:
            self._layer_cache.look_up_layers([task.inputs])
            if self._layer_cache.get_layer(task.inputs):
                raise _ClaimedError

    def release(self) -> None:
        """Remove the claim, if there is one."""
        if self._is_held:
            self._layer_cache.release(self._task.claim_key, self._task.batch)


class _LazyStore:
    """The stores of a task, which are opened when a method needs them: only if the layer is packed; used by one thread.

    So this is also the moment at which the layer is claimed, to look again right before it is made.

    Args:
        task: the layer.
        claim: is taken first.
        resources: closes the stores.
    """

    def __init__(self, task: LayerTask, claim: _LayerClaim, resources: ExitStack) -> None:
        self._task = task
        self._claim = claim
        self._resources = resources

    def nodes(self, path: StorePath) -> Iterable[Node]:
        """Return the nodes of a store path."""
        return self._opened.nodes(path)

    def locate(self, path: StorePath) -> Location | None:
        """Return the location of a store path on this machine, if there is one."""
        return self._opened.location(path)

    def prefetch(self, paths: Iterable[StorePath]) -> None:
        """Begin to download those of the paths that are not on this machine."""
        self._opened.prefetch(paths)

    @cached_property
    def _opened(self) -> Store:
        """The opened stores, whose store paths are those of the task.

        Raises:
            NotFound: the stores lack one of them.
            IntegrityError: one of them has another NAR hash.
            _ClaimedError: another batch makes the layer.

        """
        self._claim.take()
        sources = self._task.sources
        store = self._resources.enter_context(open_store(sources.stores, sources.embedded_store, []))
        found = store.query(self._task.paths)
        for path, nar_hash, _ in self._task.inputs.contents:
            info = found.get(path)
            if info is None:
                raise NotFound(path, "no such path in the stores of the worker", "a store that has it", hint=_HINT)
            if info.nar_hash != nar_hash:
                raise IntegrityError(path, f"the NAR hash {info.nar_hash}", nar_hash, hint=_HINT)
        return store


def _make_source(inputs: LayerInputs, store: _LazyStore) -> StoreLayer:
    plan = LayerPlan(inputs.paths, nars=tuple((nar_hash, size) for _, nar_hash, size in inputs.contents))
    # Whether its paths are on this machine is not asked: that is for the order and the progress of several layers.
    return StoreLayer(
        plan,
        store.nodes,
        inputs.owner,
        inputs.mtime,
        store.locate,
        prefetch_paths=store.prefetch,
    )
