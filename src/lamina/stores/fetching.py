"""Store paths on their way from binary caches into the embedded store.

Invariant: a NAR is in the store once its hash, its size, its form and, where it has one, its content address were what
the narinfo says, never before; a path becomes valid after all that it refers to. What fails leaves the store as it was.

Downloading, decompressing, hashing and writing a NAR is one thread's work from piece to piece, for all of them leave
Python's lock alone; as many are on their way at once as there are processors, and two more, for the network.
"""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Iterable
from concurrent.futures import Future
from itertools import count
from queue import PriorityQueue
from threading import Lock, Thread
from typing import Protocol

from lamina import narfile
from lamina.capacity import processors
from lamina.errors import FormatError, IntegrityError
from lamina.formats.address import Address, Evidence
from lamina.formats.narinfo import NarInfo
from lamina.names import StorePath
from lamina.stores.arrival import Arrival
from lamina.stores.embedded import EmbeddedStore, nar_name

_MORE_THREADS = 2
_FIRST = -(1 << 62)


class Source(Protocol):
    """Where NARs come from."""

    @property
    def where(self) -> str:
        """What it is called in messages."""

    def nar(self, known: NarInfo) -> Iterable[bytes]:
        """The NAR that ``known`` describes. Raises `StoreError`, `FormatError`."""


class Fetching:
    """Fetches into ``store``, in the order in which it was asked to; ``keep`` is what must live as long as that."""

    def __init__(self, store: EmbeddedStore, threads: int = 0, *, keep: object = None) -> None:
        self.store = store
        self._keep = keep
        self._most = threads or processors() + _MORE_THREADS
        self._lock = Lock()
        self._waiting: PriorityQueue[tuple[int, StorePath | None]] = PriorityQueue()
        self._order = count(1)
        self._sources: dict[StorePath, tuple[NarInfo, Source]] = {}
        self._coming: dict[StorePath, Future[None]] = {}
        self._begun: set[StorePath] = set()
        self._threads: list[Thread] = []
        self._is_over = False
        self._publication = _Publication(store)
        atexit.register(_end, weakref.ref(self))

    def announce(self, known: NarInfo, source: Source) -> None:
        """``known`` can be fetched from ``source``; nothing is fetched yet."""
        with self._lock:
            if known.info.path not in self._sources:
                self._sources[known.info.path] = known, source
                self._publication.announce(known)

    def begin(self, paths: Iterable[StorePath]) -> None:
        """Begins to fetch those of ``paths`` that were announced, in that order, before all that was not begun yet."""
        with self._lock:
            for path in paths:
                if path in self._sources and path not in self._coming:
                    self._coming[path] = Future()
                    self._waiting.put((next(self._order), path))
                    self._more_threads()

    def is_here(self, path: StorePath) -> bool:
        """Whether nobody would wait for ``path``."""
        coming = self._coming.get(path)
        return coming.done() if coming else path not in self._sources

    def wait(self, path: StorePath) -> None:
        """Until ``path`` is in the store. Raises what fetching it raised."""
        self.begin((path,))
        coming = self._coming.get(path)
        if coming:
            # Whoever waits is served before all that nobody waits for yet.
            self._waiting.put((-next(self._order), path))
            coming.result()

    def known(self, path: StorePath) -> NarInfo | None:
        """What was announced of ``path``."""
        found = self._sources.get(path)
        return found[0] if found else None

    def end(self) -> None:
        """Stops; what is not whole yet is dropped."""
        self._is_over = True
        for _ in self._threads:
            self._waiting.put((_FIRST + next(self._order), None))
        for thread in self._threads:
            thread.join(1)

    def _more_threads(self) -> None:
        if len(self._threads) < self._most:
            thread = Thread(target=self._serve, name="lamina-fetch", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self) -> None:
        while True:
            _, path = self._waiting.get()
            if path is None or self._is_over:
                return
            with self._lock:
                if path in self._begun:
                    continue
                self._begun.add(path)
            coming = self._coming[path]
            try:
                self._fetch(*self._sources[path])
            except BaseException as error:  # noqa: BLE001 - it is raised where the path is waited for
                coming.set_exception(error)
            else:
                coming.set_result(None)

    def _fetch(self, known: NarInfo, source: Source) -> None:
        info = known.info
        if not self.store.holds(info.nar_hash, info.nar_size):
            with self.store.locks.fetching(info.path):
                # Another process may have fetched it while this one waited.
                if not self.store.holds(info.nar_hash, info.nar_size):
                    with self.store.arrival() as arrival:
                        self._receive(known, source, arrival)
        self._publication.arrived(known)

    def _receive(self, known: NarInfo, source: Source, arrival: Arrival) -> None:
        evidence = _evidence(known)
        size, most = 0, known.info.nar_size
        for piece in source.nar(known):
            size += len(piece)
            if size > most:
                raise IntegrityError(
                    f"{known.info.path} in {source.where}: got a NAR of more bytes, expected {most}: it was not read on"
                )
            arrival.write(piece)
            if evidence:
                evidence.feed(piece)
            if self._is_over:
                raise InterruptedError
        check_arrival(known, arrival, source.where, evidence)
        arrival.keep(nar_name(known.info.nar_hash))


def check_arrival(known: NarInfo, arrival: Arrival, where: str, evidence: Evidence | None) -> None:
    """Holds what arrived to what ``known`` says of it. Raises `IntegrityError`, `FormatError` for what is no NAR."""
    info, found = known.info, arrival.measure
    if found.size != info.nar_size:
        raise IntegrityError(f"{info.path} in {where}: got a NAR of {found.size} bytes, expected {info.nar_size}")
    if found.digest != info.nar_hash:
        raise IntegrityError(f"{info.path} in {where}: got a NAR with hash {found.digest}, expected {info.nar_hash}")
    if evidence and not evidence.holds():
        raise IntegrityError(f"{info.path} in {where}: got other content, expected that of {known.address}")
    try:
        narfile.check(narfile.archive(str(arrival.path).encode()))
    except FormatError as error:
        raise FormatError(f"{info.path} in {where}: {str(error).partition(': ')[2]}") from error


def _evidence(known: NarInfo) -> Evidence | None:
    """What a content address wants to see, None where the NAR hash says it."""
    if not known.address:
        return None
    address = Address.parse(known.address)
    return None if address.hashes_nar(known.info) else Evidence(address, known.info)


class _Publication:
    """Paths become valid when their NAR is there and all that they refer to is valid."""

    def __init__(self, store: EmbeddedStore) -> None:
        self._store = store
        self._lock = Lock()
        self._announced: set[StorePath] = set()
        self._arrived: dict[StorePath, NarInfo] = {}
        self._missing: dict[StorePath, set[StorePath]] = {}
        self._users: dict[StorePath, list[StorePath]] = {}

    def announce(self, known: NarInfo) -> None:
        """It may arrive."""
        self._announced.add(known.info.path)

    def arrived(self, known: NarInfo) -> None:
        """Its NAR is there. Raises `OutputError`."""
        path = known.info.path
        with self._lock:
            references = known.info.references - {path}
            missing = {found for found in references if not self._is_valid(found)}
            self._arrived[path] = known
            self._missing[path] = missing
            for reference in missing:
                self._users.setdefault(reference, []).append(path)
            ready = [] if missing else [path]
            while ready:
                done = ready.pop()
                self._announced.discard(done)
                self._store.publish(self._arrived.pop(done))
                for user in self._users.pop(done, ()):
                    self._missing[user].discard(done)
                    if not self._missing[user]:
                        ready.append(user)

    def _is_valid(self, path: StorePath) -> bool:
        return path not in self._announced and self._store.narinfo(path) is not None


def _end(fetching: weakref.ref[Fetching]) -> None:
    found = fetching()
    if found:
        found.end()
