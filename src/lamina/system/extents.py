"""Read extents of the files that a walk has listed.

Invariant: the bytes come from the file that was listed. If the file's type, size or modification time differs when it
is opened, or changes while it is read, `IntegrityError` is raised.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import NamedTuple, Self

from lamina.core.callbacks import ignore
from lamina.core.nodes import Content, Extent
from lamina.errors import IntegrityError, Unavailable

OnMtimeChange = Callable[[Extent, int], object]
"""A callback for an extent whose file has another modification time. Without a callback that is an error."""

# Non-blocking, because the file may have become a pipe without a writer, and opening that would wait forever.
_FLAGS = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC"))
_PIECE_SIZE = 1 << 17
# The errors of open(2) if something else has replaced the file since the walk.
_REPLACED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO}


def read_head(content: Content, size: int, on_mtime_change: OnMtimeChange | None = None) -> bytes:
    """Read the first ``size`` bytes of ``content``, or all of it if it is shorter.

    Raises:
        IntegrityError: the file changed since the extent was made. A changed modification time is an error only
            without ``on_mtime_change``.
        Unavailable: the file cannot be read.
    """
    if isinstance(content, bytes):
        return content[:size]
    start = bytearray(min(size, content.length))
    with _opened(content, on_mtime_change) as fd:
        count = read_some(content, fd, memoryview(start))
    return bytes(start[:count])


@contextlib.contextmanager
def open_reader(extent: Extent) -> Iterator[Callable[[int, int], bytes]]:
    """Open ``extent`` for the block, and yield a function ``read(offset, size)`` that returns bytes of it.

    The function returns fewer than ``size`` bytes only at the extent's end. Opening and reading raise what `read_head`
    raises.
    """
    with _opened(extent) as fd:

        def read(offset: int, size: int) -> bytes:
            wanted = max(0, min(size, extent.length - offset))
            try:
                os.lseek(fd, extent.offset + offset, os.SEEK_SET)
                data = os.read(fd, wanted)
                while len(data) < wanted and (more := os.read(fd, wanted - len(data))):
                    data += more
            except OSError as error:
                raise _translate_error(extent, error) from error
            return data

        yield read


def iter_extent(extent: Extent, start: int = 0) -> Iterator[bytes]:
    """Yield the bytes of ``extent`` from ``start`` on, in pieces. Raises what `read_head` raises."""
    with open_reader(extent) as read:
        while start < extent.length:
            piece = read(start, _PIECE_SIZE)
            if not piece:
                raise truncated_error(extent, extent.length - start)
            yield piece
            start += len(piece)


def _read_whole(extent: Extent, on_mtime_change: OnMtimeChange | None) -> bytes:
    """Read a whole file at once, so that one fstat(2) afterwards suffices. Raises what `read_head` raises."""
    fd = _open_at_start(extent)
    try:
        data = os.read(fd, extent.length)
        status = os.fstat(fd)
    except OSError as error:
        raise _translate_error(extent, error) from error
    finally:
        os.close(fd)
    _check_read(extent, len(data), status, on_mtime_change)
    return data


def _read_whole_into(extent: Extent, view: memoryview, on_mtime_change: OnMtimeChange | None) -> None:
    """Read a whole file at once into ``view``, which has its length. Raises what `read_head` raises."""
    fd = _open_at_start(extent)
    try:
        count = _read_into(fd, view)
        status = os.fstat(fd)
    except OSError as error:
        raise _translate_error(extent, error) from error
    finally:
        os.close(fd)
    _check_read(extent, count, status, on_mtime_change)


def _open_at_start(extent: Extent) -> int:
    """Open the file at the extent's start, and return its descriptor."""
    try:
        fd = os.open(extent.file, _FLAGS)
        if extent.offset:
            os.lseek(fd, extent.offset, os.SEEK_SET)
    except OSError as error:
        raise _translate_error(extent, error) from error
    return fd


def _check_read(extent: Extent, count: int, status: os.stat_result, on_mtime_change: OnMtimeChange | None) -> None:
    if status.st_mtime_ns != extent.mtime_ns or status.st_size != extent.file_size or not stat.S_ISREG(status.st_mode):
        _check_status(extent, status, on_mtime_change)
    if count != extent.length:
        raise truncated_error(extent, extent.length - count)


def _check_unchanged(extent: Extent, fd: int, before: os.stat_result) -> None:
    """Raise `IntegrityError` if the file has changed since ``before``."""
    after = os.fstat(fd)
    # `nix-store --optimise` changes the number of a file's links and therefore the ctime, but not the content.
    if before.st_ctime_ns != after.st_ctime_ns:
        _check_status(extent, after, None if before.st_mtime_ns == extent.mtime_ns else ignore)
        if before.st_nlink == after.st_nlink or before.st_mtime_ns != after.st_mtime_ns:
            raise _changed_error(extent, "a change", "none")


class ExtentReader:
    """A reader of extents, one after the other; a context manager.

    If an extent is only a part of its file, such as a file in a NAR, the file stays open as long as the next extent is
    in the same file. If the block ends without an error, no file has changed while it was read.
    """

    def __init__(self, on_mtime_change: OnMtimeChange | None = None) -> None:
        self._on_mtime_change = on_mtime_change
        self._last: _OpenFile | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(check=kind is None)

    def read_small(self, extent: Extent) -> bytes:
        """Read all of an extent at once. Raises what `read_head` raises."""
        if extent.length == extent.file_size:
            return _read_whole(extent, self._on_mtime_change)
        fd = self._open_file(extent)
        try:
            data = os.read(fd, extent.length)
        except OSError as error:
            raise _translate_error(extent, error) from error
        if len(data) != extent.length:
            raise truncated_error(extent, extent.length - len(data))
        return data

    def read_small_into(self, extent: Extent, view: memoryview) -> None:
        """Read all of an extent into ``view``, which has the extent's length. Raises what `read_head` raises."""
        if extent.length == extent.file_size:
            _read_whole_into(extent, view, self._on_mtime_change)
            return
        count = read_some(extent, self._open_file(extent), view)
        if count != extent.length:
            raise truncated_error(extent, extent.length - count)

    @contextlib.contextmanager
    def open_large(self, extent: Extent) -> Iterator[int]:
        """Open the file at the extent's start for the block. Its start and its end raise what `read_head` raises."""
        if extent.length != extent.file_size:
            yield self._open_file(extent)
            return
        fd, before = open_extent(extent, self._on_mtime_change)
        try:
            yield fd
            _check_unchanged(extent, fd, before)
        finally:
            os.close(fd)

    def _open_file(self, extent: Extent) -> int:
        last = self._last
        if (
            last is None
            or last.extent.file != extent.file
            or last.extent.mtime_ns != extent.mtime_ns
            or last.extent.file_size != extent.file_size
        ):
            self._close(check=True)
            self._last = last = _OpenFile(extent, *open_extent(extent, self._on_mtime_change))
        else:
            os.lseek(last.fd, extent.offset, os.SEEK_SET)
        return last.fd

    def _close(self, *, check: bool) -> None:
        last, self._last = self._last, None
        if last is None:
            return
        try:
            if check:
                _check_unchanged(*last)
        finally:
            os.close(last.fd)


class _OpenFile(NamedTuple):
    """The open file of an extent, and its status when it was opened."""

    extent: Extent
    fd: int
    before: os.stat_result


@contextlib.contextmanager
def _opened(extent: Extent, on_mtime_change: OnMtimeChange | None = None) -> Iterator[int]:
    fd, _ = open_extent(extent, on_mtime_change)
    try:
        yield fd
    finally:
        os.close(fd)


def open_extent(extent: Extent, on_mtime_change: OnMtimeChange | None = None) -> tuple[int, os.stat_result]:
    """Open the file at the extent's start; return its descriptor and status. Raises what `read_head` raises."""
    try:
        fd = os.open(extent.file, _FLAGS)
    except OSError as error:
        raise _translate_error(extent, error) from error
    try:
        status = os.fstat(fd)
        _check_status(extent, status, on_mtime_change)
        if extent.offset:
            os.lseek(fd, extent.offset, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd, status


def read_some(extent: Extent, fd: int, view: memoryview) -> int:
    """Read from ``fd`` into ``view`` and return the number of bytes, 0 at the end. Raises what `read_head` raises."""
    try:
        return _read_into(fd, view)
    except OSError as error:
        raise _translate_error(extent, error) from error


if hasattr(os, "readv"):

    def _read_into(fd: int, view: memoryview) -> int:
        return os.readv(fd, [view])

else:

    def _read_into(fd: int, view: memoryview) -> int:
        data = os.read(fd, len(view))
        view[: len(data)] = data
        return len(data)


def check_mtime(extent: Extent, mtime_ns: int) -> None:
    """Raise `IntegrityError` unless the file of ``extent`` has the modification time ``mtime_ns``. Do not open it."""
    try:
        status = os.stat(extent.file, follow_symlinks=False)
    except OSError as error:
        raise _translate_error(extent, error) from error
    if status.st_mtime_ns != mtime_ns:
        raise _changed_error(extent, "another modification time", "the same as when it was written to the image")


def _check_status(extent: Extent, status: os.stat_result, on_mtime_change: OnMtimeChange | None) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _changed_error(extent, "no longer a file", "the file that was listed")
    if status.st_size != extent.file_size:
        raise _changed_error(extent, f"{status.st_size} bytes", f"{extent.file_size}")
    if status.st_mtime_ns != extent.mtime_ns:
        if on_mtime_change is None:
            raise _changed_error(extent, "another modification time", "the same as when it was listed")
        on_mtime_change(extent, status.st_mtime_ns)


def truncated_error(extent: Extent, left: int) -> IntegrityError:
    """Return the error for an extent whose file ends ``left`` bytes too early."""
    return _changed_error(extent, f"{extent.length - left} bytes", f"{extent.length}")


def _changed_error(extent: Extent, got: str, expected: str) -> IntegrityError:
    name = os.fsdecode(extent.file)
    return IntegrityError(name, got, f"{expected}: the file changed while it was read")


def _translate_error(extent: Extent, error: OSError) -> IntegrityError | Unavailable:
    name = os.fsdecode(extent.file)
    if error.errno in _REPLACED:
        return IntegrityError(name, error, "the file that was listed")
    return Unavailable(name, error, "a readable file")
