"""Standard output as a place for an image.

Invariant: an image never lands on a terminal.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from lamina.errors import InvalidName
from lamina.sinks.output import Writable, failed


class _Stdout:
    """Stdout's bytes, under the name that an error shows."""

    name = "stdout"

    def write(self, data: memoryview, /) -> int:
        return sys.stdout.buffer.write(data)


@contextlib.contextmanager
def stdout() -> Iterator[Writable]:
    """Stdout to write to, flushed at the end; raises `InvalidName` for a terminal, `OutputError`."""
    if sys.stdout.isatty():
        raise InvalidName(
            "stdout: got a terminal, expected a pipe or a file",
            hint="end the command with '| docker load', or with '> image.tar'",
        )
    yield _Stdout()
    try:
        sys.stdout.buffer.flush()
    except OSError as error:
        raise failed("stdout", error) from error
