"""Uncompressed NARs in files: list their entries and the position of each file's content.

File contents are skipped, not read, so time and memory depend only on the number of entries. A file that is not a NAR
raises `FormatError`.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections import deque
from collections.abc import Iterator

from lamina.core.nodes import Extent, Node
from lamina.errors import FormatError, IntegrityError, Unavailable, error_context
from lamina.formats import nar
from lamina.formats.listing import FILE, Entry, Listing, ListingBuilder
from lamina.formats.nar_scanner import ScanError, scan

_FLAGS = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in ("O_BINARY", "O_CLOEXEC"))


def nar_extent(file: bytes) -> Extent:
    """Return the extent of the whole ``file``.

    Raises:
        IntegrityError: the file does not exist.
        Unavailable: the file cannot be examined.
    """
    with _translate_errors(file):
        status = os.stat(file)
    return Extent.whole(file, status.st_size, status.st_mtime_ns)


def read_nodes(extent: Extent, subject: str = "") -> Iterator[Node]:
    """Yield the nodes of the NAR at ``extent``; errors begin with ``subject``, or with the name of the file.

    Raises:
        FormatError: the file is not a NAR.
        IntegrityError: the file is missing, or its size has changed.
        Unavailable: the file cannot be read.
    """
    with _map_file(extent) as data, error_context(subject or os.fsdecode(extent.file), FormatError):
        yield from nar.parse(data, extent.part)


def check_nar_file(extent: Extent, subject: str = "") -> None:
    """Check that there is a NAR at ``extent``. Raises what `read_nodes` raises."""
    with _map_file(extent) as data, contextlib.suppress(ScanError):
        deque(scan(data, extent.mtime_ns), 0)
        return
    deque(read_nodes(extent, subject), 0)


def list_nar(extent: Extent) -> Listing:
    """List the NAR at ``extent``. Raises what `read_nodes` raises."""
    with _map_file(extent) as data, contextlib.suppress(ScanError):
        lister = ListingBuilder()
        for entry in scan(data, extent.mtime_ns):
            lister.add(*entry)
        return lister.build()
    lister = ListingBuilder()
    for kind, path, size, target, _ in map(Entry.from_node, read_nodes(extent)):
        lister.add(kind, path, size, target, extent.mtime_ns if kind >= FILE else 0)
    return lister.build()


class _MappedFile(mmap.mmap):
    """A memory-mapped file whose ``seek`` returns the new position, which Python does only since 3.13."""

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:  # type: ignore[override]
        super().seek(offset, whence)  # type: ignore[arg-type]
        return self.tell()


@contextlib.contextmanager
def _map_file(extent: Extent) -> Iterator[_MappedFile]:
    with _translate_errors(extent.file):
        fd = os.open(extent.file, _FLAGS)
        try:
            if os.fstat(fd).st_size != extent.length:
                raise IntegrityError(os.fsdecode(extent.file), "another size than before", extent.length)
            if not extent.length:
                raise FormatError(os.fsdecode(extent.file), "an empty file", "a NAR")
            data = _MappedFile(fd, extent.length, access=mmap.ACCESS_READ)
        finally:
            os.close(fd)
    with data:
        yield data


@contextlib.contextmanager
def _translate_errors(file: bytes) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise IntegrityError(os.fsdecode(file), "nothing there", "a NAR") from error
    except OSError as error:
        raise Unavailable(os.fsdecode(file), error, "a readable NAR") from error
