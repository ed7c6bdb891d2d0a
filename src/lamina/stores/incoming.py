"""Files on their way into a store: whole or not at all.

Invariant: what is in place was written to its end; what a killed process leaves lies beside it, and the next process
removes it. A disk that is full ends in `OutputError` that names the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from lamina.core.names import Digest
from lamina.errors import OutputError
from lamina.system.temporary import PartFile
from lamina.system.transfer import BlobInfo

# Below a store's folder: what is nobody else's business.
PRIVATE = ".lamina"


class IncomingFile:
    """A file that is to be in the store at ``folder``, hashed on the way; nothing is left of it behind the block but
    what was kept. Raises `OutputError`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hash = hashlib.sha256()
        self._size = 0
        waiting = folder / PRIVATE / "arriving"
        with _translate_errors(folder):
            waiting.mkdir(parents=True, exist_ok=True)
            self._part = PartFile(waiting, 0o600, sweep_all=True)
        self.path = self._part.path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._part.discard()

    def write(self, data: bytes | memoryview) -> None:
        """The next bytes. Raises `OutputError`."""
        self._hash.update(data)
        self._size += len(data)
        view = memoryview(data)
        with _translate_errors(self._folder):
            while view:
                view = view[os.write(self._part.fd, view) :]

    def drop(self) -> None:
        """Removes it, where it was not kept, whoever is still at it."""
        with contextlib.suppress(OSError):
            self.path.unlink()

    @property
    def blob_info(self) -> BlobInfo:
        """What came by now."""
        return BlobInfo(Digest(self._hash.digest()), self._size)

    def commit(self, name: str) -> None:
        """What came is now the file ``name`` of the store. Raises `OutputError`."""
        place = self._folder / name
        with _translate_errors(self._folder):
            place.parent.mkdir(exist_ok=True)
            # Elsewhere a file of that mode could never be removed again.
            self._part.commit(place, 0o444 if os.name == "posix" else None)


def write_file(folder: Path, name: str, data: bytes) -> None:
    """Makes ``data`` the file ``name`` of the store at ``folder``, making that too. Raises `OutputError`."""
    with IncomingFile(folder) as incoming:
        incoming.write(data)
        incoming.commit(name)


@contextlib.contextmanager
def _translate_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"store {folder}: got {error.strerror or error}, expected to write there") from error
