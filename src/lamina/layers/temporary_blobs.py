"""Keep blobs in temporary files until they are copied into an archive.

A blob's digest, and the length of a compressed one, is unknown until it has been written, so each goes to a temporary
file first.

Invariant: no file is left once the store is closed.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from lamina.core.nodes import Extent
from lamina.core.progress import ProgressItem
from lamina.errors import OutputError, output_error
from lamina.layers.blob_writer import OnStored
from lamina.system.tempdir import FOLDER_HINT, TempDir
from lamina.system.transfer import BlobInfo


class PartFiles:
    """Creates empty files in ``folder`` for blobs that are being written, with permissions ``mode``."""

    def __init__(self, folder: Path, mode: int) -> None:
        self._folder = folder
        self._mode = mode
        self._numbers = count()

    def create(self) -> Path:
        """Create an empty file and return its path. Raises `OutputError`."""
        part = self._folder / str(next(self._numbers))
        try:
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self._mode))
        except OSError as error:
            raise output_error(str(part), error) from error
        return part


def create_blob_folder() -> TempDir:
    """Create a temporary folder for blobs. Raises `OutputError`."""
    try:
        return TempDir()
    except OSError as error:
        raise OutputError("temporary folder", error, "a folder for layers", hint=FOLDER_HINT) from error


@contextmanager
def explain_temporary_files() -> Iterator[None]:
    """Say in an `OutputError` of the block that it is about a temporary file, and how to choose the folder."""
    try:
        yield
    except OutputError as error:
        if not error.hint:
            error.expected, error.hint = "to write a temporary file there", FOLDER_HINT
        raise


class TemporaryBlobStore:
    """A `BlobStore` in a temporary folder. Raises `OutputError` if the folder cannot be created."""

    def __init__(self) -> None:
        self._folder = create_blob_folder()
        self._parts = PartFiles(self._folder.path, 0o600)
        self._files: dict[BlobInfo, Path] = {}

    def find(self, blobs: Collection[BlobInfo]) -> Mapping[BlobInfo, str]:
        """Return no blob, because the folder is new."""
        return {}

    def create(self) -> Path:
        """Create an empty file. Raises `OutputError`."""
        return self._parts.create()

    def commit(self, part: Path, blob: BlobInfo, made: str, item: ProgressItem, on_stored: OnStored) -> None:
        """Record ``part`` as the file of ``blob``, unless another layer gave the same blob."""
        if self._files.setdefault(blob, part) != part:
            part.unlink()
        on_stored(made)

    def extent(self, blob: BlobInfo) -> Extent:
        """Return the extent of the blob's file."""
        file = self._files[blob]
        return Extent.whole(os.fsencode(file), blob.size, file.stat().st_mtime_ns)

    def remove(self, blob: BlobInfo) -> None:
        """Delete the blob once it has been copied, if it is present."""
        if file := self._files.pop(blob, None):
            file.unlink()

    def close(self) -> None:
        """Delete the temporary folder and all blobs in it."""
        self._folder.close()
