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

from lamina.errors import failed

# The kernel may be asked for more, but a step is also what a bar on a terminal moves by.
_MOST_SENT = 1 << 22
_OUTPUT_FAILED = {
    number
    for name in ("EPIPE", "ENOSPC", "EDQUOT", "EFBIG", "ECONNRESET", "ENOTCONN", "ESHUTDOWN", "ENOBUFS", "EROFS")
    if (number := getattr(errno, name, None)) is not None
}


class Outlet:
    """The descriptor ``number``, which stays its owner's; ``name`` is what errors call it."""

    def __init__(self, number: int, name: str) -> None:
        self._number = number
        self._name = name
        # Elsewhere it sends to sockets alone, or not at all.
        self._sends = sys.platform == "linux"

    def __call__(self, data: memoryview) -> None:
        """Writes ``data``."""
        left = memoryview(data).cast("B")
        while left:
            left = left[self._tried(left) :]

    def gather(self, parts: Sequence[bytes]) -> None:
        """Writes ``parts``, of which there are at most a thousand."""
        if not hasattr(os, "writev"):
            self(memoryview(b"".join(parts)))
            return
        try:
            count = os.writev(self._number, parts)
        except BlockingIOError:
            count = 0
        except OSError as error:
            raise failed(self._name, error) from error
        if count < sum(map(len, parts)):
            self(memoryview(b"".join(parts))[count:])

    def send(self, file: int, size: int) -> int:
        """Writes up to ``size`` bytes of ``file`` from where it stands, which never come here; says how many.

        That is 0 at the file's end, and -1 where the two do not go together: then read and write.
        """
        while self._sends:
            try:
                return os.sendfile(self._number, file, None, min(size, _MOST_SENT))
            except BlockingIOError:
                self._wait()
            except OSError as error:
                if error.errno in _OUTPUT_FAILED:
                    raise failed(self._name, error) from error
                self._sends = False
        return -1

    def _tried(self, data: memoryview) -> int:
        try:
            return os.write(self._number, data)
        except BlockingIOError:
            self._wait()
            return 0
        except OSError as error:
            raise failed(self._name, error) from error

    def _wait(self) -> None:
        """Until a pipe that does not block takes more."""
        poll = select.poll()
        poll.register(self._number, select.POLLOUT)
        poll.poll()
