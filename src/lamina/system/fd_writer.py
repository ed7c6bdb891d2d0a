"""Where bytes leave: a file, pipe or socket, by its number.

Invariant: what is given is written whole and in its order, however little is taken at a time, or it ends in
`OutputError`.
"""

from __future__ import annotations

import errno
import os
import select
import sys
from collections.abc import Sequence

from lamina.errors import output_error

# The kernel may be asked for more, but a step is also what a bar on a terminal moves by.
_MAX_SENT = 1 << 22
_OUTPUT_FAILED = {
    number
    for name in ("EPIPE", "ENOSPC", "EDQUOT", "EFBIG", "ECONNRESET", "ENOTCONN", "ESHUTDOWN", "ENOBUFS", "EROFS")
    if (number := getattr(errno, name, None)) is not None
}


class FdWriter:
    """The descriptor ``number``, which stays its owner's; ``name`` is what errors call it."""

    def __init__(self, fd: int, name: str) -> None:
        self._fd = fd
        self._name = name
        # Elsewhere it sends to sockets alone, or not at all.
        self._can_sendfile = sys.platform == "linux"

    def __call__(self, data: memoryview) -> None:
        """Writes ``data``."""
        left = memoryview(data).cast("B")
        while left:
            left = left[self._write_some(left) :]

    def write_parts(self, parts: Sequence[bytes]) -> None:
        """Writes ``parts``, of which there are at most a thousand."""
        if not hasattr(os, "writev"):
            self(memoryview(b"".join(parts)))
            return
        try:
            count = os.writev(self._fd, parts)
        except BlockingIOError:
            count = 0
        except OSError as error:
            raise output_error(self._name, error) from error
        if count < sum(map(len, parts)):
            self(memoryview(b"".join(parts))[count:])

    def send_file(self, file: int, size: int) -> int:
        """Writes up to ``size`` bytes of ``file`` from where it stands, which never come here; says how many.

        That is 0 at the file's end, and -1 where the two do not go together: then read and write.
        """
        while self._can_sendfile:
            try:
                return os.sendfile(self._fd, file, None, min(size, _MAX_SENT))
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
        """Until a pipe that does not block takes more."""
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        poll.poll()
