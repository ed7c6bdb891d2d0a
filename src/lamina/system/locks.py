"""Locks between processes on the path of a file or folder.

A lock is released when the process that holds it ends, even if it is killed.

They are the kernel's locks of flock(2), which can be shared or exclusive, work for files and folders, and need neither
a library nor write permission: a stream script runs on machines where only Python is installed. docs/design/0011
describes the rejected alternatives.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
import weakref
from functools import partial
from pathlib import Path
from typing import Self

from lamina.errors import Unavailable
from lamina.system.cleanup import close_with

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

_POLL_INTERVAL = 0.01  # seconds


class FileLock:
    """A lock on ``path`` that is held until `release`; a context manager.

    Threads of one process exclude each other in the same way as processes.

    Args:
        path: A folder, or a file, which is created with its parents if it is missing. Its content is not changed.
        subject: The locked thing, for messages.
        shared: Whether others may hold a shared lock at the same time.
        timeout: How many seconds to wait for others; None to wait without limit.

    Attributes:
        is_held: Whether the lock is held. It is not held if the path cannot be opened, or if the system or file system
            has no locks. Callers that require the lock must check this.

    Raises:
        Unavailable: Others still hold the lock after ``timeout`` seconds.
    """

    def __init__(self, path: Path, subject: str, *, shared: bool = False, timeout: float | None = None) -> None:
        fd = _open(path)
        self.release: weakref.finalize[[], object] = close_with(self, partial(_close, fd))
        try:
            self.is_held: bool = fd >= 0 and _wait(fd, subject, shared, timeout)
        except BaseException:
            self.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def try_lock(fd: int, *, shared: bool = False) -> bool | None:
    """Lock an open file; return whether that succeeded, or None if the system or file system has no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _open(path: Path) -> int:
    """Return a descriptor of ``path``, or -1 if it cannot be opened."""
    # Over NFS, an exclusive lock requires a file that is open for writing. A folder is only ever opened for reading.
    for flags in (os.O_RDWR | os.O_CREAT, os.O_RDONLY):
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, flags | getattr(os, "O_CLOEXEC", 0), 0o666)
    return -1


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)


def _wait(fd: int, subject: str, shared: bool, timeout: float | None) -> bool:
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    while (is_locked := try_lock(fd, shared=shared)) is False:
        if time.monotonic() >= deadline:
            raise Unavailable(
                subject,
                "another process that uses it",
                "no other process",
                hint="try again when that process has finished",
                is_transient=True,
            )
        time.sleep(_POLL_INTERVAL)
    return bool(is_locked)
