"""The hot loop: pieces in, bytes out, and their digest.

Invariant: what leaves is what was promised: an extent whose file is not as it was when it was walked ends in
`IntegrityError`, and no byte that was written goes unhashed.

Reading, writing and hashing overlap: a buffer is hashed by a thread of its own while it is written and the next one
is filled. Memory is a few buffers, whatever goes through.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread

from lamina.errors import IntegrityError, Unavailable
from lamina.names import Digest
from lamina.nodes import Extent

Piece = bytes | Extent
Write = Callable[[memoryview], object]

BUFFER_SIZE = 1 << 19
_BUFFERS = 8
# Sets of buffers that nobody uses: memory that was never touched costs more than what goes through it.
_IDLE: list[list[memoryview]] = []
# Not blocking, for a file may have become a pipe that nobody writes to.
_FLAGS = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC"))
# What opening a file says when it was replaced by something else since the walk.
_REPLACED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO}


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
    """What ``pieces`` are, written nowhere."""
    return transfer(pieces, len)


def head(content: Piece, size: int) -> bytes:
    """The first ``size`` bytes of ``content``, fewer where it has fewer. Raises as `transfer` does."""
    if isinstance(content, bytes):
        return content[:size]
    start = bytearray(min(size, content.length))
    with _opened(content) as file:
        count = _read_some(content, file, memoryview(start))
    return bytes(start[:count])


@contextlib.contextmanager
def reading(extent: Extent) -> Iterator[Callable[[int, int], bytes]]:
    """A ``read(offset, size)`` of the bytes of ``extent``, for the block; it gives fewer only where they end.

    Raises as `transfer` does, also while it reads.
    """
    with _opened(extent) as file:

        def read(offset: int, size: int) -> bytes:
            wanted = max(0, min(size, extent.length - offset))
            try:
                os.lseek(file, extent.offset + offset, os.SEEK_SET)
                data = os.read(file, wanted)
                while len(data) < wanted and (more := os.read(file, wanted - len(data))):
                    data += more
            except OSError as error:
                raise _translated(extent, error) from error
            return data

        yield read


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
    file, before = _open(extent)
    try:
        left = extent.length
        while left:
            filled = funnel.filled
            count = _read_some(extent, file, funnel.buffer[filled : filled + left])
            if not count:
                raise _changed(extent, f"{extent.length - left} bytes", f"{extent.length}")
            funnel.advance(count)
            left -= count
        after = os.fstat(file)
        # A store that is being optimised changes how many links a file has, and with it the time of its last change.
        if before.st_ctime_ns != after.st_ctime_ns:
            _unchanged(extent, after)
            if before.st_nlink == after.st_nlink:
                raise _changed(extent, "a change", "none")
    finally:
        os.close(file)


@contextlib.contextmanager
def _opened(extent: Extent) -> Iterator[int]:
    file, _ = _open(extent)
    try:
        yield file
    finally:
        os.close(file)


def _open(extent: Extent) -> tuple[int, os.stat_result]:
    """The file of ``extent``, as it was when it was walked, at the extent's start."""
    try:
        file = os.open(extent.file, _FLAGS)
    except OSError as error:
        raise _translated(extent, error) from error
    try:
        status = os.fstat(file)
        _unchanged(extent, status)
        if extent.offset:
            os.lseek(file, extent.offset, os.SEEK_SET)
    except BaseException:
        os.close(file)
        raise
    return file, status


def _read_some(extent: Extent, file: int, view: memoryview) -> int:
    try:
        return _read_into(file, view)
    except OSError as error:
        raise _translated(extent, error) from error


if hasattr(os, "readv"):

    def _read_into(file: int, view: memoryview) -> int:
        return os.readv(file, [view])

else:

    def _read_into(file: int, view: memoryview) -> int:
        data = os.read(file, len(view))
        view[: len(data)] = data
        return len(data)


def _unchanged(extent: Extent, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _changed(extent, "no longer a file", "the file that was walked")
    if status.st_size != extent.file_size:
        raise _changed(extent, f"{status.st_size} bytes", f"{extent.file_size}")
    if status.st_mtime_ns != extent.stamp:
        raise _changed(extent, "another modification time", "the one it had when it was walked")


def _changed(extent: Extent, got: str, expected: str) -> IntegrityError:
    name = os.fsdecode(extent.file)
    return IntegrityError(f"{name}: got {got}, expected {expected}: the file changed while it was read")


def _translated(extent: Extent, error: OSError) -> IntegrityError | Unavailable:
    name = os.fsdecode(extent.file)
    if error.errno in _REPLACED:
        return IntegrityError(f"{name}: got {error.strerror}, expected the file that was walked")
    return Unavailable(f"{name}: got {error.strerror}, expected a readable file")
