"""The SQLite file of the layer cache: create, open, read and write it, and set it aside if it is damaged.

Invariant: whatever state the file, its folder or the disk is in, the run goes on, and at most a warning is printed.

A damaged file is renamed to ``NAME.damaged``, and a new one is created. Other processes may have it open meanwhile, so
a lock on its folder is held: shared while the file is opened and first read, exclusive while it is created or renamed.
Thus no process uses the ``-wal`` and ``-shm`` files of one database with another. SQLite itself leaves those files
alone when it closes a database that was renamed. The header is read through SQLite too, because closing a file that was
opened directly would release the locks that SQLite has on it (SQLite documentation, "How To Corrupt An SQLite Database
File", 2.2 and 2.4).
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lamina.layer_cache.files import APPLICATION_ID_OFFSET, MAGIC, list_files, read_head
from lamina.layer_cache.schema import (
    APPLICATION_ID,
    SCHEMA_VERSION,
    TABLES,
    DamagedError,
    OldSchemaError,
    UnusableFileError,
    check_owner,
    read_tables,
)
from lamina.system.sqlite import DatabaseError, connect, translate_errors

if TYPE_CHECKING:
    import sqlite3

# How long to wait for another process's lock, and between two attempts, in seconds.
_LOCK_TIMEOUT = 2.0
_POLL_INTERVAL = 0.01

# The start of every SQLite file, and the offset of its application ID (SQLite documentation, "Database File Format",
# 1.3).
# Parts of file names that show that a damaged file was meant to be a layer cache; ledger is the old word for it.
_NAMES = ("layer-cache", "layer_cache", "ledger")
_DATABASE_SUFFIXES = {".sqlite", ".sqlite3", ".db"}

_T = TypeVar("_T")


class CacheDatabase:
    """The database at ``path``, with one connection; ``warn`` is called with the reason if it cannot be used."""

    def __init__(self, path: Path, warn: Callable[[str], object]) -> None:
        self._path = path
        self._warn = warn
        self._database: sqlite3.Connection | None = None
        self._file_id = (0, 0)
        self._read_only_reason = ""
        self._was_replaced = False
        self.is_writable = False

    def open(self) -> None:
        """Open the file, or create it; replace it if it is damaged or has an older schema."""
        try:
            self._path = Path(os.path.realpath(self._path))
            with translate_errors():
                self._open()
            self.is_writable = True
        except (OSError, DatabaseError, DamagedError, OldSchemaError, UnusableFileError) as error:
            self.recover(error)

    def close(self) -> None:
        """Close the connection; if it is the last one, SQLite then moves its log into the file."""
        self.is_writable = False
        if self._database:
            self._database.close()
            self._database = None

    def read(self, action: Callable[[sqlite3.Connection], _T]) -> _T | None:
        """Return the result of ``action``; None if the file cannot be read."""
        if not self._database:
            return None
        try:
            with translate_errors():
                return action(self._database)
        except (DatabaseError, DamagedError) as error:
            self.recover(error)
            return None

    def write(self, action: Callable[[sqlite3.Connection], None]) -> bool:
        """Run ``action`` in a transaction and return whether it was committed; if not, `is_writable` becomes false."""
        if not self.is_writable:
            return False
        if self._file_id != self._current_file_id():  # another process has deleted the file or set it aside
            self.close()
            self.open()
        while self._database and self.is_writable:
            try:
                _use_wal(self._database)
                with translate_errors(), _transaction(self._database, "IMMEDIATE"):
                    action(self._database)
            except DatabaseError as error:
                if self._is_damage(error):
                    self.recover(error)
                    continue
                self.is_writable = False
                got = self._read_only_reason or error
                self._warn(f"{self._path}: got {got}, expected to keep there what was learnt: going on without")
            else:
                return True
        return False

    def recover(self, error: Exception) -> None:
        """Replace the file after ``error`` if a new file helps, but only once; otherwise go on without one."""
        path = self._path
        damaged = self._is_damage(error)
        self.close()
        if damaged and not _looks_like_cache(path):
            self._warn(
                f"{path}: got something else, expected a layer cache, or no file: it is left as it is: going on without"
            )
            return
        if self._was_replaced or not (damaged or isinstance(error, OldSchemaError)):
            refused = isinstance(error, UnusableFileError)
            got = str(error) if refused else f"{_error_text(error)}, expected a layer cache that can be used"
            self._warn(f"{path}: got {got}: going on without")
            return
        self._was_replaced = True
        try:
            aside = self._set_aside(keep=damaged)
        except (OSError, UnusableFileError) as refusal:
            self._warn(
                f"{path}: got {_error_text(error)}, and {_error_text(refusal)} when it was set aside: going on without"
            )
            return
        if damaged and aside:
            self._warn(
                f"{path}: got {_error_text(error)}, expected a whole layer cache: "
                f"set aside as {aside}, a new one is begun"
            )
        self.open()

    def _is_damage(self, error: Exception) -> bool:
        """Return whether ``error`` is due to damage in the file, rather than to its surroundings."""
        if self._read_only_reason:  # another process may write to the file while this one reads it without locks
            return False
        if not isinstance(error, DatabaseError):
            return isinstance(error, DamagedError)
        if error.is_read_only:  # SQLite also reports this for a header that demands a newer SQLite for writing
            return all(os.access(path, os.W_OK) for path in (self._path, self._path.parent))
        return error.is_damage

    def _set_aside(self, *, keep: bool) -> Path | None:
        """Rename the file with ``keep``, otherwise delete it.

        Returns the new path; None if another process has already replaced the file.
        """
        with _lock_folder(self._path.parent, exclusive=True):
            if self._current_file_id() != self._file_id:
                return None
            aside = next(
                name
                for name in _set_aside_names(self._path)
                if not any(os.path.lexists(file) for file in list_files(name))
            )
            # The database itself comes last: as long as the damaged file is there, no process creates a new one.
            for file, new_file in reversed(list(zip(list_files(self._path), list_files(aside), strict=True))):
                with contextlib.suppress(FileNotFoundError):
                    os.rename(file, new_file) if keep else os.unlink(file)
            return aside

    def _open(self) -> None:
        folder = self._path.parent
        if not os.path.isdir(folder):
            _make_folder(folder)
        with _lock_folder(folder, exclusive=False):
            if self._exists():
                self._connect()
                return
        with _lock_folder(folder, exclusive=True) as exclusive:
            if not self._exists():
                self._create_file(exclusive)
            self._connect()

    def _exists(self) -> bool:
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            return False
        if not stat.S_ISREG(status.st_mode):
            raise UnusableFileError("no file, expected a layer cache")
        return status.st_size > _MAX_EMPTY_SIZE

    def _create_file(self, exclusive: bool) -> None:
        """Create an empty file that only the user may read; SQLite gives the files beside it the same permissions.

        Files beside an earlier database of this name are removed first.
        """
        if exclusive:
            for file in list_files(self._path)[1:]:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(file)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR))

    def _current_file_id(self) -> tuple[int, int]:
        try:
            status = os.stat(self._path)
        except OSError:
            return 0, 0
        return status.st_dev, status.st_ino

    def _connect(self) -> None:
        self._file_id = self._current_file_id()
        self._read_only_reason = ""
        # Inspect the file read-only first, so that another program's database is never locked or checkpointed.
        with (
            contextlib.suppress(DatabaseError),
            contextlib.closing(self._open_connection(_IMMUTABLE)) as database,
            translate_errors(),
        ):
            if self._exists():
                check_owner(database)
        try:
            self._database = self._open_checked("mode=rw")
        except DatabaseError as error:
            if not self._is_readable(error):
                raise
            # SQLite cannot create its files beside the database, for lack of permission or space, so nobody can write.
            self._read_only_reason = str(error)
            try:
                self._database = self._open_checked(_IMMUTABLE)
            except DatabaseError:
                raise error from None

    def _is_readable(self, error: DatabaseError) -> bool:
        """Return whether the file can be read on its own: its log is empty, and ``error`` is not due to the file."""
        log = list_files(self._path)[1]
        log_is_empty = not os.path.exists(log) or not os.path.getsize(log)
        return log_is_empty and not error.is_damage and not error.is_busy

    def _open_checked(self, options: str) -> sqlite3.Connection:
        database = self._open_connection(options)
        try:
            with translate_errors():
                self._prepare(database)
        except BaseException:
            database.close()
            raise
        return database

    def _prepare(self, database: sqlite3.Connection) -> None:
        """Create the tables in an empty database, and check that the database is a layer cache with this schema."""
        # A crash of the machine loses at most the latest transactions (SQLite documentation, "synchronous").
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA cell_size_check = ON")
        if not read_tables(database):
            _create_tables(database)
        check_owner(database)
        if read_tables(database) != sorted(TABLES):
            raise DamagedError("other tables than a layer cache's")

    def _open_connection(self, options: str) -> sqlite3.Connection:
        database = connect(self._path, options, timeout=_LOCK_TIMEOUT, check_same_thread=False)
        database.text_factory = bytes  # so that damaged text, which may not be UTF-8, can be compared
        return database


_IMMUTABLE = "mode=ro&immutable=1"
# SQLite also takes a file of one byte for an empty database (SQLite source, os_unix.c, unixFileSize).
_MAX_EMPTY_SIZE = 1


def _create_tables(database: sqlite3.Connection) -> None:
    with _transaction(database, "EXCLUSIVE"):
        if not read_tables(database):
            # Before the switch to a log, so that the IDs are in the file's own header, where `check_owner` reads them.
            for statement in (
                *TABLES,
                f"PRAGMA application_id = {APPLICATION_ID}",
                f"PRAGMA user_version = {SCHEMA_VERSION}",
            ):
                database.execute(statement)
    _use_wal(database)


def _use_wal(database: sqlite3.Connection) -> None:
    """Switch to a write-ahead log if possible, because readers then never wait for a writer."""
    with contextlib.suppress(DatabaseError), translate_errors():
        database.execute("PRAGMA journal_mode = WAL").fetchall()


@contextlib.contextmanager
def _transaction(database: sqlite3.Connection, kind: str) -> Iterator[None]:
    database.execute(f"BEGIN {kind}")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(DatabaseError), translate_errors():  # some errors have already ended the transaction
            database.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def _lock_folder(folder: Path, *, exclusive: bool) -> Iterator[bool]:
    """Hold a shared or ``exclusive`` lock on ``folder`` for the block; yields False if the system has no such locks."""
    try:
        import fcntl

        fd = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield False
        return
    try:
        yield _acquire(partial(fcntl.flock, fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB))
    finally:
        os.close(fd)


def _acquire(lock: Callable[[], None]) -> bool:
    for _ in range(int(_LOCK_TIMEOUT / _POLL_INTERVAL)):
        try:
            lock()
        except BlockingIOError:
            time.sleep(_POLL_INTERVAL)
        except OSError:
            return False
        else:
            return True
    raise UnusableFileError(f"another process at work for {_LOCK_TIMEOUT:g} seconds, expected it to end")


def _make_folder(folder: Path) -> None:
    """Create ``folder`` and its parents for this user only (XDG Base Directory Specification, "Referencing")."""
    missing = itertools.takewhile(lambda path: not os.path.exists(path), (folder, *folder.parents))
    for path in reversed(list(missing)):
        path.mkdir(mode=stat.S_IRWXU, exist_ok=True)
    if not os.path.isdir(folder):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))


def _set_aside_names(path: Path) -> Iterator[Path]:
    yield Path(f"{path}.damaged")
    yield from (Path(f"{path}.damaged.{number}") for number in itertools.count(2))


def _error_text(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _looks_like_cache(path: Path) -> bool:
    """Return whether a damaged file was a layer cache, judging by its name or by the rest of a database's header."""
    file = Path(os.path.realpath(path))
    if any(name in file.name for name in _NAMES) or file.suffix in _DATABASE_SUFFIXES:
        return True
    head = read_head(file)
    return head.startswith(MAGIC) or head[APPLICATION_ID_OFFSET:] == APPLICATION_ID.to_bytes(4, "big")
