"""Keep blobs in temporary files until they are copied into an archive.

A compressed layer's length is unknown until it has been written, so each goes to a temporary file first.

Invariant: no file is left once the store is closed.
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
    """A `BlobStore` in a temporary folder. Raises `OutputError` if the folder cannot be created."""

    def __init__(self) -> None:
        try:
            self._folder = TempDir()
        except OSError as error:
            raise OutputError("temporary folder", error, "a folder for compressed layers") from error
        self._numbers = count()
        self._files: dict[BlobInfo, Path] = {}

    def has(self, blob: BlobInfo) -> bool:
        """Return False, because the folder is new and contains no blob yet."""
        return False

    def create(self) -> Path:
        """Create an empty file. Raises `OutputError`."""
        part = self._folder.path / str(next(self._numbers))
        try:
            part.touch(mode=0o600)
        except OSError as error:
            raise output_error(str(part), error) from error
        return part

    def commit(self, part: Path, blob: BlobInfo) -> bool:
        """Record ``part`` as the file of ``blob``, which is new."""
        self._files[blob] = part
        return True

    def extent(self, blob: BlobInfo) -> Extent:
        """Return the extent of the blob's file."""
        file = self._files[blob]
        return Extent.whole(os.fsencode(file), blob.size, file.stat().st_mtime_ns)

    def remove(self, blob: BlobInfo) -> None:
        """Delete the blob once it has been copied."""
        self._files.pop(blob).unlink()

    def close(self) -> None:
        """Delete the temporary folder and all blobs in it."""
        self._folder.close()
