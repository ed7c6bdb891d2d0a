"""Outputs: destinations for images, and the output that writes to a file, pipe or socket through its descriptor.

Invariant: all data is written in order, even if the system accepts only a little at a time, or `OutputError` is raised.
"""

from __future__ import annotations

import errno
import os
import select
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from lamina.errors import output_error

# The kernel would accept more at once, but the progress bar advances once per call.
_MAX_SENT = 1 << 22
_OUTPUT_FAILED = {
    _number
    for name in ("EPIPE", "ENOSPC", "EDQUOT", "EFBIG", "ECONNRESET", "ENOTCONN", "ESHUTDOWN", "ENOBUFS", "EROFS")
    if (_number := getattr(errno, name, None)) is not None
}


class Output(ABC):
    """A place to write bytes to, in order; as a context manager, it is closed unless the block ends with an error.

    Attributes:
        is_zero_copy: Whether the kernel may copy files to it directly, without passing their bytes through this
        process.
    """

    __slots__ = ()
    is_zero_copy = False

    @abstractmethod
    def write(self, data: memoryview) -> None:
        """Write all of ``data``, or raise an error. The caller may reuse the memory afterwards."""

    def write_many(self, parts: Sequence[bytes]) -> None:
        """Write at most 1000 ``parts`` together."""
        self.write(memoryview(b"".join(parts)))

    def send_file(self, source: int, size: int) -> int:
        """Let the kernel copy up to ``size`` bytes from the current position of the descriptor ``source``.

        Returns:
            The number of bytes copied; 0 at the end of the file; -1 if the kernel cannot copy between these two
            descriptors, in which case the caller has to read and write.
        """
        return -1

    def close(self) -> None:  # noqa: B027 - most outputs buffer nothing
        """Write all buffered data; do nothing for an output without a buffer."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()


class FunctionOutput(Output):
    """An output that passes the data to a function."""

    def __init__(self, function: Callable[[memoryview], object]) -> None:
        self._function = function

    def write(self, data: memoryview) -> None:
        """Call the function with ``data``."""
        self._function(data)


class FdWriter(Output):
    """A writer to the descriptor ``fd``, which the caller closes; errors refer to it as ``name``."""

    is_zero_copy = True

    def __init__(self, fd: int, name: str) -> None:
        self._fd = fd
        self._name = name
        # Other systems have no sendfile, or send files only to sockets.
        self._can_sendfile = sys.platform == "linux"

    def write(self, data: memoryview) -> None:
        """Write all of ``data``."""
        left = memoryview(data).cast("B")
        while left:
            left = left[self._write_some(left) :]

    def write_many(self, parts: Sequence[bytes]) -> None:
        """Write ``parts`` in one system call where possible; at most 1000, because writev(2) takes only IOV_MAX."""
        if not hasattr(os, "writev"):
            super().write_many(parts)
            return
        try:
            count = os.writev(self._fd, parts)
        except BlockingIOError:
            count = 0
        except OSError as error:
            raise output_error(self._name, error) from error
        if count < sum(map(len, parts)):
            self.write(memoryview(b"".join(parts))[count:])

    def send_file(self, source: int, size: int) -> int:
        """Let the kernel copy from ``source``, as in `Output.send_file`."""
        while self._can_sendfile:
            try:
                return os.sendfile(self._fd, source, None, min(size, _MAX_SENT))
            except BlockingIOError:
                self._wait()
            except OSError as error:
                if error.errno in _OUTPUT_FAILED:
                    raise output_error(self._name, error) from error
                self._can_sendfile = False
        return -1

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            self._wait()
            return 0
        except OSError as error:
            raise output_error(self._name, error) from error

    def _wait(self) -> None:
        """Wait until a non-blocking pipe accepts more data."""
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        poll.poll()
