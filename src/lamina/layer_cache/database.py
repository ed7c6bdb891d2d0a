"""The SQLite file of the layer cache: open, create, read and write it, and replace it if it is damaged.

`CacheDatabase` raises nothing if the file, its folder or the disk cannot be used: it calls ``warn`` instead.

SQLite keeps the journal in memory, so it creates no files beside the database. It would find such files by the name of
the database, so a process that still has a deleted database open would use the files of the new database. The price is
that the file may be damaged if a run is killed during a write, which takes milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from lamina.errors import Error, FormatError, IntegrityError, Unavailable, error_context
from lamina.layer_cache import entries
from lamina.layer_cache.files import LOCK_TIMEOUT, FileId, delete_layer_cache, identify_file, lock_layer_cache
from lamina.layer_cache.schema import check_owner, prepare_database
from lamina.system.sqlite import DatabaseError, connect, open_database, transaction, translate_errors

_T = TypeVar("_T")
# How often a file is inspected that looks damaged, and the seconds between. A write takes milliseconds.
_INSPECTIONS, _PAUSE = 10, 0.01


class CacheDatabase:
    """The database at ``path``, with one connection; ``warn`` is called with the reason if it cannot be used.

    The shared lock is held while the database is opened or written, so that no other process deletes it during that
    time.
    """

    def __init__(self, path: Path, warn: Callable[[str], object]) -> None:
        self._path = path
        self._warn = warn
        self._database: sqlite3.Connection | None = None
        self._file_id: FileId | None = None
        self._has_recovered = False
        self.is_writable: bool = False
        self._open()

    def select_values(self, keys: Sequence[bytes], now: int) -> tuple[dict[bytes, bytes], list[bytes]]:
        """Return the result of `entries.select_values`, which is empty if the file cannot be read."""
        return self._read(lambda database: entries.select_values(database, keys, now)) or ({}, [])

    def select_keys(self, kind: bytes) -> list[bytes]:
        """Return the result of `entries.select_keys`, which is empty if the file cannot be read."""
        return self._read(lambda database: entries.select_keys(database, kind)) or []

    def write(self, action: Callable[[sqlite3.Connection], object], *, is_needed: bool) -> bool:
        """Run ``action`` in a transaction and return whether it was committed; if not, `is_writable` becomes false.

        A failure causes a warning only if the transaction ``is_needed``.
        """
        while self._database and self.is_writable:
            try:
                with translate_cache_errors(self._path), lock_layer_cache(self._path, shared=True):
                    if identify_file(self._path) == self._file_id:
                        with transaction(self._database, "IMMEDIATE"):
                            action(self._database)
                        return True
                self.close()  # another process has deleted the file
                self._open()
            except IntegrityError as error:
                self._recover(error)
            except Unavailable as error:
                self.is_writable = False
                if is_needed:
                    self._warn(f"{error}: continuing without writing to the layer cache")
        return False

    def close(self) -> None:
        """Close the connection."""
        self.is_writable = False
        if self._database:
            self._database.close()
            self._database = None

    def _read(self, action: Callable[[sqlite3.Connection], _T]) -> _T | None:
        try:
            with translate_cache_errors(self._path):
                return action(self._database) if self._database else None
        except (IntegrityError, Unavailable) as error:
            self._recover(error)
            return None

    def _open(self) -> None:
        try:
            with translate_cache_errors(self._path):
                self._path = Path(os.path.realpath(self._path))
                with lock_layer_cache(self._path, shared=True):
                    self._file_id = identify_file(self._path) or _create_file(self._path)
                    self._database = connect_to_cache(self._path)
            self.is_writable = True
        except Error as error:
            self._recover(error)

    def _recover(self, error: Error) -> None:
        """Replace the file after ``error`` if a new file helps, but only once; otherwise continue without a file."""
        self.close()
        if not isinstance(error, IntegrityError) or self._has_recovered:
            self._warn(f"{error}: continuing without the layer cache")
            return
        self._has_recovered = True
        try:
            if delete_if_damaged(self._path):
                self._warn(f"{error}: the file was deleted, and a new layer cache is created")
        except Error as refusal:
            self._warn(f"{refusal}: continuing without the layer cache")
        else:
            self._open()


def connect_to_cache(path: Path) -> sqlite3.Connection:
    """Open the file at ``path``, and create the tables if it is empty.

    The caller translates the errors with `translate_cache_errors`.
    """
    _inspect(path)
    database = connect(path, "mode=rw", timeout=LOCK_TIMEOUT, check_same_thread=False)
    try:
        database.text_factory = bytes  # damaged text may not be UTF-8; as bytes it can still be compared
        prepare_database(database)
    except BaseException:
        database.close()
        raise
    return database


def _inspect(path: Path) -> None:
    """Check the owner of the file, without a lock, so that another program's database is never locked or changed.

    Without a lock, a file that another process is writing looks damaged for a moment, so it is inspected again then.
    Reading it without SQLite would release the locks that this process has on it (SQLite documentation, "How To Corrupt
    An SQLite Database File", 2.2).
    """
    for attempt in range(1, _INSPECTIONS + 1):
        try:
            with open_database(path, "mode=ro&immutable=1") as inspected:
                check_owner(inspected)
        except DatabaseError as error:
            if not error.is_inconsistent or attempt == _INSPECTIONS:
                raise
            time.sleep(_PAUSE)
        else:
            return


@contextlib.contextmanager
def open_layer_cache(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the layer cache at ``path`` for the block; raise what `translate_cache_errors` raises."""
    with translate_cache_errors(path), contextlib.closing(connect_to_cache(path)) as database:
        yield database


def delete_if_damaged(path: Path) -> bool:
    """Delete the layer cache at ``path`` if it is damaged; return whether it was deleted.

    A cache that another process has already replaced by an intact one is not deleted.

    Raises `FormatError` if the file was never a layer cache, and `Unavailable`.
    """
    with translate_cache_errors(path), lock_layer_cache(path, shared=False):
        try:
            if identify_file(path):
                with open_layer_cache(path) as database:
                    entries.check_entries(database)
        except IntegrityError:
            delete_layer_cache(path)
            return True
    return False


@contextlib.contextmanager
def translate_cache_errors(path: Path) -> Iterator[None]:
    """Translate errors of SQLite and of the operating system in the block, and add the name of the file at ``path``.

    Raises:
        FormatError: The file belongs to another program, or to a newer lamina.
        IntegrityError: The file is damaged, or belongs to an older lamina.
        Unavailable: The file cannot be used now, or this user may not use it.
    """
    try:
        with translate_errors(), error_context(path, FormatError, IntegrityError):
            yield
    except DatabaseError as error:
        family = IntegrityError if error.is_damage else Unavailable
        raise family(path, got=error, expected="a layer cache that can be used") from error
    except OSError as error:
        raise Unavailable(path, error.strerror or error, "a layer cache that can be used") from error


def _create_file(path: Path) -> FileId:
    """Create an empty file that only the user may read."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR))
    if file_id := identify_file(path):
        return file_id
    raise FormatError(got="no regular file", expected="a layer cache")
