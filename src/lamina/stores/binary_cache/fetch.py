"""Store paths on their way from binary caches into the embedded store.

Invariant: a NAR is in the store once its hash, its size and its form were what the narinfo says, never before, and its
content address too where no signature vouches for it; a path becomes valid after all that it refers to. What fails
leaves the store as it was, and may be fetched from another source.

Downloading, decompressing, hashing and writing a NAR is one thread's work from piece to piece, for all of them leave
Python's lock alone; as many are on their way at once as there are processors, and two more, for the network.
"""

from __future__ import annotations

import atexit
import hashlib
import time
import weakref
from collections.abc import Generator, Iterable
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from itertools import count
from queue import Empty, PriorityQueue
from threading import Lock, Thread, current_thread
from typing import Protocol

from lamina.core.names import StorePath
from lamina.errors import IntegrityError
from lamina.formats.content_address import ContentAddress, ContentAddressCheck, has_matching_address
from lamina.formats.narinfo import NarInfo
from lamina.stores.embedded.store import EmbeddedStore, nar_name
from lamina.stores.incoming import IncomingFile
from lamina.stores.integrity import check_incoming
from lamina.system.cpus import cpu_count

_EXTRA_THREADS = 2
# In seconds: what a thread needs that is at work on a piece.
_CLOSE_TIMEOUT = 0.5


class NarSource(Protocol):
    """Where NARs come from."""

    @property
    def label(self) -> str:
        """What it is called in messages."""

    def stream_nar(self, known: NarInfo) -> Generator[bytes]:
        """The NAR that ``known`` describes. Raises `StoreError`, `FormatError`."""

    def trusts_nar_hash(self, known: NarInfo) -> bool:
        """Tell whether the NAR hash of ``known`` counts whatever content address it has."""


class Fetcher:
    """Fetches into ``store``, in the order in which it was asked to; ``keep`` is what must live as long as that.

    ``received`` are the paths whose NARs came, none of them by another process.
    """

    def __init__(self, store: EmbeddedStore, threads: int = 0, *, keep_alive: object = None) -> None:
        self.store = store
        self._keep_alive = keep_alive
        self._max_threads = threads or cpu_count() + _EXTRA_THREADS
        self._lock = Lock()
        self._queue: PriorityQueue[tuple[int, StorePath]] = PriorityQueue()
        self._order = count(1)
        self._sources: dict[StorePath, tuple[NarInfo, NarSource]] = {}
        self._futures: dict[StorePath, Future[None]] = {}
        self._started: set[StorePath] = set()
        self.received: set[StorePath] = set()
        self._threads: set[Thread] = set()
        self._incoming: list[IncomingFile] = []
        self._is_closed = False
        self._publisher = _Publisher(store)
        atexit.register(_close_at_exit, weakref.ref(self))

    def register(self, known: NarInfo, source: NarSource) -> None:
        """Note that ``known`` can be fetched from ``source``; nothing is fetched yet.

        It takes the place of what was announced of the path before only if that could not be fetched.
        """
        path = known.info.path
        with self._lock:
            if path not in self._sources or self._has_failed(path):
                self._sources[path] = known, source
                self._futures.pop(path, None)
                self._started.discard(path)
                self._publisher.register(known)

    def is_registered(self, path: StorePath) -> bool:
        """Tell whether ``path`` can be fetched, as far as anybody knows by now."""
        with self._lock:
            return path in self._sources and not self._has_failed(path)

    def _has_failed(self, path: StorePath) -> bool:
        coming = self._futures.get(path)
        return coming is not None and coming.done() and coming.exception() is not None

    def begin(self, paths: Iterable[StorePath]) -> None:
        """Begins to fetch those of ``paths`` that were announced, in that order, before all that was not begun yet."""
        with self._lock:
            for path in paths:
                if path in self._sources and path not in self._futures:
                    self._futures[path] = Future()
                    self._queue.put((next(self._order), path))
                    self._add_thread()

    def is_local(self, path: StorePath) -> bool:
        """Whether nobody would wait for ``path``."""
        coming = self._futures.get(path)
        return coming.done() if coming else path not in self._sources

    def wait(self, path: StorePath) -> None:
        """Until the NAR of ``path`` is in the store; the path is valid once all that it refers to is.

        Raises what fetching it raised.
        """
        self.begin((path,))
        coming = self._futures.get(path)
        if coming:
            # Whoever waits is served before all that nobody waits for yet.
            self._queue.put((-next(self._order), path))
            coming.result()

    def narinfo(self, path: StorePath) -> NarInfo | None:
        """What was announced of ``path``."""
        found = self._sources.get(path)
        return found[0] if found else None

    def close(self) -> None:
        """Stops; what is not whole yet is dropped."""
        self._is_closed = True
        until = time.monotonic() + _CLOSE_TIMEOUT
        for thread in tuple(self._threads):
            thread.join(max(until - time.monotonic(), 0))
        # Whoever still waits for a server will not come to it.
        for incoming in tuple(self._incoming):
            incoming.drop()

    def _add_thread(self) -> None:
        if len(self._threads) < self._max_threads:
            thread = Thread(target=_run_thread, args=(weakref.ref(self),), name="lamina-fetch", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # there may be no more
                if not self._threads:
                    raise
            else:
                self._threads.add(thread)

    def fetch_next(self) -> bool:
        """Fetches what comes next; False where that is nothing, and this thread is done."""
        with self._lock:
            try:
                _, path = self._queue.get_nowait()
            except Empty:
                self._threads.discard(current_thread())
                return False
            if self._is_closed:
                return False
            coming = self._futures.get(path)
            # It may have been asked for twice, or is to come from another source once that is waited for.
            if coming is None or path in self._started:
                return True
            self._started.add(path)
            known, source = self._sources[path]
        try:
            self._fetch(known, source)
        except BaseException as error:  # noqa: BLE001 - it is raised where the path is waited for
            coming.set_exception(error)
        else:
            coming.set_result(None)
        return True

    def _fetch(self, known: NarInfo, source: NarSource) -> None:
        self.store.locks.hold_shared()  # before a NAR is found to be here
        content_check = _ContentCheck(known, source)
        if not self._has_valid_nar(known, content_check):
            with self.store.locks.lock_path(known.info.path):
                # Another process may have fetched it while this one waited.
                content_check = _ContentCheck(known, source)
                if not self._has_valid_nar(known, content_check):
                    content_check = _ContentCheck(known, source)
                    with self.store.incoming() as incoming:
                        self._incoming.append(incoming)
                        try:
                            self._receive(known, source, incoming, content_check)
                        finally:
                            self._incoming.remove(incoming)
        verified = content_check.verified()
        self._sources[known.info.path] = verified, source
        self._publisher.nar_received(verified)

    def _has_valid_nar(self, known: NarInfo, content_check: _ContentCheck) -> bool:
        """Whether its NAR is here, as one may be that nothing vouches for yet: it is held to all that is known of it.

        Raises `IntegrityError` where it is not what the path's content address says, and nothing else vouches for it.
        """
        if not self.store.contains_nar(known.info.nar_hash, known.info.nar_size):
            return False
        found = hashlib.sha256()
        for piece in self.store.stream_nar(known):
            found.update(piece)
            content_check.feed(piece)
        if found.digest() != known.info.nar_hash.raw:
            return False
        content_check.check()
        return True

    def _receive(self, known: NarInfo, source: NarSource, incoming: IncomingFile, content_check: _ContentCheck) -> None:
        size, most = 0, known.info.nar_size
        with closing(source.stream_nar(known)) as pieces:  # or its connection would stay open for as long as the error
            for piece in pieces:
                size += len(piece)
                if size > most:
                    got = f"got a NAR of more bytes, expected {most}: it was not read on"
                    raise IntegrityError(f"{known.info.path} in {source.label}: {got}")
                incoming.write(piece)
                content_check.feed(piece)
                if self._is_closed:
                    raise InterruptedError
        check_incoming(known, incoming, source.label)
        content_check.check()
        incoming.commit(nar_name(known.info.nar_hash))
        self.received.add(known.info.path)


class _ContentCheck:
    """Whether the content address that a narinfo has is true; `feed` is given the NAR.

    The address is signed by nobody. One that does not make the path, or is false although a signature vouches for the
    NAR hash, is left out and refuses nothing. Where nothing but the address vouches for the path, it has to be true.
    """

    def __init__(self, known: NarInfo, source: NarSource) -> None:
        self._known = known
        self._source = source
        self._address_check: ContentAddressCheck | None = None
        self._is_verified = False
        if has_matching_address(known):
            address = ContentAddress.parse(known.address)
            self._is_verified = address.equals_nar_hash(known.info)
            self._address_check = None if self._is_verified else ContentAddressCheck(address, known.info)

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the NAR."""
        if self._address_check:
            self._address_check.feed(data)

    def check(self) -> None:
        """Compare, once all bytes are in. Raises `IntegrityError` for a false address that alone vouches for a path."""
        if not self._address_check:
            return
        self._is_verified = self._address_check.matches()
        self._address_check = None
        if not self._is_verified and not self._source.trusts_nar_hash(self._known):
            info, address = self._known.info, self._known.address
            raise IntegrityError(f"{info.path} in {self._source.label}: got other content, expected that of {address}")

    def verified(self) -> NarInfo:
        """Give the narinfo, without its address unless that is true."""
        return self._known if self._is_verified else replace(self._known, address="")


class _Publisher:
    """Paths become valid when their NAR is there and all that they refer to is valid."""

    def __init__(self, store: EmbeddedStore) -> None:
        self._store = store
        self._lock = Lock()
        self._registered: set[StorePath] = set()
        self._received: dict[StorePath, NarInfo] = {}
        self._missing: dict[StorePath, set[StorePath]] = {}
        self._referrers: dict[StorePath, list[StorePath]] = {}

    def register(self, known: NarInfo) -> None:
        """It may arrive."""
        self._registered.add(known.info.path)

    def nar_received(self, known: NarInfo) -> None:
        """Its NAR is there. Raises `OutputError`."""
        path = known.info.path
        with self._lock:
            references = known.info.references - {path}
            missing = {found for found in references if not self._is_valid(found)}
            self._received[path] = known
            self._missing[path] = missing
            for reference in missing:
                self._referrers.setdefault(reference, []).append(path)
            ready = [] if missing else [path]
            while ready:
                done = ready.pop()
                self._registered.discard(done)
                self._store.publish(self._received.pop(done))
                for user in self._referrers.pop(done, ()):
                    self._missing[user].discard(done)
                    if not self._missing[user]:
                        ready.append(user)

    def _is_valid(self, path: StorePath) -> bool:
        return path not in self._registered and self._store.narinfo(path) is not None


def _run_thread(reference: weakref.ref[Fetcher]) -> None:
    """Fetches for as long as there is something to fetch, and somebody who wants it."""
    while True:
        fetching = reference()
        if fetching is None or not fetching.fetch_next():
            return
        del fetching


def _close_at_exit(fetching: weakref.ref[Fetcher]) -> None:
    found = fetching()
    if found:
        found.close()
