"""Files on their way into a store: whole or not at all.

Invariant: what is in place was written to its end; what a killed process leaves lies beside it, and is swept away by
another once it is a day old. A disk that is full ends in `OutputError` that names the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from lamina.engine import Measure
from lamina.errors import OutputError
from lamina.names import Digest

# Below a store's folder: what is nobody else's business.
PRIVATE = ".lamina"
_DAY = 86400
_SWEPT: set[Path] = set()


class Arrival:
    """A file that is to be in the store at ``folder``, hashed on the way; nothing is left of it behind the block but
    what was kept. Raises `OutputError`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hash = hashlib.sha256()
        self._size = 0
        waiting = folder / PRIVATE / "arriving"
        with _room(folder):
            waiting.mkdir(parents=True, exist_ok=True)
            _sweep(waiting)
            self._file, name = tempfile.mkstemp(dir=waiting)
        self.path = Path(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._close()
        self.drop()

    def write(self, data: bytes | memoryview) -> None:
        """The next bytes. Raises `OutputError`."""
        self._hash.update(data)
        self._size += len(data)
        view = memoryview(data)
        with _room(self._folder):
            while view:
                view = view[os.write(self._file, view) :]

    def drop(self) -> None:
        """Removes it, where it was not kept, whoever is still at it."""
        with contextlib.suppress(OSError):
            self.path.unlink()

    @property
    def measure(self) -> Measure:
        """What came by now."""
        return Measure(Digest(self._hash.digest()), self._size)

    def keep(self, name: str) -> None:
        """What came is now the file ``name`` of the store. Raises `OutputError`."""
        place = self._folder / name
        with _room(self._folder):
            # Some systems say only now that the disk is full.
            self._close()
            place.parent.mkdir(exist_ok=True)
            if os.name == "posix":  # elsewhere it could never be removed again
                os.chmod(self.path, 0o444)
            os.replace(self.path, place)

    def _close(self) -> None:
        if self._file >= 0:
            number, self._file = self._file, -1
            os.close(number)


def stored(folder: Path, name: str, data: bytes) -> None:
    """Makes ``data`` the file ``name`` of the store at ``folder``, making that too. Raises `OutputError`."""
    with Arrival(folder) as arrival:
        arrival.write(data)
        arrival.keep(name)


@contextlib.contextmanager
def _room(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"store {folder}: got {error.strerror or error}, expected to write there") from error


def _sweep(waiting: Path) -> None:
    """Removes what processes left that were killed, by the clock of the disk; once for each folder."""
    if waiting in _SWEPT:
        return
    _SWEPT.add(waiting)
    with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=waiting) as now, os.scandir(waiting) as entries:
        before = os.fstat(now.fileno()).st_mtime - _DAY
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.stat(follow_symlinks=False).st_mtime < before:
                    os.unlink(entry.path)
