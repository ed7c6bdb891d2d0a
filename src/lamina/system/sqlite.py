"""SQLite databases: where they are opened, and what SQLite raises as one exception.

Invariant: no other module opens a database, and within `translate_errors` nothing but `DatabaseError` comes of SQLite.

Python raises more than ``sqlite3.Error``: SQLite's messages quote what is in the file, and one that is no UTF-8 becomes
a `UnicodeDecodeError` of Python's, without a code.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

# What SQLite says where not the file, but what is around it is to blame (SQLite documentation, "Result Codes").
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
_LONGEST_MESSAGE = 200
LIMIT_LENGTH = sqlite3.SQLITE_LIMIT_LENGTH
"""What ``setlimit`` calls the length of one value."""


class DatabaseError(Exception):
    """SQLite refused. ``code`` is its primary result code; where there is none, the file is damaged."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code

    @property
    def is_damage(self) -> bool:
        """Whether the file is to blame, and not a lock, a permission or a disk."""
        return self.code not in _ENVIRONMENT_CODES

    @property
    def is_busy(self) -> bool:
        """Whether another process holds a lock."""
        return self.code == sqlite3.SQLITE_BUSY

    @property
    def is_read_only(self) -> bool:
        """Whether the file cannot be written, or asks for a newer SQLite to write it."""
        return self.code == sqlite3.SQLITE_READONLY

    @property
    def cannot_open(self) -> bool:
        """Whether SQLite could not open the file, or not make the files that it needs beside it."""
        return self.code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}


@contextlib.contextmanager
def translate_errors() -> Iterator[None]:
    """Raise `DatabaseError` for whatever SQLite raises in the block."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)  # Python's own errors have none
        raise DatabaseError(_printable(str(error)), code & 0xFF) from error
    except UnicodeDecodeError as error:
        message = bytes(error.object).decode("utf-8", "backslashreplace")
        raise DatabaseError(_printable(message), sqlite3.SQLITE_CORRUPT) from error


def connect(path: Path, options: str, *, timeout: float = 5, check_same_thread: bool = True) -> sqlite3.Connection:
    """Open the database at ``path`` with ``options``, the query of its URI. It begins no transaction by itself.

    ``timeout`` is how many seconds to wait for another process's lock. Raises `DatabaseError`.
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
    """Open the database as `connect` does, for the block, in which only `DatabaseError` comes of SQLite."""
    with contextlib.closing(connect(path, options, timeout=timeout)) as database, translate_errors():
        yield database


@contextlib.contextmanager
def open_in_memory() -> Iterator[sqlite3.Connection]:
    """Open an empty database in memory for the block."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as database, translate_errors():
        yield database


def _printable(text: str) -> str:
    text = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}..."
