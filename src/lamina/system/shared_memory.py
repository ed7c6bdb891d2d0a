"""Memory that processes share: others lay down in it what this one writes.

Invariant: a place is one layer's from `SharedBuffer.allocate` to `SharedBuffer.free`, and all of them lie within the
size it was made with.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from dataclasses import dataclass
from threading import Lock


@dataclass(frozen=True, slots=True)
class BufferRange:
    """A range of a spool, in bytes; ``fd`` is the descriptor by which other processes write to it."""

    fd: int
    offset: int
    size: int


class SharedBuffer:
    """Raises `OSError` where the system has no such memory."""

    def __init__(self, size: int) -> None:
        if not hasattr(os, "memfd_create"):
            raise OSError("no memory without a name")
        self.fd = os.memfd_create("lamina-buffer")
        self._size = size
        self._lock = Lock()
        self._allocated: list[BufferRange] = []  # in the order in which they lie there
        os.ftruncate(self.fd, size)
        self._memory = mmap.mmap(self.fd, size)

    def allocate(self, size: int) -> BufferRange | None:
        """A place of ``size`` bytes, None where none is free."""
        with self._lock:
            start = 0
            for index, taken in enumerate([*self._allocated, BufferRange(self.fd, self._size, 0)]):
                if taken.offset - start >= size:
                    region = BufferRange(self.fd, start, size)
                    self._allocated.insert(index, region)
                    return region
                start = taken.offset + taken.size
        return None

    def view(self, region: BufferRange) -> memoryview:
        """What lies there; to be released before the spool is closed."""
        return memoryview(self._memory)[region.offset : region.offset + region.size]

    def free(self, region: BufferRange) -> None:
        """The place is free again."""
        with self._lock:
            self._allocated.remove(region)

    def close(self) -> None:
        """Lets go of all of it."""
        with contextlib.suppress(BufferError):  # then somebody looks at it yet, and the memory goes with the view
            self._memory.close()
        os.close(self.fd)


_open: dict[tuple[int, int], memoryview] = {}


def map_buffer(fd: int) -> memoryview:
    """The spool whose descriptor is ``fd``, until another is asked for."""
    status = os.fstat(fd)
    spool = status.st_dev, status.st_ino  # a number is used again, and the same one asked for many times
    if spool not in _open:
        _open.clear()
        _open[spool] = memoryview(mmap.mmap(fd, status.st_size))
    return _open[spool]
