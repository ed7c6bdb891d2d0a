"""Standard output as a place for an image or for a text.

Invariant: an image never lands on a terminal, and what cannot be written is an `OutputError`.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lamina.errors import InvalidArgument, output_error
from lamina.messages.redaction import clean

if TYPE_CHECKING:
    from lamina.system.output import Writable

# What Linux lets any user have (pipe(7), /proc/sys/fs/pipe-max-size).
_PIPE_SIZE = 1 << 20


@contextlib.contextmanager
def stdout() -> Iterator[Writable]:
    """Stdout to write to, flushed at the end; raises `InvalidArgument` for a terminal, `OutputError`."""
    if sys.stdout.isatty():
        raise InvalidArgument(
            "stdout: got a terminal, expected a pipe or a file",
            hint="end the command with '| docker load', or with '> image.tar'",
        )
    flush()
    _enlarge_pipe()
    yield _unbuffered_stdout()
    flush()


def _unbuffered_stdout() -> Writable:
    """Stdout without a buffer, where it is a file of the system's, under the name that an error shows."""
    try:
        file = io.FileIO(sys.stdout.fileno(), "wb", closefd=False)
    except OSError:
        return sys.stdout.buffer
    file.name = "stdout"
    return file


def _enlarge_pipe() -> None:
    """Gives the pipe that stdout may be as much room as anybody may have: its two ends then wait less."""
    with contextlib.suppress(ImportError, AttributeError, OSError, ValueError):
        import fcntl

        fcntl.fcntl(sys.stdout.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_SIZE)


def print_stdout(text: str) -> None:
    """Print a line of a result. Raises `OutputError`.

    A name of a file comes out as the bytes that it is, but on a terminal, which would obey control characters.
    """
    if sys.stdout.isatty():
        text = escape_lines(text)
    try:
        data = os.fsencode(text)
    except UnicodeEncodeError:
        data = text.encode("utf-8", "backslashreplace")
    try:
        sys.stdout.buffer.write(data + b"\n")
    except OSError as error:
        raise output_error("stdout", error) from error


def flush() -> None:
    """Writes what stdout still holds back; raises `OutputError`."""
    try:
        sys.stdout.flush()
    except OSError as error:
        raise output_error("stdout", error) from error


def print_stderr(text: str) -> None:
    """Print a line on stderr: escaped, without secrets, and with long values shortened."""
    print(escape_controls(clean(text)), file=sys.stderr, flush=True)


def print_script_output(text: str) -> None:
    """Print on stderr what a script has printed, escaped where a terminal would obey it."""
    text = text.rstrip("\n")
    print(escape_lines(text.expandtabs()) if sys.stderr.isatty() else text, file=sys.stderr, flush=True)


def escape_lines(text: str) -> str:
    """Return the lines of ``text`` without control characters."""
    return "\n".join(map(escape_controls, text.split("\n")))


def escape_controls(text: str) -> str:
    """Return ``text`` as it may stand on a terminal: without line ends and other control characters."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character == " " else ascii(character)[1:-1] for character in text
    )
