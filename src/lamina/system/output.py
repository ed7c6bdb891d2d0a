"""A file that is written whole or not at all, and whatever else can take bytes.

Invariant: under the final name there is the old file or the whole new one, never a part.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from lamina.errors import InvalidArgument, output_error
from lamina.messages.redaction import short_repr
from lamina.system.fd_writer import FdWriter
from lamina.system.temporary import PartFile
from lamina.system.transfer import Write


class Writable(Protocol):
    """Anything with a binary ``write``: a file, a pipe, a socket's file."""

    def write(self, data: memoryview, /) -> int | None:
        """Takes all of ``data`` or says how much of it."""


def make_writer(out: Writable, name: str) -> Write:
    """A way to write to ``out`` that takes all it is given, or raises `OutputError`, which names ``name``.

    What is a file of the system's and nothing around it is written to by its descriptor, from where it stands.
    """
    file = _file_in(out)
    if file is None:
        return _write_fully(out, name)
    try:
        if isinstance(out, io.BufferedWriter):
            out.flush()
    except OSError as error:
        raise output_error(name, error) from error
    return FdWriter(file.fileno(), name)


def _file_in(out: Writable) -> io.FileIO | None:
    raw = out.raw if isinstance(out, io.BufferedWriter) else out
    return raw if isinstance(raw, io.FileIO) else None


def _write_fully(out: Writable, name: str) -> Write:
    def write(data: memoryview) -> None:
        try:
            while data:
                count = out.write(data)
                data = data[len(data) if count is None else count :]
        except OSError as error:
            raise output_error(name, error) from error

    return write


def is_layout(output: str | os.PathLike[str]) -> bool:
    """Whether an image that goes to ``output`` becomes a layout: it ends in ``/``, or is a folder."""
    text = os.fspath(output)
    return text.endswith(("/", os.sep)) or os.path.isdir(text)


@contextlib.contextmanager
def atomic_write(path: Path, mode: int = 0o666) -> Iterator[Write]:
    """Write the file ``path``, which appears when the block ends well. A pipe or device is written as it stands.

    The umask is taken from ``mode``. What a killed process left in the same folder is removed. Raises `InvalidArgument`
    for a folder or a terminal, `OutputError`.
    """
    name = str(path)
    if not _is_new_or_regular(path):
        with _open_special(path, name) as write:
            yield write
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
    # By its own name, for what /dev/stdout leads to may have no other.
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return True
    except ValueError as error:
        raise InvalidArgument(f"output: got {short_repr(str(path))}, expected the name of a file") from error
    except OSError as error:
        raise output_error(str(path), error) from error
    if stat.S_ISDIR(mode):
        raise InvalidArgument(f"{path}: got a folder, expected the name of a file")
    return stat.S_ISREG(mode)


@contextlib.contextmanager
def _open_special(path: Path, name: str) -> Iterator[Write]:
    try:
        fd = os.open(path, os.O_WRONLY)
    except OSError as error:
        raise output_error(name, error) from error
    try:
        if os.isatty(fd):
            raise InvalidArgument(f"{name}: got a terminal, expected a pipe or a file")
        yield FdWriter(fd, name)
    except BaseException:
        os.close(fd)
        raise
    try:
        os.close(fd)
    except OSError as error:
        raise output_error(name, error) from error
