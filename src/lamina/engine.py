"""The hot loop: pieces in, bytes out, and their digest.

Invariant: what leaves is what was promised: an extent whose file is not as it was when it was walked ends in
`IntegrityError`. Memory is a few buffers, whatever goes through.

`transfer` hashes what it writes, in a thread of its own; `copy` hashes nothing, for who calls it knows the digest or
has another process find it out, and leaves large files to the kernel where it can; `measure` writes nothing. The
design record on speed says which is taken when.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

from lamina.extents import Doubt, check_still, cut_short, open_extent, read_small, read_some
from lamina.names import Digest
from lamina.nodes import Extent
from lamina.outlet import Outlet

Piece = bytes | Extent
Write = Callable[[memoryview], object]
Step = Callable[[int], object]

BUFFER_SIZE = 1 << 19
# Up to here a file is read with what stands before and behind it, above it passes by itself.
_SMALL = 1 << 16
# What stays in a processor's cache while it is read and hashed.
_AT_ONCE = 1 << 17
_MOST_HELD = 1 << 18
# POSIX lets a system take as few as 16; Linux, macOS and the BSDs take 1024 (limits.h, IOV_MAX).
_MOST_PARTS = 1000
_BUFFERS = 8
# Sets of buffers that nobody uses: memory that was never touched costs more than what goes through it.
_IDLE: list[list[memoryview]] = []
_SPARE: list[memoryview] = []


class Taker(Protocol):
    """What `copy` hands bytes to; `taker` makes one."""

    def __call__(self, data: memoryview, /) -> object:
        """Takes all of ``data``, which it must not keep."""

    def gather(self, parts: Sequence[bytes], /) -> object:
        """Takes all of ``parts``, at most a thousand of them."""

    def send(self, file: int, size: int, /) -> int:
        """Takes up to ``size`` bytes of ``file`` from where it stands: how many; 0 at its end, -1 for "read them"."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What went through: its SHA-256 and its length in bytes."""

    digest: Digest
    size: int


def transfer(pieces: Iterable[Piece], write: Write) -> Measure:
    """Writes ``pieces`` in order and says what they were.

    ``write`` is given whole buffers, which it must not keep. Raises `IntegrityError` for a file that changed since
    its extent was made, `Unavailable` for one that cannot be read, and whatever ``write`` raises.
    """
    funnel = _Funnel(write)
    try:
        for piece in pieces:
            if isinstance(piece, bytes):
                funnel.put(piece)
            else:
                _read(piece, funnel)
        return funnel.close()
    finally:
        funnel.stop()


def measure(pieces: Iterable[Piece]) -> Measure:
    """What ``pieces`` are, written nowhere. Raises as `transfer` does."""
    tally = Tally()
    copy(pieces, tally)
    return tally.measure


def copy(pieces: Iterable[Piece], out: Taker, step: Step | None = None, doubt: Doubt | None = None) -> int:
    """Hands ``pieces`` to ``out`` in order, hashes nothing, and says how many bytes they were.

    ``step`` is told of each portion; ``doubt`` of an extent whose file has another modification time than it says,
    which without it is an error. Raises as `transfer` does.
    """
    step = step or _unheard
    parts: list[bytes] = []
    held = size = 0
    # Small pieces are handed on many at once, large files by themselves.
    for piece in pieces:
        if isinstance(piece, bytes):
            data = piece
        elif piece.length <= _SMALL:
            data = read_small(piece, doubt)
        else:
            if parts:
                out.gather(parts)
                step(held)
                size += held
                parts, held = [], 0
            _pass_by(piece, out, step, doubt)
            size += piece.length
            continue
        parts.append(data)
        held += len(data)
        if held >= _MOST_HELD or len(parts) >= _MOST_PARTS:
            out.gather(parts)
            step(held)
            size += held
            parts, held = [], 0
    if parts:
        out.gather(parts)
        step(held)
    return size + held


def _pass_by(extent: Extent, out: Taker, step: Step, doubt: Doubt | None) -> None:
    file, before = open_extent(extent, doubt)
    try:
        left = extent.length
        while left and (count := out.send(file, left)) >= 0:
            if not count:
                raise cut_short(extent, left)
            step(count)
            left -= count
        if left:
            _read_through(extent, file, left, out, step)
        check_still(extent, file, before)
    finally:
        os.close(file)


def _read_through(extent: Extent, file: int, left: int, out: Taker, step: Step) -> None:
    buffer = _SPARE.pop() if _SPARE else memoryview(bytearray(_AT_ONCE))
    try:
        while left:
            count = read_some(extent, file, buffer[:left])
            if not count:
                raise cut_short(extent, left)
            out(buffer[:count])
            step(count)
            left -= count
    finally:
        _SPARE.append(buffer)


class Through:
    """A `Write` as a `Taker`."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def __call__(self, data: memoryview) -> None:
        """Passes ``data`` on."""
        self._write(data)

    def gather(self, parts: Sequence[bytes]) -> None:
        """Passes them on as one."""
        self(memoryview(b"".join(parts)))

    def send(self, file: int, size: int) -> int:
        """Nothing: they have to be read."""
        return -1


def taker(write: Write) -> Taker:
    """What `copy` hands bytes to so that they reach ``write``: itself where it is an `Outlet`."""
    return write if isinstance(write, Outlet) else Through(write)


class Tally(Through):
    """Hashes and counts what it passes on to ``write``, if there is one."""

    def __init__(self, write: Write = len) -> None:
        super().__init__(write)
        self._hash = hashlib.sha256()
        self._size = 0

    def __call__(self, data: memoryview) -> None:
        """Takes ``data`` into account and passes it on."""
        self._hash.update(data)
        self._size += len(data)
        self._write(data)

    @property
    def measure(self) -> Measure:
        """What has gone through by now."""
        return Measure(Digest(self._hash.digest()), self._size)


def _unheard(_: object) -> None:
    """Nothing."""


class _Funnel:
    """Collects small pieces into large buffers, and passes each full one to the hash and to ``write``.

    The hash has a thread of its own, and a queue of full buffers before it; behind it they are free again.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._hash = hashlib.sha256()
        self._size = 0
        self._full: SimpleQueue[memoryview | None] = SimpleQueue()
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        self._ring = _IDLE.pop() if _IDLE else [memoryview(bytearray(BUFFER_SIZE)) for _ in range(_BUFFERS)]
        for buffer in self._ring:
            self._free.put(buffer)
        self.buffer = self._free.get()
        self.filled = 0
        self._hasher = Thread(target=self._run, name="lamina-hash", daemon=True)
        self._hasher.start()

    def put(self, data: bytes) -> None:
        end = self.filled + len(data)
        if end < BUFFER_SIZE:
            self.buffer[self.filled : end] = data
            self.filled = end
            return
        view = memoryview(data)
        while view:
            part = view[: BUFFER_SIZE - self.filled]
            self.buffer[self.filled : self.filled + len(part)] = part
            self.advance(len(part))
            view = view[len(part) :]

    def advance(self, size: int) -> None:
        """So many more bytes of the buffer are in use now."""
        self.filled += size
        if self.filled == BUFFER_SIZE:
            self._flush()

    def close(self) -> Measure:
        """What went through."""
        if self.filled:
            self._flush()
        self.stop()
        return Measure(Digest(self._hash.digest()), self._size)

    def stop(self) -> None:
        """Ends the thread, once what it has been given is hashed, and leaves the buffers to the next."""
        if self._ring:
            self._full.put(None)
            self._hasher.join()
            _IDLE.append(self._ring)
            self._ring = []

    def _flush(self) -> None:
        data = self.buffer[: self.filled]
        self._size += len(data)
        self._full.put(data)
        self._write(data)
        self.buffer = self._free.get()
        self.filled = 0

    def _run(self) -> None:
        while (data := self._full.get()) is not None:
            self._hash.update(data)
            self._free.put(_whole(data))


def _whole(part: memoryview) -> memoryview:
    """The buffer of which ``part`` is the beginning."""
    return memoryview(part.obj)


def _read(extent: Extent, funnel: _Funnel) -> None:
    file, before = open_extent(extent)
    try:
        left = extent.length
        while left:
            filled = funnel.filled
            count = read_some(extent, file, funnel.buffer[filled : filled + left])
            if not count:
                raise cut_short(extent, left)
            funnel.advance(count)
            left -= count
        check_still(extent, file, before)
    finally:
        os.close(file)
