"""Write output to a file that appears complete or not at all, or to any object that accepts bytes.

Invariant: the final name refers to the old file or to the complete new file, never to a partial file.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from lamina.errors import InvalidArgument, output_error
from lamina.messages.redaction import short_repr
from lamina.system.fd_writer import FdWriter, Output
from lamina.system.file_names import parse_file_name
from lamina.system.temporary import PartFile


class Writable(Protocol):
    """Anything with a binary ``write``: a file, a pipe, a socket's file."""

    def write(self, data: memoryview, /) -> int | None:
        """Write ``data``; return None if all of it was written, else the number of bytes that were written."""


def make_writer(out: Writable, name: str) -> Output:
    """Return an output that writes all data to ``out``, or raises `OutputError` with ``name``.

    A plain file of the operating system is written through its descriptor, from its current position, which lets the
    kernel copy files to it.
    """
    if not callable(getattr(out, "write", None)):
        raise InvalidArgument(name, short_repr(out), "the name of a file, or an object with a binary write")
    file = _find_raw_file(out)
    if file is None:
        return _WritableOutput(out, name)
    try:
        if isinstance(out, io.BufferedWriter):
            out.flush()
    except OSError as error:
        raise output_error(name, error) from error
    return FdWriter(file.fileno(), name)


def _find_raw_file(out: Writable) -> io.FileIO | None:
    raw = out.raw if isinstance(out, io.BufferedWriter) else out
    return raw if isinstance(raw, io.FileIO) else None


class _WritableOutput(Output):
    """An output that writes to an object of the caller."""

    def __init__(self, out: Writable, name: str) -> None:
        self._out = out
        self._name = name

    def write(self, data: memoryview) -> None:
        try:
            while data:
                count = self._out.write(data)
                data = data[len(data) if count is None else count :]
        except OSError as error:
            raise output_error(self._name, error) from error


def is_layout(output: str | os.PathLike[str]) -> bool:
    """Return whether an image written to ``output`` is an OCI layout: the name ends in ``/`` or is a folder."""
    text = parse_file_name(
        "output", output, "the name of a file or folder", hint="Stream.write_to writes to an open file"
    )
    return text.endswith(("/", os.sep)) or os.path.isdir(text)


class CountingOutput(Output):
    """Passes everything on to ``out``, and counts the bytes in ``size``."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self.size: int = 0
        self.is_zero_copy: bool = out.is_zero_copy

    def write(self, data: memoryview) -> None:
        """Write all of ``data``."""
        self._out.write(data)
        self.size += len(data)

    def write_many(self, parts: Sequence[bytes]) -> None:
        """Write ``parts`` together."""
        self._out.write_many(parts)
        self.size += sum(map(len, parts))

    def send_file(self, source: int, size: int) -> int:
        """Let the kernel copy from ``source``, as in `Output.send_file`."""
        count = self._out.send_file(source, size)
        self.size += max(count, 0)
        return count


def parse_output_file(output: str | os.PathLike[str]) -> Path:
    """Return the file to write; raise `InvalidArgument` if the name means a folder, as `is_layout` does."""
    text = parse_file_name("output", output)
    if is_layout(text):
        raise InvalidArgument(
            "output",
            f"{short_repr(text)}, a folder",
            "the name of a file",
            hint=f"such as {os.path.join(text, 'NAME')}",
        )
    return Path(text)


@contextlib.contextmanager
def atomic_write(path: Path, mode: int = 0o666) -> Iterator[Output]:
    """Write the file ``path``, which appears when the block ends without an error.

    A pipe or device is written directly. Temporary files that a killed process left in the same folder are removed.

    Args:
        path: the file to write.
        mode: the permissions of a new file, before the umask is applied.

    Raises:
        InvalidArgument: ``path`` is a folder or a terminal, or not a valid name.
        OutputError: the file cannot be written.
    """
    name = str(path)
    if not _is_new_or_regular(path):
        with _open_special(path, name) as out:
            yield out
        return
    target = Path(os.path.realpath(path))
    try:
        part = PartFile(target.parent, mode)
    except OSError as error:
        raise output_error(name, error) from error
    with part:
        yield FdWriter(part.fd, name)
        try:
            part.commit(target)
        except OSError as error:
            raise output_error(name, error) from error


def _is_new_or_regular(path: Path) -> bool:
    # Examine the name as given: /dev/stdout may lead to a file that has no other name.
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return True
    except ValueError as error:
        raise InvalidArgument("output", short_repr(str(path)), "the name of a file") from error
    except OSError as error:
        raise output_error(str(path), error) from error
    if stat.S_ISDIR(mode):
        raise InvalidArgument(path, "a folder", "the name of a file")
    return stat.S_ISREG(mode)


@contextlib.contextmanager
def _open_special(path: Path, name: str) -> Iterator[Output]:
    try:
        fd = os.open(path, os.O_WRONLY)
    except OSError as error:
        raise output_error(name, error) from error
    try:
        if os.isatty(fd):
            raise InvalidArgument(name, "a terminal", "a pipe or a file")
        yield FdWriter(fd, name)
    except BaseException:
        os.close(fd)
        raise
    try:
        os.close(fd)
    except OSError as error:
        raise output_error(name, error) from error
