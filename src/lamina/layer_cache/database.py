"""The file that a ledger is kept in: opened or begun, read and written, and set aside where it is damaged.

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
    APPLICATION,
    SCHEMA,
    TABLES,
    DamagedError,
    OlderError,
    RefusedError,
    judge,
    tables,
)
from lamina.system.sqlite import DatabaseError, connect, translated

if TYPE_CHECKING:
    import sqlite3

# How long another process may be waited for, in seconds.
_PATIENCE = 2.0
_TICK = 0.01

# What a database begins with, and where it says whose it is (SQLite documentation, "Database File Format", 1.3).
_MAGIC, _APPLICATION_AT = b"SQLite format 3\0", 68
_DATABASES = {".sqlite", ".sqlite3", ".db"}

_T = TypeVar("_T")


class LedgerFile:
    """The database at ``path``, once it is opened, in one connection; ``warn`` is told why there is none."""

    def __init__(self, path: Path, warn: Callable[[str], object]) -> None:
        self._path = path
        self._warn = warn
        self._database: sqlite3.Connection | None = None
        self._identity = (0, 0)
        self._unchanging = ""
        self._renewed = False
        self.keeps = False

    def open(self) -> None:
        """Opens it, begins it where it is not there; one that is damaged or older makes place for a new one."""
        try:
            self._path = Path(os.path.realpath(self._path))
            with translated():
                self._open()
            self.keeps = True
        except (OSError, DatabaseError, DamagedError, OlderError, RefusedError) as error:
            self.recover(error)

    def close(self) -> None:
        """Whatever is written is in the file now."""
        self.keeps = False
        if self._database:
            self._database.close()
            self._database = None

    def read(self, work: Callable[[sqlite3.Connection], _T]) -> _T | None:
        """What ``work`` finds; None where nothing can be read."""
        if not self._database:
            return None
        try:
            with translated():
                return work(self._database)
        except (DatabaseError, DamagedError) as error:
            self.recover(error)
            return None

    def write(self, work: Callable[[sqlite3.Connection], None]) -> bool:
        """Whether ``work`` was done, in a transaction. Once it could not be, `keeps` is false."""
        if not self.keeps:
            return False
        if self._identity != self._seen():  # somebody has deleted it, or set it aside
            self.close()
            self.open()
        while self._database and self.keeps:
            try:
                _use_log(self._database)
                with translated(), _transaction(self._database, "IMMEDIATE"):
                    work(self._database)
            except DatabaseError as error:
                if self._is_damage(error):
                    self.recover(error)
                    continue
                self.keeps = False
                got = self._unchanging or error
                self._warn(f"{self._path}: got {got}, expected to keep there what was learnt: going on without")
            else:
                return True
        return False

    def recover(self, error: Exception) -> None:
        """Begins anew where ``error`` is of a kind that a new file helps against, once; else there is no ledger now."""
        path = self._path
        damaged = self._is_damage(error)
        self.close()
        if damaged and not _looks_like_one(path):
            self._warn(
                f"{path}: got something else, expected a ledger, or no file: it is left as it is: going on without"
            )
            return
        if self._renewed or not (damaged or isinstance(error, OlderError)):
            refused = isinstance(error, RefusedError)
            got = str(error) if refused else f"{_said(error)}, expected a ledger that can be used"
            self._warn(f"{path}: got {got}: going on without")
            return
        self._renewed = True
        try:
            aside = self._take_away(keep=damaged)
        except (OSError, RefusedError) as refusal:
            self._warn(f"{path}: got {_said(error)}, and {_said(refusal)} when it was set aside: going on without")
            return
        if damaged and aside:
            self._warn(f"{path}: got {_said(error)}, expected a whole ledger: set aside as {aside}, a new one is begun")
        self.open()

    def _is_damage(self, error: Exception) -> bool:
        """Whether it is the file that is to blame, and not what is around it."""
        if self._unchanging:  # who knows what others write meanwhile
            return False
        if not isinstance(error, DatabaseError):
            return isinstance(error, DamagedError)
        if error.is_read_only:  # also said of a file whose header asks for a newer SQLite to write to it
            return all(os.access(place, os.W_OK) for place in (self._path, self._path.parent))
        return error.is_damage

    def _take_away(self, *, keep: bool) -> Path | None:
        """Where the file that was opened lies now; None where it was another's, who has done this already."""
        with _locked(self._path.parent, alone=True):
            if self._seen() != self._identity:
                return None
            aside = next(
                name for name in _names_aside(self._path) if not any(os.path.lexists(file) for file in _files(name))
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
        with _locked(folder, alone=False):
            if self._is_begun():
                self._connect()
                return
        with _locked(folder, alone=True) as alone:
            if not self._is_begun():
                self._begin(alone)
            self._connect()

    def _is_begun(self) -> bool:
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            return False
        if not stat.S_ISREG(status.st_mode):
            raise RefusedError("no file, expected a ledger")
        return status.st_size > _EMPTY

    def _begin(self, alone: bool) -> None:
        """An empty file that is the user's alone, as SQLite makes those beside it; left from another are none."""
        if alone:
            for file in _files(self._path)[1:]:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(file)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR))

    def _seen(self) -> tuple[int, int]:
        try:
            status = os.stat(self._path)
        except OSError:
            return 0, 0
        return status.st_dev, status.st_ino

    def _connect(self) -> None:
        self._identity = self._seen()
        self._unchanging = ""
        # Inspect the file read-only first, so that another program's database is never locked or checkpointed.
        with (
            contextlib.suppress(DatabaseError),
            contextlib.closing(self._connected(_UNCHANGING)) as database,
            translated(),
        ):
            if self._is_begun():
                judge(database)
        try:
            self._database = self._checked("mode=rw")
        except DatabaseError as error:
            if not self._is_readable(error):
                raise
            # SQLite cannot have its files beside it, for want of a permission or of room, so nobody else can write.
            self._unchanging = str(error)
            try:
                self._database = self._checked(_UNCHANGING)
            except DatabaseError:
                raise error from None

    def _is_readable(self, error: DatabaseError) -> bool:
        """Whether all that there is lies in the file itself, and it was not the file that is to blame for ``error``."""
        log = _files(self._path)[1]
        at_rest = not os.path.exists(log) or not os.path.getsize(log)
        return at_rest and not error.is_damage and not error.is_busy

    def _checked(self, options: str) -> sqlite3.Connection:
        database = self._connected(options)
        try:
            with translated():
                self._prepare(database)
        except BaseException:
            database.close()
            raise
        return database

    def _prepare(self, database: sqlite3.Connection) -> None:
        """Make the tables where there are none, and check that the database is a ledger of ours."""
        # A crash of the machine may cost what was learnt last, and no more (SQLite documentation, "synchronous").
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA cell_size_check = ON")
        if not tables(database):
            _create(database)
        judge(database)
        if tables(database) != sorted(TABLES):
            raise DamagedError("other tables than a ledger's")

    def _connected(self, options: str) -> sqlite3.Connection:
        database = connect(self._path, options, timeout=_PATIENCE, for_one_thread=False)
        database.text_factory = bytes  # what is no UTF-8 any more is compared all the same
        return database


_UNCHANGING = "mode=ro&immutable=1"
# A file of one byte is an empty database too (SQLite source, os_unix.c, unixFileSize).
_EMPTY = 1


def _create(database: sqlite3.Connection) -> None:
    with _transaction(database, "EXCLUSIVE"):
        if not tables(database):
            # In the file's own header from the start, where `judge` looks: there is no log yet.
            for statement in (*TABLES, f"PRAGMA application_id = {APPLICATION}", f"PRAGMA user_version = {SCHEMA}"):
                database.execute(statement)
    _use_log(database)


def _use_log(database: sqlite3.Connection) -> None:
    """Has SQLite write ahead to a log, with which nobody who reads waits; where that cannot be it does without."""
    with contextlib.suppress(DatabaseError), translated():
        database.execute("PRAGMA journal_mode = WAL").fetchall()


@contextlib.contextmanager
def _transaction(database: sqlite3.Connection, kind: str) -> Iterator[None]:
    database.execute(f"BEGIN {kind}")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(DatabaseError), translated():  # after some errors it has ended already
            database.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def _locked(folder: Path, *, alone: bool) -> Iterator[bool]:
    """Holds a lock on ``folder`` for the block, shared with others or ``alone``; false where there are none."""
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield False
        return
    try:
        yield _is_locked(partial(fcntl.flock, descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB))
    finally:
        os.close(descriptor)


def _is_locked(lock: Callable[[], None]) -> bool:
    for _ in range(int(_PATIENCE / _TICK)):
        try:
            lock()
        except BlockingIOError:
            time.sleep(_TICK)
        except OSError:
            return False
        else:
            return True
    raise RefusedError(f"another process at work for {_PATIENCE:g} seconds, expected it to end")


def _make_folder(folder: Path) -> None:
    """All of it that is missing is the user's alone (XDG Base Directory Specification, "Referencing")."""
    missing = itertools.takewhile(lambda place: not os.path.exists(place), (folder, *folder.parents))
    for place in reversed(list(missing)):
        place.mkdir(mode=stat.S_IRWXU, exist_ok=True)
    if not os.path.isdir(folder):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))


def _files(database: Path) -> list[Path]:
    """The database and what SQLite puts beside it, the log first."""
    return [Path(f"{database}{ending}") for ending in ("", "-wal", "-shm", "-journal")]


def _names_aside(path: Path) -> Iterator[Path]:
    yield Path(f"{path}.damaged")
    yield from (Path(f"{path}.damaged.{number}") for number in itertools.count(2))


def _said(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _looks_like_one(path: Path) -> bool:
    """Whether a damaged file may be taken for a ledger: by its name, or by what is left of a database's header."""
    place = Path(os.path.realpath(path))
    if "ledger" in place.name or place.suffix in _DATABASES:
        return True
    try:
        with place.open("rb") as file:
            head = file.read(_APPLICATION_AT + 4)
    except OSError:
        return False
    return head.startswith(_MAGIC) or head[_APPLICATION_AT:] == APPLICATION.to_bytes(4, "big")
