"""Open SQLite databases, and translate all errors of SQLite to one exception. No other module opens a database.

Python raises more than ``sqlite3.Error``: SQLite's messages quote the file's content, and if that is not UTF-8, Python
raises a `UnicodeDecodeError` without a code instead.

Invariant: within `translate_errors`, SQLite raises nothing but `DatabaseError`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

# Result codes caused by the environment, not by a damaged file (SQLite documentation, "Result Codes").
_ENVIRONMENT_CODES = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOLFS,
    sqlite3.SQLITE_AUTH,
}
_MAX_MESSAGE_LENGTH = 200
LIMIT_LENGTH = sqlite3.SQLITE_LIMIT_LENGTH
"""The category of ``setlimit`` for the length of one value."""


class DatabaseError(Exception):
    """An error of SQLite. ``code`` is its primary result code; an error without one counts as a damaged file."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code

    @property
    def is_damage(self) -> bool:
        """Whether the file is damaged, in contrast to a problem with a lock, a permission or the disk."""
        return self.code not in _ENVIRONMENT_CODES

    @property
    def is_inconsistent(self) -> bool:
        """Whether parts of the file contradict each other, which is damage, or a write that has not ended."""
        return self.code == sqlite3.SQLITE_CORRUPT

    @property
    def cannot_open(self) -> bool:
        """Whether SQLite could not open the file or create the files that it needs beside it."""
        return self.code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}


@contextlib.contextmanager
def translate_errors() -> Iterator[None]:
    """Translate everything that SQLite raises in the block to `DatabaseError`."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)  # errors of the Python module have no code
        raise DatabaseError(_printable(str(error)), code & 0xFF) from error
    except UnicodeDecodeError as error:
        message = bytes(error.object).decode("utf-8", "backslashreplace")
        raise DatabaseError(_printable(message), sqlite3.SQLITE_CORRUPT) from error


def connect(path: Path, options: str, *, timeout: float = 5, check_same_thread: bool = True) -> sqlite3.Connection:
    """Open the database at ``path``. The connection does not begin transactions by itself.

    Args:
        path: the database file.
        options: the query of SQLite's URI, such as ``mode=ro``.
        timeout: how many seconds to wait for another process's lock.
        check_same_thread: whether only the thread that opened the connection may use it.

    Raises:
        DatabaseError: the database cannot be opened.
    """
    name = quote(os.fsencode(path.absolute()))
    with translate_errors():
        return sqlite3.connect(
            f"file:{name}?{options}",
            uri=True,
            timeout=timeout,
            isolation_level=None,
            check_same_thread=check_same_thread,
        )


@contextlib.contextmanager
def open_database(path: Path, options: str, *, timeout: float = 5) -> Iterator[sqlite3.Connection]:
    """Open the database as `connect` does, for the block, and translate the errors in it to `DatabaseError`."""
    with contextlib.closing(connect(path, options, timeout=timeout)) as database, translate_errors():
        yield database


@contextlib.contextmanager
def transaction(database: sqlite3.Connection, kind: str) -> Iterator[None]:
    """Run the block in a transaction of this ``kind``, and roll it back if the block raises an error."""
    database.execute(f"BEGIN {kind}")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(DatabaseError), translate_errors():  # some errors have already ended the transaction
            database.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def open_in_memory() -> Iterator[sqlite3.Connection]:
    """Open an empty database in memory for the block."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as database, translate_errors():
        yield database


def _printable(text: str) -> str:
    text = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
    return text if len(text) <= _MAX_MESSAGE_LENGTH else f"{text[:_MAX_MESSAGE_LENGTH]}..."
