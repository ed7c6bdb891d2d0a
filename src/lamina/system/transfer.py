"""The hot loop: pieces in, bytes out, and their digest.

Invariant: what leaves is what was promised: an extent whose file is not as it was when it was walked ends in
`IntegrityError`. Memory is a few buffers, whatever goes through.

`fill` is the loop: pieces into buffers. `transfer` hashes what it writes, in a thread of its own. `copy` hashes
nothing, for who calls it knows the digest or has another process find it out; large files it leaves to the kernel.
`measure` writes nothing. The design record on speed says which is taken when.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread

from lamina.core.names import Digest
from lamina.core.nodes import Extent
from lamina.system.extents import Doubt, Files, cut_short, read_some
from lamina.system.fd_writer import Outlet

Piece = bytes | Extent
Write = Callable[[memoryview], object]
Step = Callable[[int], object]
Full = Callable[[memoryview], memoryview]
"""Takes a buffer that is full, or the part of the last that is in use, and gives the next."""

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


@dataclass(frozen=True, slots=True)
class Measure:
    """What went through: its SHA-256 and its length in bytes."""

    digest: Digest
    size: int


def fill(pieces: Iterable[Piece], buffer: memoryview, full: Full, doubt: Doubt | None = None) -> int:
    """Lays ``pieces`` down in ``buffer``, one behind the other, and says how many bytes they were.

    Each buffer that is full goes to ``full``, which gives the next, and at last the part of one that is in use.
    ``doubt`` is told of an extent whose file has another modification time than it says, which without it is an error.
    Raises `IntegrityError` for a file that changed since its extent was made, `Unavailable` for one that cannot be
    read.
    """
    size = filled = 0
    room = len(buffer)
    with Files(doubt) as files:
        for piece in pieces:
            if isinstance(piece, bytes):
                length = len(piece)
                end = filled + length
                if end <= room:
                    buffer[filled:end] = piece
                    filled = end
                else:
                    buffer, filled = _split(piece, buffer, filled, full)
            else:
                length = piece.length
                end = filled + length
                if length <= _SMALL and end <= room:
                    files.small_into(piece, buffer[filled:end])
                    filled = end
                else:
                    buffer, filled = _read(piece, buffer, filled, full, files)
            size += length
            if filled == len(buffer):
                buffer, filled = full(buffer), 0
            room = len(buffer)
    if filled:
        full(buffer[:filled])
    return size


def transfer(pieces: Iterable[Piece], write: Write) -> Measure:
    """Writes ``pieces`` in order and says what they were.

    ``write`` is given whole buffers, which it must not keep. Raises as `fill` does, and whatever ``write`` raises.
    """
    hashing = _Hashing(write)
    try:
        size = fill(pieces, hashing.buffer(), hashing.full)
        return Measure(hashing.digest(), size)
    finally:
        hashing.stop()


def measure(pieces: Iterable[Piece], buffer: memoryview | None = None) -> Measure:
    """What ``pieces`` are, written nowhere, or laid down in ``buffer``, which has room for all. Raises as `fill`."""
    digest = hashlib.sha256()
    window = memoryview(bytearray(_AT_ONCE)) if buffer is None else buffer[:_AT_ONCE]
    begun = 0

    def full(view: memoryview) -> memoryview:
        nonlocal begun
        digest.update(view)
        begun += len(view)
        return window if buffer is None else buffer[begun : begun + _AT_ONCE]

    size = fill(pieces, window, full)
    return Measure(Digest(digest.digest()), size)


def copy(pieces: Iterable[Piece], out: Write, step: Step | None = None, doubt: Doubt | None = None) -> int:
    """Writes ``pieces`` in order, hashes nothing, and says how many bytes they were; ``step`` is told of each portion.

    What goes to an `Outlet` is left to the kernel as far as it can be. Raises as `fill` does, and whatever ``out``
    raises.
    """
    step = step or _unheard
    if isinstance(out, Outlet):
        return _hand(pieces, out, step, doubt)
    buffer = memoryview(bytearray(_AT_ONCE))

    def full(view: memoryview) -> memoryview:
        out(view)
        step(len(view))
        return buffer

    return fill(pieces, buffer, full, doubt)


class Tally:
    """A `Write` that hashes and counts what it passes on."""

    def __init__(self, write: Write) -> None:
        self._write = write
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


def _split(data: bytes, buffer: memoryview, filled: int, full: Full) -> tuple[memoryview, int]:
    view = memoryview(data)
    while view:
        part = view[: len(buffer) - filled]
        buffer[filled : filled + len(part)] = part
        buffer, filled = _advanced(buffer, filled, len(part), full)
        view = view[len(part) :]
    return buffer, filled


def _read(extent: Extent, buffer: memoryview, filled: int, full: Full, files: Files) -> tuple[memoryview, int]:
    with files.large(extent) as file:
        left = extent.length
        while left:
            count = read_some(extent, file, buffer[filled : filled + left])
            if not count:
                raise cut_short(extent, left)
            buffer, filled = _advanced(buffer, filled, count, full)
            left -= count
    return buffer, filled


def _advanced(buffer: memoryview, filled: int, count: int, full: Full) -> tuple[memoryview, int]:
    """So many more bytes of the buffer are in use now."""
    if filled + count < len(buffer):
        return buffer, filled + count
    return full(buffer), 0


def _hand(pieces: Iterable[Piece], out: Outlet, step: Step, doubt: Doubt | None) -> int:
    parts: list[bytes] = []
    held = size = 0
    # Small pieces are handed on many at once, large files by themselves.
    with Files(doubt) as files:
        for piece in pieces:
            if isinstance(piece, bytes):
                data = piece
            elif piece.length <= _SMALL:
                data = files.small(piece)
            else:
                if parts:
                    out.gather(parts)
                    step(held)
                    size += held
                    parts, held = [], 0
                _pass_by(piece, out, step, files)
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


def _pass_by(extent: Extent, out: Outlet, step: Step, files: Files) -> None:
    with files.large(extent) as file:
        left = extent.length
        while left and (count := out.send(file, left)) >= 0:
            if not count:
                raise cut_short(extent, left)
            step(count)
            left -= count
        buffer = memoryview(bytearray(_AT_ONCE if left else 0))
        while left:
            count = read_some(extent, file, buffer[:left])
            if not count:
                raise cut_short(extent, left)
            out(buffer[:count])
            step(count)
            left -= count


def _unheard(_: object) -> None:
    """Nothing."""


class _Hashing:
    """Passes each full buffer to the hash and to ``write``.

    The hash has a thread of its own, and a queue of full buffers before it; behind it they are free again.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._hash = hashlib.sha256()
        self._full: SimpleQueue[memoryview | None] = SimpleQueue()
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        self._ring = _IDLE.pop() if _IDLE else [memoryview(bytearray(BUFFER_SIZE)) for _ in range(_BUFFERS)]
        for buffer in self._ring:
            self._free.put(buffer)
        self._hasher = Thread(target=self._run, name="lamina-hash", daemon=True)
        self._hasher.start()

    def buffer(self) -> memoryview:
        """A buffer that is free."""
        return self._free.get()

    def full(self, data: memoryview) -> memoryview:
        """Takes what is in a buffer; gives another."""
        self._full.put(data)
        self._write(data)
        return self.buffer()

    def digest(self) -> Digest:
        """Of all that was taken."""
        self.stop()
        return Digest(self._hash.digest())

    def stop(self) -> None:
        """Ends the thread, once what it has been given is hashed, and leaves the buffers to the next."""
        if self._ring:
            self._full.put(None)
            self._hasher.join()
            _IDLE.append(self._ring)
            self._ring = []

    def _run(self) -> None:
        while (data := self._full.get()) is not None:
            self._hash.update(data)
            self._free.put(_whole(data))


def _whole(part: memoryview) -> memoryview:
    """The buffer of which ``part`` is the beginning."""
    return memoryview(part.obj)
