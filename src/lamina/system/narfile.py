"""A NAR that lies uncompressed in a file: what is in it, and where.

Invariant: no content is read; a file that is no NAR ends in `FormatError`, in time and memory that its entries bound.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections import deque
from collections.abc import Iterator

from lamina.core.nodes import Directory, Extent, Node, Regular, Symlink
from lamina.errors import FormatError, IntegrityError, Unavailable
from lamina.formats import nar
from lamina.formats.listing import FILE, FOLDER, PROGRAM, SYMLINK, Entry, Lister, Listing
from lamina.formats.narscan import UnknownError, scan

_FLAGS = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in ("O_BINARY", "O_CLOEXEC"))


def archive(file: bytes) -> Extent:
    """All of ``file`` as it is now. Raises `IntegrityError` where there is none, `Unavailable` for what is none."""
    with _translated(file):
        status = os.stat(file)
    return Extent.whole(file, status.st_size, status.st_mtime_ns)


def nodes(place: Extent) -> Iterator[Node]:
    """The nodes of the NAR at ``place``. Raises `FormatError` with the file, `IntegrityError`, `Unavailable`."""
    name = os.fsdecode(place.file)
    with _mapped(place) as data:
        try:
            yield from nar.parse(data, place.part)
        except FormatError as error:
            raise FormatError(f"{name}: {error}") from error


def check(place: Extent) -> None:
    """Nothing, if there is a NAR at ``place``. Raises as `nodes` does."""
    with _mapped(place) as data, contextlib.suppress(UnknownError):
        deque(scan(data, place.stamp), 0)
        return
    deque(nodes(place), 0)


def list_nar(place: Extent) -> Listing:
    """What is in the NAR at ``place``. Raises as `nodes` does."""
    with _mapped(place) as data, contextlib.suppress(UnknownError):
        lister = Lister()
        for entry in scan(data, place.stamp):
            lister.add(*entry)
        return lister.listing()
    lister = Lister()
    for node in nodes(place):
        lister.add(*_entry(node, place.stamp))
    return lister.listing()


def _entry(node: Node, stamp: int) -> Entry:
    match node:
        case Regular(path, executable, size):
            return PROGRAM if executable else FILE, path, size, stamp, b""
        case Symlink(path, target):
            return SYMLINK, path, 0, 0, target
        case Directory(path):
            return FOLDER, path, 0, 0, b""


class _Mapped(mmap.mmap):
    """A file in memory that can be read as a stream; Python before 3.13 does not say where a seek led."""

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:  # type: ignore[override]
        super().seek(offset, whence)  # type: ignore[arg-type]
        return self.tell()


@contextlib.contextmanager
def _mapped(place: Extent) -> Iterator[_Mapped]:
    with _translated(place.file):
        number = os.open(place.file, _FLAGS)
        try:
            if os.fstat(number).st_size != place.length:
                raise IntegrityError(
                    f"{os.fsdecode(place.file)}: got another size than before, expected {place.length}"
                )
            if not place.length:
                raise FormatError(f"{os.fsdecode(place.file)}: got an empty file, expected a NAR")
            data = _Mapped(number, place.length, access=mmap.ACCESS_READ)
        finally:
            os.close(number)
    with data:
        yield data


@contextlib.contextmanager
def _translated(file: bytes) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise IntegrityError(f"{os.fsdecode(file)}: got nothing there, expected a NAR") from error
    except OSError as error:
        raise Unavailable(f"{os.fsdecode(file)}: got {error.strerror}, expected to read a NAR") from error
