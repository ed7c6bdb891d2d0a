"""Memory that processes share: others lay down in it what this one writes.

Invariant: a place is one layer's from `Spool.take` to `Spool.give`, and all of them lie within the size it was made
with.
"""

from __future__ import annotations

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
        self._memory.close()
        os.close(self.number)


_OPEN: dict[int, memoryview] = {}


def laid_open(number: int) -> memoryview:
    """The spool of another process whose descriptor is ``number``, for as long as this process lives."""
    if number not in _OPEN:
        _OPEN[number] = memoryview(mmap.mmap(number, os.fstat(number).st_size))
    return _OPEN[number]
