"""Blobs on their way into an archive, in temporary files.

Invariant: nothing of it is left when it is over; a blob is there from `end` on until it is taken away.
"""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

from lamina.core.nodes import Extent
from lamina.errors import OutputError, output_error
from lamina.system.tempdir import TempDir
from lamina.system.transfer import BlobInfo


class TemporaryBlobStore:
    """A `BlobStore` in a temporary folder. Raises `OutputError` where none can be made."""

    def __init__(self) -> None:
        try:
            self._workspace = TempDir()
        except OSError as error:
            raise OutputError(f"temporary folder: got {error.strerror}, expected room for compressed layers") from error
        self._numbers = count()
        self._files: dict[BlobInfo, Path] = {}

    def has(self, blob: BlobInfo) -> bool:
        """Whether the blob is there: never before it is written."""
        return False

    def create(self) -> Path:
        """A new empty file. Raises `OutputError`."""
        part = self._workspace.path / str(next(self._numbers))
        try:
            part.touch(mode=0o600)
        except OSError as error:
            raise output_error(str(part), error) from error
        return part

    def commit(self, part: Path, blob: BlobInfo) -> None:
        """What was begun is ``blob`` now."""
        self._files[blob] = part

    def extent(self, blob: BlobInfo) -> Extent:
        """Where the blob lies."""
        file = self._files[blob]
        return Extent.whole(os.fsencode(file), blob.size, file.stat().st_mtime_ns)

    def remove(self, blob: BlobInfo) -> None:
        """Takes the blob away, for it was read."""
        self._files.pop(blob).unlink()

    def close(self) -> None:
        """Takes all away."""
        self._workspace.close()
