"""The transfer loop: read pieces, write their bytes, and compute their digest.

`fill` is the loop that reads pieces into buffers. `transfer` hashes the bytes that it writes, in a separate thread.
`copy` does not hash, because its callers know the digest or let another process compute it; it lets the kernel copy
large files. `hash_pieces` writes nothing. docs/design/0009-speed.md says where each one is used.

An extent whose file has changed since it was listed raises `IntegrityError`. The memory used is a few buffers,
regardless of how much is transferred.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread

from lamina.core.callbacks import ignore
from lamina.core.names import Digest
from lamina.core.nodes import Extent
from lamina.system.extents import ExtentReader, OnMtimeChange, read_some, truncated_error
from lamina.system.fd_writer import Output

Piece = bytes | Extent
Write = Callable[[memoryview], object]
OnBytes = Callable[[int], object]
"""A callback with the number of bytes that have just been written."""
NextBuffer = Callable[[memoryview], memoryview]
"""A callback with a full buffer, or with the used part of the last buffer. It returns the next buffer."""

BUFFER_SIZE = 1 << 19
# Files up to this size share a buffer with their headers; larger ones are sent separately.
_SMALL_FILE = 1 << 16
# This is small enough to stay in the processor's cache between reading and hashing.
_CHUNK_SIZE = 1 << 17
_MAX_PENDING_BYTES = 1 << 18
# writev(2) takes at most IOV_MAX parts: 1024 on Linux, macOS and the BSDs; POSIX allows as few as 16 (limits.h).
_MAX_PARTS = 1000
_MAX_BUFFERS = 8


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """The SHA-256 and the length in bytes of the transferred data."""

    digest: Digest
    size: int


def fill(
    pieces: Iterable[Piece], buffer: memoryview, next_buffer: NextBuffer, on_mtime_change: OnMtimeChange | None = None
) -> int:
    """Read ``pieces`` into buffers, one after the other.

    Args:
        pieces: the bytes and extents to read.
        buffer: the first buffer.
        next_buffer: called with each full buffer, and at the end with the used part of the last one; returns the next.
        on_mtime_change: called with an extent whose file has another modification time, and that time in nanoseconds.
            Without this callback, another modification time is an error.

    Returns:
        The number of bytes in all pieces.

    Raises:
        IntegrityError: a file changed since its extent was made.
        Unavailable: a file cannot be read.
    """
    size = filled = 0
    buffer_size = len(buffer)
    with ExtentReader(on_mtime_change) as files:
        for piece in pieces:
            if isinstance(piece, bytes):
                length = len(piece)
                end = filled + length
                if end <= buffer_size:
                    buffer[filled:end] = piece
                    filled = end
                else:
                    buffer, filled = _copy_across_buffers(piece, buffer, filled, next_buffer)
            else:
                length = piece.length
                end = filled + length
                if length <= _SMALL_FILE and end <= buffer_size:
                    files.read_small_into(piece, buffer[filled:end])
                    filled = end
                else:
                    buffer, filled = _read_large(piece, buffer, filled, next_buffer, files)
            size += length
            if filled == len(buffer):
                buffer, filled = next_buffer(buffer), 0
            buffer_size = len(buffer)
    if filled:
        next_buffer(buffer[:filled])
    return size


class TransferBuffers:
    """Buffers that several calls of `transfer` reuse.

    They are reused because the first access to new memory takes longer than copying through memory that was used
    before.
    """

    def __init__(self) -> None:
        self._idle: list[memoryview] = []

    def take(self) -> memoryview:
        """Return an unused buffer, or a new one."""
        try:
            return self._idle.pop()
        except IndexError:
            return memoryview(bytearray(BUFFER_SIZE))

    def put(self, buffers: Iterable[memoryview]) -> None:
        """Take back ``buffers`` that are no longer used."""
        self._idle += buffers


def transfer(pieces: Iterable[Piece], write: Write, buffers: TransferBuffers | None = None) -> BlobInfo:
    """Write ``pieces`` in order while a thread hashes them, and return their digest and size.

    Args:
        pieces: the bytes and extents to write.
        write: receives full buffers, which it must not keep.
        buffers: the buffers to use; None for new ones.

    Raises what `fill` raises, and any error of ``write``.
    """
    hashing = _HashingThread(write, buffers or TransferBuffers())
    try:
        size = fill(pieces, hashing.take_buffer(), hashing.next_buffer)
    finally:
        digest = hashing.finish()
    return BlobInfo(digest, size)


def hash_pieces(pieces: Iterable[Piece], buffer: memoryview | None = None, on_bytes: OnBytes = ignore) -> BlobInfo:
    """Hash ``pieces``, and copy them to ``buffer``, which must have room for all.

    ``on_bytes`` is called with the size of each portion that was hashed. Raises what `fill` raises.
    """
    digest = hashlib.sha256()
    window = memoryview(bytearray(_CHUNK_SIZE)) if buffer is None else buffer[:_CHUNK_SIZE]
    hashed = 0

    def next_buffer(view: memoryview) -> memoryview:
        nonlocal hashed
        digest.update(view)
        hashed += len(view)
        on_bytes(len(view))
        return window if buffer is None else buffer[hashed : hashed + _CHUNK_SIZE]

    size = fill(pieces, window, next_buffer)
    return BlobInfo(Digest(digest.digest()), size)


def copy(
    pieces: Iterable[Piece], out: Output, on_bytes: OnBytes = ignore, on_mtime_change: OnMtimeChange | None = None
) -> int:
    """Write ``pieces`` in order without hashing them, and return their size in bytes.

    The kernel copies large files where it can. ``on_bytes`` is called with the size of each portion that was written.
    Raises what `fill` raises, and any error of ``out``.
    """
    parts: list[bytes] = []
    pending = size = 0
    # Many small pieces share one system call; large files are sent separately.
    with ExtentReader(on_mtime_change) as files:
        for piece in pieces:
            if isinstance(piece, bytes):
                data = piece
            elif piece.length <= _SMALL_FILE:
                data = files.read_small(piece)
            else:
                if parts:
                    out.write_many(parts)
                    on_bytes(pending)
                    size += pending
                    parts, pending = [], 0
                _send_file(piece, out, on_bytes, files)
                size += piece.length
                continue
            parts.append(data)
            pending += len(data)
            if pending >= _MAX_PENDING_BYTES or len(parts) >= _MAX_PARTS:
                out.write_many(parts)
                on_bytes(pending)
                size += pending
                parts, pending = [], 0
    if parts:
        out.write_many(parts)
        on_bytes(pending)
    return size + pending


class HashingWriter(Output):
    """An output that hashes and counts the data, and passes it on to a function."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._hash = hashlib.sha256()
        self._size = 0

    def write(self, data: memoryview) -> None:
        """Hash and count ``data``, and pass it on."""
        self._hash.update(data)
        self._size += len(data)
        self._write(data)

    @property
    def blob_info(self) -> BlobInfo:
        """The digest and size of all data so far."""
        return BlobInfo(Digest(self._hash.digest()), self._size)


def _copy_across_buffers(
    data: bytes, buffer: memoryview, filled: int, next_buffer: NextBuffer
) -> tuple[memoryview, int]:
    view = memoryview(data)
    while view:
        part = view[: len(buffer) - filled]
        buffer[filled : filled + len(part)] = part
        buffer, filled = _advance(buffer, filled, len(part), next_buffer)
        view = view[len(part) :]
    return buffer, filled


def _read_large(
    extent: Extent, buffer: memoryview, filled: int, next_buffer: NextBuffer, files: ExtentReader
) -> tuple[memoryview, int]:
    with files.open_large(extent) as fd:
        left = extent.length
        while left:
            count = read_some(extent, fd, buffer[filled : filled + left])
            if not count:
                raise truncated_error(extent, left)
            buffer, filled = _advance(buffer, filled, count, next_buffer)
            left -= count
    return buffer, filled


def _advance(buffer: memoryview, filled: int, count: int, next_buffer: NextBuffer) -> tuple[memoryview, int]:
    """Mark ``count`` more bytes of the buffer as used; hand it on if it is full."""
    if filled + count < len(buffer):
        return buffer, filled + count
    return next_buffer(buffer), 0


def _send_file(extent: Extent, out: Output, on_bytes: OnBytes, files: ExtentReader) -> None:
    with files.open_large(extent) as fd:
        left = extent.length
        while left and (count := out.send_file(fd, left)) >= 0:
            if not count:
                raise truncated_error(extent, left)
            on_bytes(count)
            left -= count
        buffer = memoryview(bytearray(min(left, _CHUNK_SIZE)))
        while left:
            count = read_some(extent, fd, buffer[:left])
            if not count:
                raise truncated_error(extent, left)
            out.write(buffer[:count])
            on_bytes(count)
            left -= count


class _HashingThread:
    """A thread that hashes full buffers while the caller writes and refills others.

    Full buffers go to the thread through one queue and come back through another once they are hashed. A `ThreadPool`
    would add 50 µs to each layer and is not needed for a single task that cannot fail.
    """

    def __init__(self, write: Write, buffers: TransferBuffers) -> None:
        self._write = write
        self._buffers = buffers
        self._taken: list[memoryview] = []
        self._hash = hashlib.sha256()
        self._full: SimpleQueue[memoryview | None] = SimpleQueue()
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        self._hasher = Thread(target=self._run, name="lamina-hash", daemon=True)
        self._hasher.start()

    def take_buffer(self) -> memoryview:
        """Return a free buffer, or a new one up to a limit; beyond the limit, wait for a free one."""
        if len(self._taken) == _MAX_BUFFERS or not self._free.empty():
            return self._free.get()
        self._taken.append(self._buffers.take())
        return self._taken[-1]

    def next_buffer(self, data: memoryview) -> memoryview:
        """Hash and write ``data``, which is a full buffer or its used part, and return a free buffer."""
        self._full.put(data)
        self._write(data)
        return self.take_buffer()

    def finish(self) -> Digest:
        """End the thread after it has hashed all queued buffers, and return the digest of all data."""
        self._full.put(None)
        self._hasher.join()
        self._buffers.put(self._taken)
        return Digest(self._hash.digest())

    def _run(self) -> None:
        while (data := self._full.get()) is not None:
            self._hash.update(data)
            self._free.put(_whole_buffer(data))


def _whole_buffer(part: memoryview) -> memoryview:
    """Return the whole buffer that ``part`` is the beginning of."""
    return memoryview(part.obj)
