"""The blobs that were made lately, as files in a temporary folder of limited size.

A blob that several clients ask for is made once. They read its file while it grows, and get its last byte only after
its digest has been checked.

Invariant: the files that are not being made have at most ``max_size`` bytes together.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Condition

from lamina.errors import Error, IntegrityError, Unavailable
from lamina.layers.temporary_blobs import PartFiles, create_blob_folder
from lamina.server.http_messages import FilePart
from lamina.system.threads import ThreadPool
from lamina.system.transfer import BlobInfo, OnBytes

MakeBlob = Callable[[Path, OnBytes], BlobInfo]
"""Writes a blob to an empty file, and returns its digest and size. The callback is called after each portion."""
CLOSE_TIMEOUT = 1.0
"""How many seconds the end of a server waits for threads whose results nobody needs any more."""
_PART_SIZE = 8 << 20
"""After how many bytes it is noticed that a client left. A part is never in memory."""
_GROWTH_TIMEOUT = 0.02
"""How many seconds a thread waits for a blob to grow. Blobs that are ready need the threads too."""
_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)


class BlobFiles:
    """The files of blobs; close it at the end.

    Args:
        max_size: how many bytes all files may have. The least recently used ones are deleted above it.
        jobs: how many blobs are made at the same time.

    Raises `OutputError` if the folder cannot be created.
    """

    def __init__(self, max_size: int, jobs: int) -> None:
        self._max_size = max_size
        self._folder = create_blob_folder()
        self._parts = PartFiles(self._folder.path, 0o600)
        self._pool = ThreadPool(jobs, "lamina-blobs")
        self._changed = Condition()  # guards everything below
        self._files: dict[BlobInfo, Path] = {}  # the least recently used first
        self._growing: dict[BlobInfo, _Growth] = {}

    def close(self) -> None:
        """Delete the folder. A blob that is still being made is hardly waited for."""
        self._pool.close(CLOSE_TIMEOUT)
        self._folder.close()

    def create(self) -> Path:
        """Create an empty file for a blob. Raises `OutputError`."""
        return self._parts.create()

    def add(self, blob: BlobInfo, part: Path) -> None:
        """Keep the complete file ``part``, which `create` returned, as ``blob``."""
        with self._changed:
            if self._files.setdefault(blob, part) != part:
                part.unlink()
            self._evict()

    def read(self, blob: BlobInfo, make: MakeBlob, start: int, end: int) -> Iterator[FilePart]:
        """Yield the bytes of a blob from ``start`` up to ``end``, not included; make the blob first if it is not here.

        The descriptor of a part is open until the next part is asked for. An empty part says that the blob has not
        grown for a moment, so that the caller can do something else before it asks again.

        Args:
            blob: its digest and size.
            make: makes it.
            start: the first byte.
            end: the byte after the last one.

        Raises:
            IntegrityError: the blob that was made has another digest.
            Unavailable: the file cannot be read.
            Error: what ``make`` raises.

        """
        try:
            fd, growth = self._open(blob, make)
            try:
                while start < end:
                    limit = growth.wait(start) if growth else end
                    part = FilePart(fd, start, min(_PART_SIZE, min(limit, end) - start))
                    yield part
                    start += part.size
            finally:
                os.close(fd)
        except OSError as error:
            raise Unavailable(f"blob {blob.digest}", error, "a readable file") from error

    def _open(self, blob: BlobInfo, make: MakeBlob) -> tuple[int, _Growth | None]:
        """Return a descriptor of the file of a blob, and its growth if it is still being made."""
        with self._changed:
            if file := self._files.pop(blob, None):
                self._files[blob] = file  # as the most recently used
                with contextlib.suppress(OSError):  # another program deleted it
                    return os.open(file, _FLAGS), None
                del self._files[blob]
            growth = self._growing.get(blob)
            if growth is None:
                growth = _Growth(self._parts.create(), blob, self._changed)
                self._growing[blob] = growth
                self._pool.submit(partial(self._make, growth, make))
            return os.open(growth.part, _FLAGS), growth

    def _make(self, growth: _Growth, make: MakeBlob) -> None:
        """Make a blob in a thread. Whoever reads it gets the error."""
        failure: BaseException | None = None
        try:
            made = make(growth.part, growth.report)
            if made != growth.blob:
                failure = IntegrityError(f"blob {growth.blob.digest}", f"the digest {made.digest}", "that of the layer")
        except BaseException as error:  # noqa: BLE001 - the readers raise it
            failure = error
        with self._changed:
            del self._growing[growth.blob]
            growth.failure = failure
            growth.is_finished = True
            self._changed.notify_all()
            if failure is None:
                self.add(growth.blob, growth.part)
            else:
                with contextlib.suppress(OSError):
                    growth.part.unlink()

    def _evict(self) -> None:
        """Delete the least recently used files above the limit. Who reads one still has it open."""
        total = sum(blob.size for blob in self._files)
        for blob in list(self._files):
            if total <= self._max_size:
                break
            with contextlib.suppress(OSError):
                self._files.pop(blob).unlink()
            total -= blob.size


@dataclass(slots=True)
class _Growth:
    """A blob that is being written to ``part``; ``changed`` is notified as the file grows, and guards the rest."""

    part: Path
    blob: BlobInfo
    changed: Condition
    failure: BaseException | None = field(default=None)
    is_finished: bool = False

    def report(self, _: int) -> None:
        """Wake the readers."""
        with self.changed:
            self.changed.notify_all()

    def wait(self, start: int) -> int:
        """Return how many bytes may be read, after a moment if there is none at ``start``; raise the making's error.

        The last byte may be read only when the whole blob is right, so that no reader takes a wrong one for complete.
        """
        with self.changed:
            self.changed.wait_for(lambda: self.is_finished or self._count_available() > start, _GROWTH_TIMEOUT)
            if self.failure is not None:
                raise _copy_failure(self.failure)
            return self.blob.size if self.is_finished else max(start, self._count_available())

    def _count_available(self) -> int:
        return min(self.part.stat().st_size, self.blob.size - 1)


def _copy_failure(failure: BaseException) -> BaseException:
    """Return an error for one of several readers, each of which raises its own."""
    if isinstance(failure, Error):
        return failure.convert(type(failure))
    return failure
