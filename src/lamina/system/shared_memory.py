"""Memory that processes share: others lay down in it what this one writes.

Invariant: a place is one layer's from `Spool.take` to `Spool.give`, and all of them lie within the size it was made
with.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from dataclasses import dataclass
from threading import Lock


@dataclass(frozen=True, slots=True)
class Place:
    """A range of a spool, in bytes; ``number`` is the descriptor by which other processes write to it."""

    number: int
    offset: int
    size: int


class Spool:
    """Raises `OSError` where the system has no such memory."""

    def __init__(self, size: int) -> None:
        if not hasattr(os, "memfd_create"):
            raise OSError("no memory without a name")
        self.number = os.memfd_create("lamina-spool")
        self._size = size
        self._lock = Lock()
        self._taken: list[Place] = []  # in the order in which they lie there
        os.ftruncate(self.number, size)
        self._memory = mmap.mmap(self.number, size)

    def take(self, size: int) -> Place | None:
        """A place of ``size`` bytes, None where none is free."""
        with self._lock:
            start = 0
            for index, taken in enumerate([*self._taken, Place(self.number, self._size, 0)]):
                if taken.offset - start >= size:
                    place = Place(self.number, start, size)
                    self._taken.insert(index, place)
                    return place
                start = taken.offset + taken.size
        return None

    def view(self, place: Place) -> memoryview:
        """What lies there; to be released before the spool is closed."""
        return memoryview(self._memory)[place.offset : place.offset + place.size]

    def give(self, place: Place) -> None:
        """The place is free again."""
        with self._lock:
            self._taken.remove(place)

    def close(self) -> None:
        """Lets go of all of it."""
        with contextlib.suppress(BufferError):  # then somebody looks at it yet, and the memory goes with the view
            self._memory.close()
        os.close(self.number)


_open: dict[tuple[int, int], memoryview] = {}


def laid_open(number: int) -> memoryview:
    """The spool whose descriptor is ``number``, until another is asked for."""
    status = os.fstat(number)
    spool = status.st_dev, status.st_ino  # a number is used again, and the same one asked for many times
    if spool not in _open:
        _open.clear()
        _open[spool] = memoryview(mmap.mmap(number, status.st_size))
    return _open[spool]
