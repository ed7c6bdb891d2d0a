"""Files read as extents: the edge at which a file is opened.

Invariant: bytes come from the file that was walked: one whose kind, size or modification time is another when it is
opened, or that changes while it is read, ends in `IntegrityError`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from lamina.core.nodes import Content, Extent
from lamina.errors import IntegrityError, Unavailable

OnMtimeChange = Callable[[Extent], object]
"""Is told of an extent whose file has another modification time than it says; without it that is an error."""

# Not blocking, for a file may have become a pipe that nobody writes to.
_FLAGS = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC"))
# What opening a file says when it was replaced by something else since the walk.
_REPLACED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO}


def read_head(content: Content, size: int, on_mtime_change: OnMtimeChange | None = None) -> bytes:
    """The first ``size`` bytes of ``content``, fewer where it has fewer.

    Raises `IntegrityError` for a file that changed since the extent was made, without ``on_mtime_change`` also for one
    of another date, `Unavailable` for one that cannot be read.
    """
    if isinstance(content, bytes):
        return content[:size]
    start = bytearray(min(size, content.length))
    with _opened(content, on_mtime_change) as file:
        count = read_some(content, file, memoryview(start))
    return bytes(start[:count])


@contextlib.contextmanager
def open_reader(extent: Extent) -> Iterator[Callable[[int, int], bytes]]:
    """A ``read(offset, size)`` of the bytes of ``extent``, for the block; it gives fewer only where they end.

    Raises as `read_head` does, also while it reads.
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
                raise _translate_error(extent, error) from error
            return data

        yield read


def read_small(extent: Extent, on_mtime_change: OnMtimeChange | None) -> bytes:
    """All of an extent, read at once: one look at the file suffices then. Raises as `read_head` does."""
    file = _open_at_start(extent)
    try:
        data = os.read(file, extent.length)
        status = os.fstat(file)
    except OSError as error:
        raise _translate_error(extent, error) from error
    finally:
        os.close(file)
    _check_read(extent, len(data), status, on_mtime_change)
    return data


def read_small_into(extent: Extent, view: memoryview, on_mtime_change: OnMtimeChange | None) -> None:
    """Likewise, into ``view``, which is as long."""
    file = _open_at_start(extent)
    try:
        count = _read_into(file, view)
        status = os.fstat(file)
    except OSError as error:
        raise _translate_error(extent, error) from error
    finally:
        os.close(file)
    _check_read(extent, count, status, on_mtime_change)


def _open_at_start(extent: Extent) -> int:
    """The file, open at the extent's start."""
    try:
        file = os.open(extent.file, _FLAGS)
        if extent.offset:
            os.lseek(file, extent.offset, os.SEEK_SET)
    except OSError as error:
        raise _translate_error(extent, error) from error
    return file


def _check_read(extent: Extent, count: int, status: os.stat_result, on_mtime_change: OnMtimeChange | None) -> None:
    if status.st_mtime_ns != extent.mtime_ns or status.st_size != extent.file_size or not stat.S_ISREG(status.st_mode):
        _check_status(extent, status, on_mtime_change)
    if count != extent.length:
        raise truncated_error(extent, extent.length - count)


def _check_unchanged(extent: Extent, file: int, before: os.stat_result) -> None:
    """Raises `IntegrityError` where the file has changed since ``before``."""
    after = os.fstat(file)
    # A store that is being optimised changes how many links a file has, and with it the time of its last change.
    if before.st_ctime_ns != after.st_ctime_ns:
        _check_status(extent, after, None if before.st_mtime_ns == extent.mtime_ns else _ignore_mtime)
        if before.st_nlink == after.st_nlink or before.st_mtime_ns != after.st_mtime_ns:
            raise _changed_error(extent, "a change", "none")


class ExtentReader:
    """Extents read one after the other: of one that is only part of its file, such as of a NAR, the file stays open as
    long as the next is part of it too. A context manager, at whose end what was read is known to have been still.
    """

    def __init__(self, on_mtime_change: OnMtimeChange | None = None) -> None:
        self._on_mtime_change = on_mtime_change
        self._extent: Extent | None = None
        self._file = -1
        self._before: os.stat_result | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(check=kind is None)

    def small(self, extent: Extent) -> bytes:
        """All of an extent. Raises as `read_head` does."""
        if extent.length == extent.file_size:
            return read_small(extent, self._on_mtime_change)
        file = self._open_file(extent)
        try:
            data = os.read(file, extent.length)
        except OSError as error:
            raise _translate_error(extent, error) from error
        if len(data) != extent.length:
            raise truncated_error(extent, extent.length - len(data))
        return data

    def small_into(self, extent: Extent, view: memoryview) -> None:
        """Likewise, into ``view``, which is as long."""
        if extent.length == extent.file_size:
            read_small_into(extent, view, self._on_mtime_change)
            return
        count = read_some(extent, self._open_file(extent), view)
        if count != extent.length:
            raise truncated_error(extent, extent.length - count)

    @contextlib.contextmanager
    def large(self, extent: Extent) -> Iterator[int]:
        """The file, open at the extent's start, for the block. Raises as `read_head` does, also at its end."""
        if extent.length != extent.file_size:
            yield self._open_file(extent)
            return
        file, before = open_extent(extent, self._on_mtime_change)
        try:
            yield file
            _check_unchanged(extent, file, before)
        finally:
            os.close(file)

    def _open_file(self, extent: Extent) -> int:
        last = self._extent
        if (
            last is None
            or last.file != extent.file
            or last.mtime_ns != extent.mtime_ns
            or last.file_size != extent.file_size
        ):
            self._close(check=True)
            self._file, self._before = open_extent(extent, self._on_mtime_change)
            self._extent = extent
        else:
            os.lseek(self._file, extent.offset, os.SEEK_SET)
        return self._file

    def _close(self, *, check: bool) -> None:
        extent, file, before = self._extent, self._file, self._before
        if extent is None or before is None:
            return
        self._extent = None
        try:
            if check:
                _check_unchanged(extent, file, before)
        finally:
            os.close(file)


@contextlib.contextmanager
def _opened(extent: Extent, on_mtime_change: OnMtimeChange | None = None) -> Iterator[int]:
    file, _ = open_extent(extent, on_mtime_change)
    try:
        yield file
    finally:
        os.close(file)


def open_extent(extent: Extent, on_mtime_change: OnMtimeChange | None = None) -> tuple[int, os.stat_result]:
    """The file of ``extent``, open at the extent's start, and what it was like then. Raises as `read_head` does."""
    try:
        file = os.open(extent.file, _FLAGS)
    except OSError as error:
        raise _translate_error(extent, error) from error
    try:
        status = os.fstat(file)
        _check_status(extent, status, on_mtime_change)
        if extent.offset:
            os.lseek(file, extent.offset, os.SEEK_SET)
    except BaseException:
        os.close(file)
        raise
    return file, status


def read_some(extent: Extent, file: int, view: memoryview) -> int:
    """How many bytes of ``file`` were read into ``view``; 0 at its end. Raises `Unavailable`."""
    try:
        return _read_into(file, view)
    except OSError as error:
        raise _translate_error(extent, error) from error


if hasattr(os, "readv"):

    def _read_into(file: int, view: memoryview) -> int:
        return os.readv(file, [view])

else:

    def _read_into(file: int, view: memoryview) -> int:
        data = os.read(file, len(view))
        view[: len(data)] = data
        return len(data)


def _ignore_mtime(_: Extent) -> None:
    """Nothing: it was told before."""


def _check_status(extent: Extent, status: os.stat_result, on_mtime_change: OnMtimeChange | None) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _changed_error(extent, "no longer a file", "the file that was walked")
    if status.st_size != extent.file_size:
        raise _changed_error(extent, f"{status.st_size} bytes", f"{extent.file_size}")
    if status.st_mtime_ns != extent.mtime_ns:
        if on_mtime_change is None:
            raise _changed_error(extent, "another modification time", "the one it had when it was walked")
        on_mtime_change(extent)


def truncated_error(extent: Extent, left: int) -> IntegrityError:
    """The error for an extent whose file ends ``left`` bytes too early."""
    return _changed_error(extent, f"{extent.length - left} bytes", f"{extent.length}")


def _changed_error(extent: Extent, got: str, expected: str) -> IntegrityError:
    name = os.fsdecode(extent.file)
    return IntegrityError(f"{name}: got {got}, expected {expected}: the file changed while it was read")


def _translate_error(extent: Extent, error: OSError) -> IntegrityError | Unavailable:
    name = os.fsdecode(extent.file)
    if error.errno in _REPLACED:
        return IntegrityError(f"{name}: got {error.strerror}, expected the file that was walked")
    return Unavailable(f"{name}: got {error.strerror}, expected a readable file")
