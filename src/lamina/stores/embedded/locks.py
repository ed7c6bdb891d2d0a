"""Locks of an embedded store, for processes that use it at the same time.

Invariant: nothing is removed from a store while another process uses it, and only one thread of one process at a time
receives a NAR, so its file is not replaced while another reads it.
A store that is read-only is used without locks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from threading import RLock

from lamina.core.names import Digest, dump_nix32
from lamina.errors import OutputError
from lamina.system.locks import FileLock

# In seconds. A garbage collection only removes files, which takes a few seconds.
_TIMEOUT = 60


class Locks:
    """The locks of one store; they are files in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._subject = f"store {folder.parent}"
        self._mutex = RLock()  # not a Lock: `close` takes it after a signal that came before its release
        self._is_shared = False
        self._held = contextlib.ExitStack()

    def hold_shared(self) -> None:
        """Keep other processes from removing anything until `close`.

        Within `hold_exclusive` this does nothing, because that lock keeps them out already. Raises `Unavailable` if a
        garbage collection does not end within a minute.
        """
        with self._mutex:
            if not self._is_shared:
                self._held.enter_context(self._lock("store.lock", shared=True, timeout=_TIMEOUT))
                self._is_shared = True

    def close(self) -> None:
        """Release the shared lock."""
        with self._mutex:
            self._held.close()
            self._is_shared = False

    @contextlib.contextmanager
    def hold_exclusive(self, timeout: float = 0) -> Iterator[None]:
        """Keep other processes from using the store within the block.

        Raises `Unavailable` if another process still uses it after ``timeout`` seconds, and `OutputError` if the store
        cannot be locked.
        """
        with self._lock("store.lock", timeout=timeout) as lock:
            if not lock.is_held:
                raise OutputError(self._subject, "no lock", "an exclusive lock for writing")
            with self._mutex:
                was_shared, self._is_shared = self._is_shared, True
            try:
                yield
            finally:
                self._is_shared = was_shared

    def lock_nar(self, nar_hash: Digest) -> FileLock:
        """Wait until no one else receives the NAR with ``nar_hash``; no one can until the lock is released.

        Several store paths may have the same NAR, and they share its file.
        """
        return self._lock(f"fetching/{dump_nix32(nar_hash.raw)}.lock")

    def _lock(self, name: str, *, shared: bool = False, timeout: float | None = None) -> FileLock:
        return FileLock(self._folder / name, self._subject, shared=shared, timeout=timeout)
