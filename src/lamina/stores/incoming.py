"""Write files into a store atomically.

A file in a store is always complete, because it is renamed into place after its last byte was written. The temporary
files of a killed process are in a separate folder, and the next process removes them. A full disk raises an
`OutputError` that names the folder.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from lamina.errors import OutputError
from lamina.system.temporary import PartFile
from lamina.system.transfer import BlobInfo, HashingWriter

# The subfolder of a store's folder for locks and temporary files.
PRIVATE = ".lamina"


class IncomingFile:
    """A file that is written into the store at ``folder``, and hashed while it is written.

    Used as a context manager; unless `commit` was called, the file is removed at the end of the block. Creating it
    raises `OutputError`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        incoming_folder = folder / PRIVATE / "arriving"
        with _translate_errors(folder):
            incoming_folder.mkdir(parents=True, exist_ok=True)
            self._part = PartFile(incoming_folder, 0o600, sweep_all=True)
        self._hashing = HashingWriter(self._part.write)
        self.path: Path = self._part.path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._part.discard()

    def write(self, data: bytes | memoryview) -> None:
        """Append ``data``. Raises `OutputError`."""
        with _translate_errors(self._folder):
            self._hashing.write(memoryview(data))

    def drop(self) -> None:
        """Remove the file unless it was committed, even if another thread still writes to it."""
        with contextlib.suppress(OSError):
            self.path.unlink()

    @property
    def blob_info(self) -> BlobInfo:
        """The hash and size of what was written so far."""
        return self._hashing.blob_info

    def commit(self, name: str) -> None:
        """Move the file to ``name``, relative to the folder of the store. Raises `OutputError`."""
        target = self._folder / name
        with _translate_errors(self._folder):
            target.parent.mkdir(exist_ok=True)
            # On Windows a read-only file could not be removed again.
            self._part.commit(target, 0o444 if os.name == "posix" else None)


def write_file(folder: Path, name: str, data: bytes) -> None:
    """Write ``data`` to the file ``name`` in ``folder``, which is created if necessary. Raises `OutputError`."""
    with IncomingFile(folder) as incoming:
        incoming.write(data)
        incoming.commit(name)


@contextlib.contextmanager
def _translate_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"store {folder}", error, "a writable store") from error
