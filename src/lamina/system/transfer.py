"""The hot loop: pieces in, bytes out, and their digest.

Invariant: what leaves is what was promised: an extent whose file is not as it was when it was walked ends in
`IntegrityError`. Memory is a few buffers, whatever goes through.

`fill` is the loop: pieces into buffers. `transfer` hashes what it writes, in a thread of its own. `copy` hashes
nothing, for who calls it knows the digest or has another process find it out; large files it leaves to the kernel.
`hash_pieces` writes nothing. The design record on speed says which is taken when.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread

from lamina.core.names import Digest
from lamina.core.nodes import Extent
from lamina.system.extents import ExtentReader, OnMtimeChange, read_some, truncated_error
from lamina.system.fd_writer import FdWriter

Piece = bytes | Extent
Write = Callable[[memoryview], object]
OnBytes = Callable[[int], object]
NextBuffer = Callable[[memoryview], memoryview]
"""Takes a buffer that is full, or the part of the last that is in use, and gives the next."""

BUFFER_SIZE = 1 << 19
# Up to here a file is read with what stands before and behind it, above it passes by itself.
_SMALL_FILE = 1 << 16
# What stays in a processor's cache while it is read and hashed.
_CHUNK_SIZE = 1 << 17
_MAX_HELD_BYTES = 1 << 18
# POSIX lets a system take as few as 16; Linux, macOS and the BSDs take 1024 (limits.h, IOV_MAX).
_MAX_PARTS = 1000
_BUFFERS = 8
# Sets of buffers that nobody uses: memory that was never touched costs more than what goes through it.
_IDLE_BUFFERS: list[list[memoryview]] = []


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """What went through: its SHA-256 and its length in bytes."""

    digest: Digest
    size: int


def fill(
    pieces: Iterable[Piece], buffer: memoryview, next_buffer: NextBuffer, on_mtime_change: OnMtimeChange | None = None
) -> int:
    """Lays ``pieces`` down in ``buffer``, one behind the other, and says how many bytes they were.

    Each buffer that is full goes to ``next_buffer``, which gives the next, and at last the part of one that is in use.
    ``on_mtime_change`` is told of an extent whose file has another modification time than it says, which without it is
    an error. Raises `IntegrityError` for a file that changed since its extent was made, `Unavailable` for one that
    cannot be read.
    """
    size = filled = 0
    room = len(buffer)
    with ExtentReader(on_mtime_change) as files:
        for piece in pieces:
            if isinstance(piece, bytes):
                length = len(piece)
                end = filled + length
                if end <= room:
                    buffer[filled:end] = piece
                    filled = end
                else:
                    buffer, filled = _split(piece, buffer, filled, next_buffer)
            else:
                length = piece.length
                end = filled + length
                if length <= _SMALL_FILE and end <= room:
                    files.small_into(piece, buffer[filled:end])
                    filled = end
                else:
                    buffer, filled = _read(piece, buffer, filled, next_buffer, files)
            size += length
            if filled == len(buffer):
                buffer, filled = next_buffer(buffer), 0
            room = len(buffer)
    if filled:
        next_buffer(buffer[:filled])
    return size


def transfer(pieces: Iterable[Piece], write: Write) -> BlobInfo:
    """Writes ``pieces`` in order and says what they were.

    ``write`` is given whole buffers, which it must not keep. Raises as `fill` does, and whatever ``write`` raises.
    """
    hashing = _HashingThread(write)
    try:
        size = fill(pieces, hashing.buffer(), hashing.next_buffer)
        return BlobInfo(hashing.digest(), size)
    finally:
        hashing.stop()


def hash_pieces(pieces: Iterable[Piece], buffer: memoryview | None = None) -> BlobInfo:
    """What ``pieces`` are, written nowhere, or laid down in ``buffer``, which has room for all. Raises as `fill`."""
    digest = hashlib.sha256()
    window = memoryview(bytearray(_CHUNK_SIZE)) if buffer is None else buffer[:_CHUNK_SIZE]
    begun = 0

    def next_buffer(view: memoryview) -> memoryview:
        nonlocal begun
        digest.update(view)
        begun += len(view)
        return window if buffer is None else buffer[begun : begun + _CHUNK_SIZE]

    size = fill(pieces, window, next_buffer)
    return BlobInfo(Digest(digest.digest()), size)


def copy(
    pieces: Iterable[Piece], out: Write, step: OnBytes | None = None, on_mtime_change: OnMtimeChange | None = None
) -> int:
    """Writes ``pieces`` in order, hashes nothing, and says how many bytes they were; ``step`` is told of each portion.

    What goes to an `FdWriter` is left to the kernel as far as it can be. Raises as `fill` does, and whatever ``out``
    raises.
    """
    step = step or _ignore
    if isinstance(out, FdWriter):
        return _copy_to_fd(pieces, out, step, on_mtime_change)
    buffer = memoryview(bytearray(_CHUNK_SIZE))

    def next_buffer(view: memoryview) -> memoryview:
        out(view)
        step(len(view))
        return buffer

    return fill(pieces, buffer, next_buffer, on_mtime_change)


class HashingWriter:
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
    def blob_info(self) -> BlobInfo:
        """What has gone through by now."""
        return BlobInfo(Digest(self._hash.digest()), self._size)


def _split(data: bytes, buffer: memoryview, filled: int, next_buffer: NextBuffer) -> tuple[memoryview, int]:
    view = memoryview(data)
    while view:
        part = view[: len(buffer) - filled]
        buffer[filled : filled + len(part)] = part
        buffer, filled = _advance(buffer, filled, len(part), next_buffer)
        view = view[len(part) :]
    return buffer, filled


def _read(
    extent: Extent, buffer: memoryview, filled: int, next_buffer: NextBuffer, files: ExtentReader
) -> tuple[memoryview, int]:
    with files.large(extent) as file:
        left = extent.length
        while left:
            count = read_some(extent, file, buffer[filled : filled + left])
            if not count:
                raise truncated_error(extent, left)
            buffer, filled = _advance(buffer, filled, count, next_buffer)
            left -= count
    return buffer, filled


def _advance(buffer: memoryview, filled: int, count: int, next_buffer: NextBuffer) -> tuple[memoryview, int]:
    """So many more bytes of the buffer are in use now."""
    if filled + count < len(buffer):
        return buffer, filled + count
    return next_buffer(buffer), 0


def _copy_to_fd(pieces: Iterable[Piece], out: FdWriter, step: OnBytes, on_mtime_change: OnMtimeChange | None) -> int:
    parts: list[bytes] = []
    held = size = 0
    # Small pieces are handed on many at once, large files by themselves.
    with ExtentReader(on_mtime_change) as files:
        for piece in pieces:
            if isinstance(piece, bytes):
                data = piece
            elif piece.length <= _SMALL_FILE:
                data = files.small(piece)
            else:
                if parts:
                    out.write_parts(parts)
                    step(held)
                    size += held
                    parts, held = [], 0
                _send_file(piece, out, step, files)
                size += piece.length
                continue
            parts.append(data)
            held += len(data)
            if held >= _MAX_HELD_BYTES or len(parts) >= _MAX_PARTS:
                out.write_parts(parts)
                step(held)
                size += held
                parts, held = [], 0
    if parts:
        out.write_parts(parts)
        step(held)
    return size + held


def _send_file(extent: Extent, out: FdWriter, step: OnBytes, files: ExtentReader) -> None:
    with files.large(extent) as file:
        left = extent.length
        while left and (count := out.send_file(file, left)) >= 0:
            if not count:
                raise truncated_error(extent, left)
            step(count)
            left -= count
        buffer = memoryview(bytearray(_CHUNK_SIZE if left else 0))
        while left:
            count = read_some(extent, file, buffer[:left])
            if not count:
                raise truncated_error(extent, left)
            out(buffer[:count])
            step(count)
            left -= count


def _ignore(_: object) -> None:
    """Nothing."""


class _HashingThread:
    """Passes each full buffer to the hash and to ``write``.

    The hash has a thread of its own, and a queue of full buffers before it; behind it they are free again.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._hash = hashlib.sha256()
        self._full: SimpleQueue[memoryview | None] = SimpleQueue()
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        self._buffers = (
            _IDLE_BUFFERS.pop() if _IDLE_BUFFERS else [memoryview(bytearray(BUFFER_SIZE)) for _ in range(_BUFFERS)]
        )
        for buffer in self._buffers:
            self._free.put(buffer)
        self._hasher = Thread(target=self._run, name="lamina-hash", daemon=True)
        self._hasher.start()

    def buffer(self) -> memoryview:
        """A buffer that is free."""
        return self._free.get()

    def next_buffer(self, data: memoryview) -> memoryview:
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
        if self._buffers:
            self._full.put(None)
            self._hasher.join()
            _IDLE_BUFFERS.append(self._buffers)
            self._buffers = []

    def _run(self) -> None:
        while (data := self._full.get()) is not None:
            self._hash.update(data)
            self._free.put(_whole_buffer(data))


def _whole_buffer(part: memoryview) -> memoryview:
    """The buffer of which ``part`` is the beginning."""
    return memoryview(part.obj)
