"""Memory shared between processes: a worker process packs a layer into it, and this process writes it out.

Invariant: a range belongs to one layer from `SharedBuffer.allocate` to `SharedBuffer.free`. Ranges never overlap and
are always inside the buffer.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from dataclasses import dataclass
from threading import RLock


@dataclass(frozen=True, slots=True)
class BufferRange:
    """A range of a `SharedBuffer`, in bytes; other processes write to it through the descriptor ``fd``."""

    fd: int
    offset: int
    size: int


class SharedBuffer:
    """A block of anonymous memory, divided into ranges. Creating one raises `OSError` without memfd_create(2)."""

    def __init__(self, size: int) -> None:
        if not hasattr(os, "memfd_create"):
            raise OSError("no anonymous memory on this system")
        self.fd: int = os.memfd_create("lamina-buffer")
        self._size = size
        self._lock = RLock()
        self._allocated: list[BufferRange] = []  # sorted by offset
        os.ftruncate(self.fd, size)
        self._memory = mmap.mmap(self.fd, size)

    def allocate(self, size: int) -> BufferRange | None:
        """Return a range of ``size`` bytes, or None if no gap is large enough; the first gap that fits is taken."""
        with self._lock:
            start = 0
            for index, used in enumerate([*self._allocated, BufferRange(self.fd, self._size, 0)]):
                if used.offset - start >= size:
                    region = BufferRange(self.fd, start, size)
                    self._allocated.insert(index, region)
                    return region
                start = used.offset + used.size
        return None

    def view(self, region: BufferRange) -> memoryview:
        """Return the bytes of ``region``; release the view before the buffer is closed."""
        return memoryview(self._memory)[region.offset : region.offset + region.size]

    def free(self, region: BufferRange) -> None:
        """Make ``region`` available again."""
        with self._lock:
            self._allocated.remove(region)

    def close(self) -> None:
        """Release the memory and its descriptor."""
        with contextlib.suppress(BufferError):  # a view is still in use; the memory is freed together with it
            self._memory.close()
        os.close(self.fd)


_mapped: dict[tuple[int, int], memoryview] = {}


def map_buffer(fd: int) -> memoryview:
    """Map the buffer of the descriptor ``fd``, and keep the mapping until another buffer is requested."""
    status = os.fstat(fd)
    # A descriptor's number may be reused for another buffer, so the file identifies it.
    key = status.st_dev, status.st_ino
    if key not in _mapped:
        _mapped.clear()
        _mapped[key] = memoryview(mmap.mmap(fd, status.st_size))
    return _mapped[key]
