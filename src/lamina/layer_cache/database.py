"""The file that a layer cache is kept in: opened or begun, read and written, and set aside where it is damaged.

Invariant: whatever state the file, its folder or the disk is in, the worst that comes of it is a warning.

A damaged file is renamed ``NAME.damaged``, and a new one begun. Other processes may have it open meanwhile. A lock on
its folder is held, shared, while it is opened and first read, and alone while it is begun or renamed: thus nobody opens
the ``-wal`` and ``-shm`` of one database for those of another. SQLite itself leaves them alone when it closes a
database that was renamed. It, and not a reader of our own, looks at the header too: closing a file would end the locks
that SQLite has on it (SQLite documentation, "How To Corrupt An SQLite Database File", 2.2 and 2.4).
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

from lamina.layer_cache.schema import (
    APPLICATION_ID,
    FILE_NAME,
    OLD_FILE_NAME,
    SCHEMA_VERSION,
    TABLES,
    DamagedError,
    OldSchemaError,
    UnusableFileError,
    check_owner,
    tables,
)
from lamina.system.sqlite import DatabaseError, connect, translate_errors

if TYPE_CHECKING:
    import sqlite3

# How long another process may be waited for, in seconds.
_LOCK_TIMEOUT = 2.0
_POLL_INTERVAL = 0.01

# What a database begins with, and where it says whose it is (SQLite documentation, "Database File Format", 1.3).
_MAGIC, _APPLICATION_ID_OFFSET = b"SQLite format 3\0", 68
_NAMES = ("layer-cache", "layer_cache", "ledger")
_DATABASE_SUFFIXES = {".sqlite", ".sqlite3", ".db"}

_T = TypeVar("_T")


class CacheDatabase:
    """The database at ``path``, once it is opened, in one connection; ``warn`` is told why there is none."""

    def __init__(self, path: Path, warn: Callable[[str], object]) -> None:
        self._path = path
        self._warn = warn
        self._database: sqlite3.Connection | None = None
        self._file_id = (0, 0)
        self._read_only_reason = ""
        self._was_replaced = False
        self.is_writable = False

    def open(self) -> None:
        """Opens it, begins it where it is not there; one that is damaged or older makes place for a new one."""
        try:
            self._path = Path(os.path.realpath(self._path))
            with translate_errors():
                self._open()
            self.is_writable = True
        except (OSError, DatabaseError, DamagedError, OldSchemaError, UnusableFileError) as error:
            self.recover(error)

    def close(self) -> None:
        """Whatever is written is in the file now."""
        self.is_writable = False
        if self._database:
            self._database.close()
            self._database = None

    def read(self, action: Callable[[sqlite3.Connection], _T]) -> _T | None:
        """What ``action`` finds; None where nothing can be read."""
        if not self._database:
            return None
        try:
            with translate_errors():
                return action(self._database)
        except (DatabaseError, DamagedError) as error:
            self.recover(error)
            return None

    def write(self, action: Callable[[sqlite3.Connection], None]) -> bool:
        """Whether ``action`` was done, in a transaction. Once it could not be, `is_writable` is false."""
        if not self.is_writable:
            return False
        if self._file_id != self._current_file_id():  # somebody has deleted it, or set it aside
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
        """Begins anew where ``error`` is of a kind that a new file helps against, once; else there is no layer cache
        now.
        """
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
        """Whether it is the file that is to blame, and not what is around it."""
        if self._read_only_reason:  # who knows what others write meanwhile
            return False
        if not isinstance(error, DatabaseError):
            return isinstance(error, DamagedError)
        if error.is_read_only:  # also said of a file whose header asks for a newer SQLite to write to it
            return all(os.access(place, os.W_OK) for place in (self._path, self._path.parent))
        return error.is_damage

    def _set_aside(self, *, keep: bool) -> Path | None:
        """Where the file that was opened lies now; None where it was another's, who has done this already."""
        with _lock_folder(self._path.parent, exclusive=True):
            if self._current_file_id() != self._file_id:
                return None
            aside = next(
                name for name in _set_aside_names(self._path) if not any(os.path.lexists(file) for file in _files(name))
            )
            # The database itself comes last: until then it is damaged, and nobody has a new one.
            for file, other in reversed(list(zip(_files(self._path), _files(aside), strict=True))):
                with contextlib.suppress(FileNotFoundError):
                    os.rename(file, other) if keep else os.unlink(file)
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
        return status.st_size > _EMPTY

    def _create_file(self, exclusive: bool) -> None:
        """Create an empty file that only the user may read, as SQLite creates those beside it.

        Files of an earlier database of this name are removed first, and so is the default layer cache under its old
        name once one is created under the new name.
        """
        if self._path.name == FILE_NAME:
            _remove_old_cache(self._path.with_name(OLD_FILE_NAME))
        if exclusive:
            for file in _files(self._path)[1:]:
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
            # SQLite cannot have its files beside it, for want of a permission or of room, so nobody else can write.
            self._read_only_reason = str(error)
            try:
                self._database = self._open_checked(_IMMUTABLE)
            except DatabaseError:
                raise error from None

    def _is_readable(self, error: DatabaseError) -> bool:
        """Whether all that there is lies in the file itself, and it was not the file that is to blame for ``error``."""
        log = _files(self._path)[1]
        at_rest = not os.path.exists(log) or not os.path.getsize(log)
        return at_rest and not error.is_damage and not error.is_busy

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
        """Make the tables where there are none, and check that the database is a layer cache of ours."""
        # A crash of the machine may cost what was learnt last, and no more (SQLite documentation, "synchronous").
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA cell_size_check = ON")
        if not tables(database):
            _create_tables(database)
        check_owner(database)
        if tables(database) != sorted(TABLES):
            raise DamagedError("other tables than a layer cache's")

    def _open_connection(self, options: str) -> sqlite3.Connection:
        database = connect(self._path, options, timeout=_LOCK_TIMEOUT, check_same_thread=False)
        database.text_factory = bytes  # what is no UTF-8 any more is compared all the same
        return database


_IMMUTABLE = "mode=ro&immutable=1"
# A file of one byte is an empty database too (SQLite source, os_unix.c, unixFileSize).
_EMPTY = 1


def _create_tables(database: sqlite3.Connection) -> None:
    with _transaction(database, "EXCLUSIVE"):
        if not tables(database):
            # In the file's own header from the start, where `check_owner` looks: there is no log yet.
            for statement in (
                *TABLES,
                f"PRAGMA application_id = {APPLICATION_ID}",
                f"PRAGMA user_version = {SCHEMA_VERSION}",
            ):
                database.execute(statement)
    _use_wal(database)


def _use_wal(database: sqlite3.Connection) -> None:
    """Has SQLite write ahead to a log, with which nobody who reads waits; where that cannot be it does without."""
    with contextlib.suppress(DatabaseError), translate_errors():
        database.execute("PRAGMA journal_mode = WAL").fetchall()


@contextlib.contextmanager
def _transaction(database: sqlite3.Connection, kind: str) -> Iterator[None]:
    database.execute(f"BEGIN {kind}")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(DatabaseError), translate_errors():  # after some errors it has ended already
            database.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def _lock_folder(folder: Path, *, exclusive: bool) -> Iterator[bool]:
    """Holds a lock on ``folder`` for the block, shared with others or ``exclusive``; false where there are none."""
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield False
        return
    try:
        yield _acquire(
            partial(fcntl.flock, descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        )
    finally:
        os.close(descriptor)


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
    """All of it that is missing is the user's alone (XDG Base Directory Specification, "Referencing")."""
    missing = itertools.takewhile(lambda place: not os.path.exists(place), (folder, *folder.parents))
    for place in reversed(list(missing)):
        place.mkdir(mode=stat.S_IRWXU, exist_ok=True)
    if not os.path.isdir(folder):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))


def _remove_old_cache(path: Path) -> None:
    """Remove the layer cache at ``path`` with what SQLite put beside it; another program's file stays."""
    head = b"" if path.is_symlink() or not path.is_file() else _read_head(path)
    if head.startswith(_MAGIC) and head[_APPLICATION_ID_OFFSET:] == APPLICATION_ID.to_bytes(4, "big"):
        for file in reversed(_files(path)):
            with contextlib.suppress(OSError):
                file.unlink()


def _read_head(path: Path) -> bytes:
    """Return the start of a database's header, with the application's number at its end; empty if it is unreadable."""
    try:
        with path.open("rb") as file:
            return file.read(_APPLICATION_ID_OFFSET + 4)
    except OSError:
        return b""


def _files(database: Path) -> list[Path]:
    """The database and what SQLite puts beside it, the log first."""
    return [Path(f"{database}{ending}") for ending in ("", "-wal", "-shm", "-journal")]


def _set_aside_names(path: Path) -> Iterator[Path]:
    yield Path(f"{path}.damaged")
    yield from (Path(f"{path}.damaged.{number}") for number in itertools.count(2))


def _error_text(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _looks_like_cache(path: Path) -> bool:
    """Whether a damaged file may be taken for a layer cache: by its name, or by what is left of a database's header."""
    place = Path(os.path.realpath(path))
    if any(name in place.name for name in _NAMES) or place.suffix in _DATABASE_SUFFIXES:
        return True
    head = _read_head(place)
    return head.startswith(_MAGIC) or head[_APPLICATION_ID_OFFSET:] == APPLICATION_ID.to_bytes(4, "big")
