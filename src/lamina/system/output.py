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

from lamina.errors import InvalidName, failed, shown
from lamina.system.fd_writer import Outlet
from lamina.system.temporary import PartFile
from lamina.system.transfer import Write


class Writable(Protocol):
    """Anything with a binary ``write``: a file, a pipe, a socket's file."""

    def write(self, data: memoryview, /) -> int | None:
        """Takes all of ``data`` or says how much of it."""


def writing_to(out: Writable, name: str) -> Write:
    """A way to write to ``out`` that takes all it is given, or raises `OutputError`, which names ``name``.

    What is a file of the system's and nothing around it is written to by its descriptor, from where it stands.
    """
    file = _file_in(out)
    if file is None:
        return _whole(out, name)
    try:
        if isinstance(out, io.BufferedWriter):
            out.flush()
    except OSError as error:
        raise failed(name, error) from error
    return Outlet(file.fileno(), name)


def _file_in(out: Writable) -> io.FileIO | None:
    raw = out.raw if isinstance(out, io.BufferedWriter) else out
    return raw if isinstance(raw, io.FileIO) else None


def _whole(out: Writable, name: str) -> Write:
    def write(data: memoryview) -> None:
        try:
            while data:
                count = out.write(data)
                data = data[len(data) if count is None else count :]
        except OSError as error:
            raise failed(name, error) from error

    return write


def is_layout(output: str | os.PathLike[str]) -> bool:
    """Whether an image that goes to ``output`` becomes a layout: it ends in ``/``, or is a folder."""
    text = os.fspath(output)
    return text.endswith(("/", os.sep)) or os.path.isdir(text)


@contextlib.contextmanager
def whole_file(path: Path, mode: int = 0o666) -> Iterator[Write]:
    """Write the file ``path``, which appears when the block ends well. A pipe or device is written as it stands.

    The umask is taken from ``mode``. What a killed process left in the same folder is removed. Raises `InvalidName` for
    a folder or a terminal, `OutputError`.
    """
    name = str(path)
    if not _is_new_or_regular(path):
        with _opened(path, name) as write:
            yield write
        return
    target = Path(os.path.realpath(path))
    try:
        part = PartFile(target.parent, mode)
    except OSError as error:
        raise failed(name, error) from error
    with part:
        yield Outlet(part.number, name)
        try:
            part.keep(target)
        except OSError as error:
            raise failed(name, error) from error


def _is_new_or_regular(path: Path) -> bool:
    # By its own name, for what /dev/stdout leads to may have no other.
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return True
    except ValueError as error:
        raise InvalidName(f"output: got {shown(str(path))}, expected the name of a file") from error
    except OSError as error:
        raise failed(str(path), error) from error
    if stat.S_ISDIR(mode):
        raise InvalidName(f"{path}: got a folder, expected the name of a file")
    return stat.S_ISREG(mode)


@contextlib.contextmanager
def _opened(path: Path, name: str) -> Iterator[Write]:
    try:
        number = os.open(path, os.O_WRONLY)
    except OSError as error:
        raise failed(name, error) from error
    try:
        if os.isatty(number):
            raise InvalidName(f"{name}: got a terminal, expected a pipe or a file")
        yield Outlet(number, name)
    except BaseException:
        os.close(number)
        raise
    try:
        os.close(number)
    except OSError as error:
        raise failed(name, error) from error
