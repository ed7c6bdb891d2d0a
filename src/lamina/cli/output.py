"""Write images and text to stdout, and messages to stderr.

Invariant: an image is never written to a terminal, text for a terminal is escaped, and a failure to write to stdout is
an `OutputError`.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from lamina.errors import InvalidArgument, output_error
from lamina.messages.redaction import clean

if TYPE_CHECKING:
    from lamina.system.output import Writable

# The largest pipe that Linux grants any user (pipe(7), /proc/sys/fs/pipe-max-size), in bytes.
_PIPE_SIZE = 1 << 20


@contextlib.contextmanager
def open_stdout() -> Iterator[Writable]:
    """Open stdout for an image; flush it at the end of the block.

    Raises:
        InvalidArgument: stdout is a terminal.
        OutputError: stdout cannot be written to.
    """
    if sys.stdout.isatty():
        raise InvalidArgument(
            "stdout",
            "a terminal",
            "a pipe or a file",
            hint="end the command with '| docker load', or with '> image.tar'",
        )
    flush()
    _enlarge_pipe()
    yield _open_unbuffered_stdout()
    flush()


def open_output(output: str) -> contextlib.AbstractContextManager[Writable | str]:
    """Return the target of ``-o``: stdout, opened for an image, for ``-``, and else the name of the file."""
    return open_stdout() if output == "-" else contextlib.nullcontext(output)


def _open_unbuffered_stdout() -> Writable:
    """Return stdout without a buffer if it has a file descriptor; name it ``stdout`` for the messages of errors."""
    try:
        file = io.FileIO(sys.stdout.fileno(), "wb", closefd=False)
    except OSError:
        return sys.stdout.buffer
    file.name = "stdout"
    return file


def _enlarge_pipe() -> None:
    """Enlarge stdout's buffer in the kernel if it is a pipe, so that reader and writer wait less for each other."""
    with contextlib.suppress(ImportError, AttributeError, OSError, ValueError):
        import fcntl

        fcntl.fcntl(sys.stdout.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_SIZE)


def print_stdout(text: str) -> None:
    """Print a line of a result; raise `OutputError` if that fails.

    File names are printed as their original bytes, except on a terminal, where control characters are escaped.
    """
    write_stdout_line(escape_lines(text) if sys.stdout.isatty() else text)


def write_stdout_line(text: str) -> None:
    """Print a line of a result that may have colours, whose other control characters are escaped already.

    Raises:
        OutputError: The line cannot be written.
    """
    try:
        data = os.fsencode(text)
    except UnicodeEncodeError:
        data = text.encode("utf-8", "backslashreplace")
    try:
        sys.stdout.buffer.write(data + b"\n")
    except OSError as error:
        raise output_error("stdout", error) from error


def flush() -> None:
    """Write the rest of stdout's buffer; raise `OutputError` if that fails."""
    try:
        sys.stdout.flush()
    except OSError as error:
        raise output_error("stdout", error) from error


def print_stderr(text: str) -> None:
    """Print a line on stderr, escaped, without secrets, and with long values shortened."""
    print(escape_controls(clean(text)), file=sys.stderr, flush=True)


def print_progress(line: str, out: TextIO) -> None:
    """Print a line about the progress of work on ``out``, escaped."""
    print(escape_controls(line), file=out, flush=True)


def print_script_output(text: str) -> None:
    """Print a script's own output on stderr, with control characters escaped if stderr is a terminal."""
    text = text.rstrip("\n")
    print(escape_lines(text.expandtabs()) if sys.stderr.isatty() else text, file=sys.stderr, flush=True)


def allows_colour() -> bool:
    """Return whether the environment allows colours on a terminal (https://no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def escape_lines(text: str) -> str:
    """Return ``text`` with the control characters of each line escaped; line ends stay."""
    return "\n".join(map(escape_controls, text.split("\n")))


def escape_controls(text: str) -> str:
    """Return ``text`` with line ends and other control characters escaped, so that a terminal does not act on them."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character == " " else ascii(character)[1:-1] for character in text
    )
