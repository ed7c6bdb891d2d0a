"""Read and write the entries of a shared layer cache, many at a time.

Nothing here raises an error of the place where the objects are, because the entries are only a help. Whatever goes
wrong is a warning, once for each kind of trouble, and the entries count as absent.

Invariant: a value that is returned for a key is one that was written for that key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import wait
from functools import partial
from threading import RLock
from typing import TypeVar

from lamina.errors import Error, FormatError, OutputError, Unreachable
from lamina.layer_cache.claims import Claim, is_claim_of, is_excluded
from lamina.layer_cache.objects import MAX_SIZE, REMOVED, Objects, dump_object, name_object, parse_object
from lamina.layer_cache.pause import Health
from lamina.system.threads import ThreadPool

# Each request waits for the network, so many threads do not need many processors.
_THREADS = 64
MAX_WAIT = 15.0
"""How many seconds all requests of one look-up, or of one writing, may take together."""
_WITHOUT = "continuing without the shared layer cache"
_WITHOUT_WRITING = "continuing without writing to the shared layer cache"
# After this many failures, the place is not asked for some time.
_MAX_FAILURES = 3

_T = TypeVar("_T")


class SharedEntries:
    """The entries in a folder or bucket, which is opened when it is first needed; safe for many threads.

    Args:
        open_objects: opens the place. It may raise `lamina.Error`.
        label: its name in messages.
        warn: is called with each warning.
        max_wait: how many seconds one call may take.
        health: what is known about the place; None for a place that is not known yet.
    """

    def __init__(
        self,
        open_objects: Callable[[], Objects],
        label: str,
        warn: Callable[[str], object],
        *,
        max_wait: float = MAX_WAIT,
        health: Health | None = None,
    ) -> None:
        self._open_objects = open_objects
        self._label = label
        self._warn = warn
        self._max_wait = max_wait
        self._lock = RLock()
        self._objects: Objects | None = None
        self._has_damage = False
        self._health = health or Health()

    def get_many(self, keys: Collection[bytes]) -> dict[bytes, bytes]:
        """Return the values of those of ``keys`` that have an object."""
        found = self._call_all({key: partial(self._read, key) for key in keys}, _WITHOUT)
        return {key: value for key, value in found.items() if value is not None}

    def put_many(self, values: Mapping[bytes, bytes | None]) -> list[bytes]:
        """Write the objects of all keys, or the mark of a removed entry where the value is None.

        Returns:
            The keys that were written.
        """
        if self._health.writing.is_paused:
            return []
        tasks = {key: partial(self._write, key, value) for key, value in values.items()}
        written = self._call_all(tasks, _WITHOUT_WRITING)
        return [key for key, is_written in written.items() if is_written]

    def claim(self, key: bytes, claim: Claim) -> bool:
        """Write the object of a claim; return whether no other claim excludes it, or it cannot be written."""
        objects = self._open()
        if objects is None or self._health.writing.is_paused:
            return True
        name, data = name_object(key), claim.dump()
        try:
            stored = objects.read(name, MAX_SIZE)
            if stored is None:
                if _create(objects, name, data):
                    return True
                stored = objects.read(name, MAX_SIZE)  # another process was faster
            if is_excluded(claim, stored, time.time()):
                return False
            objects.write(name, data)
        except FormatError:
            return True
        except OutputError as error:
            self._stop_writing(error)
        except Error as error:
            self._count_failure(error)
        return True

    def release(self, key: bytes, claimant: str) -> None:
        """Write the mark of a removed entry to the object of a claim, unless it is that of another claimant."""
        if not self._health.writing.is_paused:
            self._call_all({key: partial(self._remove_claim, key, claimant)}, _WITHOUT_WRITING)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            if self._objects:
                self._objects.close()
            self._objects = None

    def _open(self) -> Objects | None:
        """Return the opened place, or None if it is left alone now."""
        with self._lock:
            if self._objects is None and not self._health.requests.is_paused:
                try:
                    self._objects = self._open_objects()
                except Error as error:
                    self._stop(f"{_format(error)}: {_WITHOUT}")
            return None if self._health.requests.is_paused else self._objects

    def _call_all(self, tasks: Mapping[bytes, Callable[[Objects], _T]], ending: str) -> dict[bytes, _T]:
        """Call all ``tasks`` in threads, and return the results of those that end in time."""
        objects = self._open() if tasks else None
        if objects is None:
            return {}
        pool = ThreadPool(min(_THREADS, len(tasks)), "lamina-layer-cache")
        try:
            futures = {key: pool.submit(partial(task, objects)) for key, task in tasks.items()}
            done, pending = wait(futures.values(), timeout=self._max_wait)
        finally:
            # A thread that waits for a slow server is left to itself.
            pool.close(timeout=0)
        if pending:
            got = f"{len(done)} answers within {self._max_wait:g} seconds"
            self._stop(f"{self._label}: got {got}, expected {len(futures)}: {ending}")
        return {key: future.result() for key, future in futures.items() if future in done}

    def _read(self, key: bytes, objects: Objects) -> bytes | None:
        if self._health.requests.is_paused:
            return None
        name = name_object(key)
        try:
            data = objects.read(name, MAX_SIZE)
            return None if data is None else parse_object(key, data)
        except FormatError as error:
            self._report_damage(error, name)
        except Error as error:
            self._count_failure(error)
        return None

    def _remove_claim(self, key: bytes, claimant: str, objects: Objects) -> None:
        try:
            is_own = is_claim_of(claimant, objects.read(name_object(key), MAX_SIZE))
        except Error as error:
            self._count_failure(error)
            return
        if is_own:
            self._write(key, None, objects)

    def _write(self, key: bytes, value: bytes | None, objects: Objects) -> bool:
        data = REMOVED if value is None else dump_object(key, value)
        if self._health.writing.is_paused or self._health.requests.is_paused or len(data) > MAX_SIZE:
            return False
        try:
            objects.write(name_object(key), data)
        except Error as error:
            self._stop_writing(error)
            return False
        return True

    def _stop_writing(self, error: Error) -> None:
        if self._health.writing.begin():
            self._warn(f"{_format(error)}: {_WITHOUT_WRITING}")

    def _report_damage(self, error: FormatError, name: str) -> None:
        with self._lock:
            is_first, self._has_damage = not self._has_damage, True
        if is_first:
            error.subject = f"{self._label}/{name}"
            self._warn(f"{error}: it is made again")

    def _count_failure(self, error: Error) -> None:
        with self._health.lock:
            self._health.failures += 1
            is_last = isinstance(error, Unreachable) or self._health.failures >= _MAX_FAILURES
        if is_last:
            self._stop(f"{_format(error)}: {_WITHOUT}")

    def _stop(self, warning: str) -> None:
        """Send no more requests for some time."""
        with self._health.lock:
            self._health.failures = 0
        if self._health.requests.begin():
            self._warn(warning)


def _create(objects: Objects, name: str, data: bytes) -> bool:
    """Write an object unless there is one. For a place that cannot do that, it is replaced."""
    try:
        return objects.create(name, data)
    except OutputError:
        objects.write(name, data)
        return True


def _format(error: Error) -> str:
    return f"{error} ({error.hint})" if error.hint else str(error)
