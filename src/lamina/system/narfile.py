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
from lamina.formats.listing import EXECUTABLE, FILE, FOLDER, SYMLINK, Listing, ListingBuilder, ListingEntry
from lamina.formats.nar_scanner import ScanError, scan

_FLAGS = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in ("O_BINARY", "O_CLOEXEC"))


def nar_extent(file: bytes) -> Extent:
    """All of ``file`` as it is now. Raises `IntegrityError` where there is none, `Unavailable` for what is none."""
    with _translate_errors(file):
        status = os.stat(file)
    return Extent.whole(file, status.st_size, status.st_mtime_ns)


def nodes(extent: Extent) -> Iterator[Node]:
    """The nodes of the NAR at ``extent``. Raises `FormatError` with the file, `IntegrityError`, `Unavailable`."""
    name = os.fsdecode(extent.file)
    with _map_file(extent) as data:
        try:
            yield from nar.parse(data, extent.part)
        except FormatError as error:
            raise FormatError(f"{name}: {error}") from error


def check_nar_file(extent: Extent) -> None:
    """Nothing, if there is a NAR at ``extent``. Raises as `nodes` does."""
    with _map_file(extent) as data, contextlib.suppress(ScanError):
        deque(scan(data, extent.mtime_ns), 0)
        return
    deque(nodes(extent), 0)


def list_nar(extent: Extent) -> Listing:
    """What is in the NAR at ``extent``. Raises as `nodes` does."""
    with _map_file(extent) as data, contextlib.suppress(ScanError):
        lister = ListingBuilder()
        for entry in scan(data, extent.mtime_ns):
            lister.add(*entry)
        return lister.build()
    lister = ListingBuilder()
    for node in nodes(extent):
        lister.add(*_entry(node, extent.mtime_ns))
    return lister.build()


def _entry(node: Node, mtime_ns: int) -> ListingEntry:
    match node:
        case Regular(path, executable, size):
            return EXECUTABLE if executable else FILE, path, size, mtime_ns, b""
        case Symlink(path, target):
            return SYMLINK, path, 0, 0, target
        case Directory(path):
            return FOLDER, path, 0, 0, b""


class _MappedFile(mmap.mmap):
    """A file in memory that can be read as a stream; Python before 3.13 does not say where a seek led."""

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:  # type: ignore[override]
        super().seek(offset, whence)  # type: ignore[arg-type]
        return self.tell()


@contextlib.contextmanager
def _map_file(extent: Extent) -> Iterator[_MappedFile]:
    with _translate_errors(extent.file):
        number = os.open(extent.file, _FLAGS)
        try:
            if os.fstat(number).st_size != extent.length:
                raise IntegrityError(
                    f"{os.fsdecode(extent.file)}: got another size than before, expected {extent.length}"
                )
            if not extent.length:
                raise FormatError(f"{os.fsdecode(extent.file)}: got an empty file, expected a NAR")
            data = _MappedFile(number, extent.length, access=mmap.ACCESS_READ)
        finally:
            os.close(number)
    with data:
        yield data


@contextlib.contextmanager
def _translate_errors(file: bytes) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise IntegrityError(f"{os.fsdecode(file)}: got nothing there, expected a NAR") from error
    except OSError as error:
        raise Unavailable(f"{os.fsdecode(file)}: got {error.strerror}, expected to read a NAR") from error
