"""Standard output as a place for an image.

Invariant: an image never lands on a terminal.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from lamina.engine import Write
from lamina.errors import InvalidName
from lamina.sinks.output import failed, writing_to


@contextlib.contextmanager
def stdout() -> Iterator[Write]:
    """A way to write to stdout, flushed at the end; raises `InvalidName` for a terminal, `OutputError`."""
    if sys.stdout.isatty():
        raise InvalidName(
            "stdout: got a terminal, expected a pipe or a file",
            hint="end the command with '| docker load', or with '> image.tar'",
        )
    out = sys.stdout.buffer
    yield writing_to(out, "stdout")
    try:
        out.flush()
    except OSError as error:
        raise failed("stdout", error) from error
