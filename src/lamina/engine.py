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
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from lamina.errors import IntegrityError, Unavailable
from lamina.names import Digest
from lamina.nodes import Extent

Piece = bytes | Extent
Write = Callable[[memoryview], object]

BUFFER_SIZE = 1 << 20
_BUFFERS = 3
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
    with ThreadPoolExecutor(1, "lamina-hash") as hasher:
        funnel = _Funnel(write, hasher)
        for piece in pieces:
            if isinstance(piece, bytes):
                funnel.put(piece)
            else:
                _read(piece, funnel)
        return funnel.close()


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
    """Collects small pieces into large buffers, and passes each full one to the hash and to ``write``."""

    def __init__(self, write: Write, hasher: ThreadPoolExecutor) -> None:
        self._write = write
        self._hasher = hasher
        self._hash = hashlib.sha256()
        self._size = 0
        self._buffers = [memoryview(bytearray(BUFFER_SIZE)) for _ in range(_BUFFERS)]
        self._hashed: list[Future[None] | None] = [None] * _BUFFERS
        self._current = 0
        self._filled = 0

    def put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            free = self.free()
            part = view[: len(free)]
            free[: len(part)] = part
            self.filled(len(part))
            view = view[len(part) :]

    def free(self) -> memoryview:
        """Where the next bytes go; never empty."""
        return self._buffers[self._current][self._filled :]

    def filled(self, size: int) -> None:
        """So many bytes of `free` are in use now."""
        self._filled += size
        if self._filled == BUFFER_SIZE:
            self._flush()

    def close(self) -> Measure:
        self._flush()
        for future in self._hashed:
            if future:
                future.result()
        return Measure(Digest(self._hash.digest()), self._size)

    def _flush(self) -> None:
        data = self._buffers[self._current][: self._filled]
        self._size += len(data)
        self._hashed[self._current] = self._hasher.submit(self._hash.update, data)
        if data:
            self._write(data)
        self._current = (self._current + 1) % _BUFFERS
        self._filled = 0
        future = self._hashed[self._current]
        if future:
            future.result()


def _read(extent: Extent, funnel: _Funnel) -> None:
    with _opened(extent) as file:
        before = os.fstat(file)
        left = extent.length
        while left:
            count = _read_some(extent, file, funnel.free()[:left])
            if not count:
                raise _changed(extent, f"{extent.length - left} bytes", f"{extent.length}")
            funnel.filled(count)
            left -= count
        after = os.fstat(file)
        _unchanged(extent, after)
        # A store that is being optimised changes how many links a file has, and with it the time of its last change.
        if before.st_ctime_ns != after.st_ctime_ns and before.st_nlink == after.st_nlink:
            raise _changed(extent, "a change", "none")


@contextlib.contextmanager
def _opened(extent: Extent) -> Iterator[int]:
    """The file of ``extent``, as it was when it was walked, at the extent's start."""
    try:
        file = os.open(extent.file, _FLAGS)
    except OSError as error:
        raise _translated(extent, error) from error
    try:
        _unchanged(extent, os.fstat(file))
        if extent.offset:
            os.lseek(file, extent.offset, os.SEEK_SET)
        yield file
    finally:
        os.close(file)


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
