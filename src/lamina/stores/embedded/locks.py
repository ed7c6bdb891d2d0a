"""Locks of an embedded store, for processes that use it at the same time.

Invariant: nothing is removed from a store while another process uses it, and only one process at a time fetches a path.
A lock ends with the process that holds it, however that process ends. A store that is read-only is used without locks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from lamina.core.names import StorePath
from lamina.errors import OutputError, Unavailable

if TYPE_CHECKING:
    from filelock import ReadWriteLock

# In seconds. A garbage collection only removes files, which takes a few seconds.
_TIMEOUT = 60


class Locks:
    """The locks of one store; they are files in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shared_lock: ReadWriteLock | None = None
        self._mutex = Lock()
        self._is_shared = False

    def hold_shared(self) -> None:
        """Keep other processes from removing anything as long as this object exists.

        Within `hold_exclusive` this does nothing, because that lock keeps them out already. Raises `Unavailable` if a
        garbage collection does not end within a minute.
        """
        with self._mutex:
            if self._is_shared:
                return
            self._is_shared = True
            # A stream script may run in an environment without the filelock library.
            with contextlib.suppress(OutputError, ImportError), self._translate_errors():
                self._folder.mkdir(parents=True, exist_ok=True)
                self._shared_lock = self._store_lock()
                self._acquire_shared(self._shared_lock)

    def _acquire_shared(self, store_lock: ReadWriteLock) -> None:
        from filelock import Timeout

        try:
            store_lock.acquire_read(timeout=_TIMEOUT)
        except Timeout as error:
            raise Unavailable(
                f"store {self._folder.parent}: got it being collected, expected that to end within {_TIMEOUT} seconds",
                hint="try again once lamina store gc is done",
            ) from error

    @contextlib.contextmanager
    def hold_exclusive(self, timeout: float = 0) -> Iterator[None]:
        """Keep other processes from using the store within the block.

        Raises `Unavailable` if another process still uses it after ``timeout`` seconds, and `OutputError`.
        """
        from filelock import Timeout

        try:
            with self._translate_errors():
                self._folder.mkdir(parents=True, exist_ok=True)
                store_lock = self._store_lock()
                store_lock.acquire_write(timeout=timeout)
        except Timeout as error:
            raise Unavailable(
                f"store {self._folder.parent}: got it in use, expected nobody to use it",
                hint="try again once that is done",
            ) from error
        try:
            with self._mutex:
                was_shared, self._is_shared = self._is_shared, True
            yield
        finally:
            self._is_shared = was_shared
            store_lock.release()

    @contextlib.contextmanager
    def lock_path(self, path: StorePath) -> Iterator[None]:
        """Wait until no other process fetches ``path``, then keep others from it in the block. Raises `OutputError`."""
        from filelock import FileLock

        folder = self._folder / "fetching"
        with self._translate_errors():
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / f"{path.hash}.lock", is_singleton=False)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Turn the errors of the libraries for a full or read-only disk, or one without locks, into `OutputError`."""
        import sqlite3

        from filelock import Timeout

        try:
            yield
        except Timeout:
            raise
        except (OSError, ValueError, NotImplementedError, sqlite3.Error) as error:
            got = getattr(error, "strerror", None) or error
            raise OutputError(f"store {self._folder.parent}: got {got} for a lock, expected to write there") from error

    def _store_lock(self) -> ReadWriteLock:
        from filelock import ReadWriteLock

        return ReadWriteLock(self._folder / "store.lock", is_singleton=False)
