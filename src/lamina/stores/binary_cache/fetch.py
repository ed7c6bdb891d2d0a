"""Fetch store paths from binary caches into the embedded store.

One thread downloads, decompresses, hashes and writes a NAR piece by piece, because all of these release the GIL. There
are two more threads than processors, because some threads always wait for the network. After a failed fetch, the path
may be fetched from another source.

Invariant: a NAR is moved into the store only after its hash, size and structure were checked against the narinfo, and
its content address too if no signature covers the path. A path becomes valid after all its references. A failed fetch
leaves the store unchanged.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from itertools import count
from threading import RLock
from typing import Protocol

from lamina.core.names import StorePath
from lamina.core.progress import FETCHED, REUSED, Progress, ProgressItem
from lamina.errors import IntegrityError
from lamina.formats.narinfo import NarInfo
from lamina.stores.embedded.store import EmbeddedStore, nar_name
from lamina.stores.incoming import IncomingFile
from lamina.stores.integrity import ContentCheck, check_incoming
from lamina.system.cpus import cpu_count
from lamina.system.progress_reporter import ProgressReporter
from lamina.system.tempdir import TempDir
from lamina.system.threads import ThreadPool
from lamina.system.transfer import HashingWriter

_EXTRA_THREADS = 2
# In seconds. This is enough for a thread to finish its current piece.
_CLOSE_TIMEOUT = 0.5


class NarSource(Protocol):
    """A source of NARs, such as a binary cache."""

    @property
    def label(self) -> str:
        """The name of the source in messages."""

    def stream_nar(self, narinfo: NarInfo) -> Generator[bytes]:
        """Yield the NAR that ``narinfo`` describes. Raises `StoreError`, `FormatError`."""

    def trusts_nar_hash(self, narinfo: NarInfo) -> bool:
        """Return whether the NAR hash of ``narinfo`` is trusted regardless of its content address."""


class Fetcher:
    """Fetches paths into ``store``, in the order in which they were requested.

    ``workspace`` is the temporary folder that contains the store, if there is one. ``received`` are the paths whose
    NARs this fetcher received itself; another process may have fetched others. The threads end when the fetcher is
    closed.
    """

    def __init__(self, store: EmbeddedStore, threads: int = 0, workspace: TempDir | None = None) -> None:
        self.store = store
        self._workspace = workspace
        self._pool = ThreadPool(threads or cpu_count() + _EXTRA_THREADS, "lamina-fetch")
        self._lock = RLock()
        self._order = count(1)
        self._sources: dict[StorePath, tuple[NarInfo, NarSource]] = {}
        self._futures: dict[StorePath, Future[None]] = {}
        self._started: set[StorePath] = set()
        self.received: set[StorePath] = set()
        self._incoming: list[IncomingFile] = []
        self._is_closed = False
        self._publisher = _Publisher(store)
        self._progress: Progress = Progress()
        self._items: Mapping[StorePath, ProgressItem] = {}

    def report_to(self, progress: Progress, items: Mapping[StorePath, ProgressItem]) -> None:
        """Report the fetching of the paths that have ``items`` to ``progress``, from now on."""
        self._progress, self._items = ProgressReporter(progress), items

    def register(self, narinfo: NarInfo, source: NarSource) -> None:
        """Register that ``narinfo`` can be fetched from ``source``, without fetching it yet.

        An earlier registration of the path is replaced only if that fetch failed.
        """
        path = narinfo.info.path
        with self._lock:
            if path not in self._sources or self._has_failed(path):
                self._sources[path] = narinfo, source
                self._futures.pop(path, None)
                self._started.discard(path)
                self._publisher.register(narinfo)

    def is_registered(self, path: StorePath) -> bool:
        """Return whether a source is registered for ``path`` and fetching it has not failed."""
        with self._lock:
            return path in self._sources and not self._has_failed(path)

    def _has_failed(self, path: StorePath) -> bool:
        future = self._futures.get(path)
        return future is not None and future.done() and future.exception() is not None

    def prefetch(self, paths: Iterable[StorePath]) -> None:
        """Queue the registered paths among ``paths``, in that order, and start threads that fetch them."""
        with self._lock:
            for path in paths:
                if path in self._sources and path not in self._futures:
                    self._futures[path] = Future()
                    self._submit(path, next(self._order))

    def is_local(self, path: StorePath) -> bool:
        """Return whether `wait` would return immediately."""
        future = self._futures.get(path)
        return future.done() if future else path not in self._sources

    def wait(self, path: StorePath) -> None:
        """Wait until the NAR of ``path`` is in the store; the path becomes valid once its references are.

        Raises the error if fetching the path failed.
        """
        self.prefetch((path,))
        future = self._futures.get(path)
        if future:
            # Move a path that someone is blocked on to the front of the queue.
            self._submit(path, -next(self._order))
            future.result()

    def narinfo(self, path: StorePath) -> NarInfo | None:
        """Return the registered narinfo of ``path``, None if there is none."""
        found = self._sources.get(path)
        return found[0] if found else None

    def close(self) -> None:
        """Stop fetching and remove the files of incomplete NARs."""
        self._is_closed = True
        self._pool.close(_CLOSE_TIMEOUT)
        # Threads that still wait for a server cannot remove their files themselves.
        for incoming in tuple(self._incoming):
            incoming.drop()

    def _submit(self, path: StorePath, priority: int) -> None:
        self._pool.submit(partial(self._fetch_once, path), (priority, 0))

    def _fetch_once(self, path: StorePath) -> None:
        with self._lock:
            future = self._futures.get(path)
            # The path was submitted twice, or it was registered again with another source and is not requested yet.
            if future is None or path in self._started or self._is_closed:
                return
            self._started.add(path)
            narinfo, source = self._sources[path]
        try:
            self._fetch(narinfo, source)
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that waits for the path
            future.set_exception(error)
        else:
            future.set_result(None)

    def _fetch(self, narinfo: NarInfo, source: NarSource) -> None:
        self.store.locks.hold_shared()  # so that no garbage collection removes a NAR that is found here
        verified, outcome = self._find_received(narinfo, source), REUSED
        if verified is None:
            with self.store.locks.lock_nar(narinfo.info.nar_hash):
                # Another process may have fetched it meanwhile, or another thread for a path with the same NAR.
                verified = self._find_received(narinfo, source)
                outcome = REUSED if verified else FETCHED
                verified = verified or self._receive(narinfo, source)
        self._sources[narinfo.info.path] = verified, source
        item = self._items.get(narinfo.info.path)
        if item:
            self._progress.finish(item, outcome, narinfo.info.nar_size)
        self._publisher.publish(verified)

    def _find_received(self, narinfo: NarInfo, source: NarSource) -> NarInfo | None:
        """Return the verified narinfo if the store already has the intact NAR, which is hashed to check; else None.

        A NAR without a narinfo may be there, for example from a fetch that was interrupted. Raises `IntegrityError` if
        the NAR does not match the content address and the path is trusted only because of that address.
        """
        if not self.store.contains_nar(narinfo.info.nar_hash, narinfo.info.nar_size):
            return None
        content_check = _start_content_check(narinfo, source)
        writer = HashingWriter(content_check.feed)
        for piece in self.store.stream_nar(narinfo):
            writer.write(memoryview(piece))
        return content_check.finish() if writer.blob_info.digest == narinfo.info.nar_hash else None

    def _receive(self, narinfo: NarInfo, source: NarSource) -> NarInfo:
        """Copy the NAR from ``source`` to the store and return the verified narinfo."""
        with self.store.create_incoming() as incoming:
            self._incoming.append(incoming)
            try:
                verified = self._stream_nar(narinfo, source, incoming)
            finally:
                self._incoming.remove(incoming)
        self.received.add(narinfo.info.path)
        return verified

    def _stream_nar(self, narinfo: NarInfo, source: NarSource, incoming: IncomingFile) -> NarInfo:
        content_check = _start_content_check(narinfo, source)
        size, nar_size = 0, narinfo.info.nar_size
        item = self._items.get(narinfo.info.path)
        if item:
            self._progress.start(item)
        with closing(
            source.stream_nar(narinfo)
        ) as pieces:  # otherwise the connection would stay open as long as the error object exists
            for piece in pieces:
                size += len(piece)
                if size > nar_size:
                    raise IntegrityError(
                        f"{narinfo.info.path} in {source.label}",
                        f"a NAR of more than {nar_size} bytes",
                        f"{nar_size} bytes",
                    )
                incoming.write(piece)
                content_check.feed(piece)
                if item:
                    self._progress.advance(item, len(piece))
                if self._is_closed:
                    raise InterruptedError
        check_incoming(narinfo, incoming, source.label)
        verified = content_check.finish()
        incoming.commit(nar_name(narinfo.info.nar_hash))
        return verified


def _start_content_check(narinfo: NarInfo, source: NarSource) -> ContentCheck:
    return ContentCheck(narinfo, f"{narinfo.info.path} in {source.label}", source.trusts_nar_hash)


class _Publisher:
    """Makes each path valid once its NAR is in the store and all its references are valid."""

    def __init__(self, store: EmbeddedStore) -> None:
        self._store = store
        self._lock = RLock()
        self._registered: set[StorePath] = set()
        self._received: dict[StorePath, NarInfo] = {}
        self._missing: dict[StorePath, set[StorePath]] = {}
        self._referrers: dict[StorePath, list[StorePath]] = {}

    def register(self, narinfo: NarInfo) -> None:
        """Note that the path of ``narinfo`` may be fetched; it counts as invalid until its NAR is received."""
        self._registered.add(narinfo.info.path)

    def publish(self, narinfo: NarInfo) -> None:
        """Publish ``narinfo``, whose NAR was received, and referrers that waited for it. Raises `OutputError`.

        A path is published once its last reference has become valid.
        """
        path = narinfo.info.path
        with self._lock:
            references = narinfo.info.references - {path}
            missing = {found for found in references if not self._is_valid(found)}
            self._received[path] = narinfo
            self._missing[path] = missing
            for reference in missing:
                self._referrers.setdefault(reference, []).append(path)
            ready = [] if missing else [path]
            while ready:
                done = ready.pop()
                self._registered.discard(done)
                self._store.publish(self._received.pop(done))
                for referrer in self._referrers.pop(done, ()):
                    self._missing[referrer].discard(done)
                    if not self._missing[referrer]:
                        ready.append(referrer)

    def _is_valid(self, path: StorePath) -> bool:
        return path not in self._registered and self._store.narinfo(path) is not None
