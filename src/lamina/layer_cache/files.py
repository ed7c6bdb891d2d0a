"""Recognise the files of a layer cache, and delete them safely while other processes use them.

Only files that lamina created are deleted, and never while another process opens or writes them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lamina.errors import FormatError
from lamina.system.locks import FileLock

# The name of the default layer cache in the user's cache folder, and its former name.
FILE_NAME = "layer-cache.sqlite"
OLD_FILE_NAME = "ledger.sqlite"
LOCK_TIMEOUT = 10.0
"""How long to wait for another process, in seconds."""

# The application ID that identifies lamina's databases, its offset in the file, and the first bytes of every SQLite
# file (SQLite documentation, "Database File Format", 1.3).
APPLICATION_ID = int.from_bytes(b"lmna", "big")
_APPLICATION_ID_OFFSET = 68
_MAGIC = b"SQLite format 3\0"
# Earlier versions of lamina renamed damaged layer caches to such names.
_DAMAGED = re.compile(r"(?:layer-cache|ledger)\.sqlite\.damaged(?:\.[0-9]+)?(?:-wal|-shm|-journal)?")

FileId = tuple[int, int]
"""The device and the inode of a file."""


@dataclass(frozen=True, slots=True)
class DeletedFile:
    """A file that was deleted.

    Attributes:
        path: where it was.
        size: its size in bytes.
    """

    path: str
    size: int


def identify_file(path: Path) -> FileId | None:
    """Return the identity of the regular file at ``path``, or None. Raises `OSError` if it cannot be examined."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode):
            return status.st_dev, status.st_ino
    return None


def lock_layer_cache(path: Path, *, shared: bool) -> FileLock:
    """Lock the folder of the layer cache at ``path``, which is created if it is missing.

    Raises `Unavailable` if another process keeps its lock, and `OSError` if the folder cannot be created.
    """
    _create_folder(path.parent)
    return FileLock(path.parent, str(path), shared=shared, timeout=LOCK_TIMEOUT)


def delete_layer_cache(path: Path) -> tuple[DeletedFile, ...]:
    """Delete the layer cache at ``path``, and the files that SQLite may have created beside it.

    The caller holds the lock. Raises `FormatError` if the file was never a layer cache, and `OSError`.
    """
    check_origin(path)
    return delete_files(_list_files(path))


def check_origin(path: Path) -> None:
    """Raise `FormatError` if lamina did not create the file at ``path``, and `OSError`."""
    if not _is_layer_cache(path):
        raise FormatError(got="a file of another program", expected="a layer cache, or no file")


def delete_files(files: Iterable[Path]) -> tuple[DeletedFile, ...]:
    """Delete ``files``, and return those that existed. Raises `OSError`."""
    deleted = []
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            size = os.lstat(file).st_size
            file.unlink()
            deleted.append(DeletedFile(str(file), size))
    return tuple(deleted)


def list_leftovers(folder: Path) -> list[Path]:
    """Return the files of earlier versions of lamina in ``folder``: the old layer cache and renamed damaged ones.

    The result is empty if the folder does not exist. Raises `OSError` if the folder cannot be read.
    """
    if not folder.is_dir():
        return []
    old = folder / OLD_FILE_NAME
    # The database comes first: without it, SQLite ignores the files beside it.
    files = _list_files(old) if not old.is_symlink() and old.is_file() and _is_layer_cache(old) else []
    files += sorted(file for file in folder.iterdir() if _DAMAGED.fullmatch(file.name))
    return [file for file in files if file.is_file() and not file.is_symlink()]


def remove_old_file(folder: Path) -> None:
    """Remove the files of earlier versions of lamina in ``folder`` before the first new default layer cache is created.

    A file that cannot be removed stays.
    """
    with contextlib.suppress(OSError):
        if not os.path.lexists(folder / FILE_NAME):
            delete_files(list_leftovers(folder))


def _create_folder(folder: Path) -> None:
    """Create ``folder`` and its parents for this user only (XDG Base Directory Specification, "Referencing")."""
    missing = itertools.takewhile(lambda path: not os.path.lexists(path), (folder, *folder.parents))
    for path in reversed(list(missing)):
        path.mkdir(mode=stat.S_IRWXU, exist_ok=True)


def _list_files(database: Path) -> list[Path]:
    """Return the path of the database, then the paths of the files that SQLite creates beside it."""
    return [Path(f"{database}{suffix}") for suffix in ("", "-wal", "-shm", "-journal")]


def _is_layer_cache(path: Path) -> bool:
    """Return whether lamina created the file, according to its header, or to its name if the header is damaged."""
    with path.open("rb") as file:
        head = file.read(_APPLICATION_ID_OFFSET + 4)
    is_ours = head[_APPLICATION_ID_OFFSET:] == APPLICATION_ID.to_bytes(4, "big")
    return is_ours or (path.name == FILE_NAME and not head.startswith(_MAGIC))
