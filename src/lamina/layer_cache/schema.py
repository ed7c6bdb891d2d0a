"""The tables of a ledger, whose a database is, and the seal of a row.

Invariant: a row that passes is as it was written, and a database that passes is a ledger of this schema.

A row's seal is a hash over all of it, so that bits that have changed on the disk are noticed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lamina.errors import shown

if TYPE_CHECKING:
    import sqlite3  # who has a connection has imported it

Row = tuple[Any, ...]

SCHEMA = 1
APPLICATION = int.from_bytes(b"lmna", "big")
TABLES = (
    """CREATE TABLE compressed (
  diff_id BLOB NOT NULL, codec BLOB NOT NULL, digest BLOB NOT NULL, size INTEGER NOT NULL, seal BLOB NOT NULL,
  PRIMARY KEY (diff_id, codec)) WITHOUT ROWID""",
    """CREATE TABLE layers (
  key BLOB NOT NULL PRIMARY KEY, diff_id BLOB NOT NULL, size INTEGER NOT NULL, seal BLOB NOT NULL,
  recipe BLOB NOT NULL)""",
    # A path on disk has one content, so what was there before goes.
    """CREATE TABLE listings (
  top BLOB NOT NULL PRIMARY KEY, nar_hash BLOB NOT NULL, seal BLOB NOT NULL, listing BLOB NOT NULL)""",
)
LEARN = {
    "layers": "INSERT OR REPLACE INTO layers VALUES (?, ?, ?, ?, ?)",
    "compressed": "INSERT OR REPLACE INTO compressed VALUES (?, ?, ?, ?, ?)",
    "listings": "INSERT OR REPLACE INTO listings VALUES (?, ?, ?, ?)",
}
FORGET = {
    "layers": "DELETE FROM layers WHERE key = ?",
    "listings": "DELETE FROM listings WHERE top = ? AND nar_hash = ?",
}
LAYER = "SELECT key, diff_id, size, seal FROM layers WHERE key = ?"
LAYERS = "SELECT key, diff_id, size, seal, recipe FROM layers WHERE key > ? ORDER BY key LIMIT 64"
COMPRESSED = "SELECT diff_id, codec, digest, size, seal FROM compressed WHERE diff_id = ? AND codec = ?"
LISTINGS = "SELECT top, nar_hash, listing, seal FROM listings WHERE top IN ({})"


class DamagedError(Exception):
    """The file holds what no ledger has written."""


class OlderError(Exception):
    """The file is of a schema before this one."""


class RefusedError(Exception):
    """The file is not to be used and not to be touched."""


def tables(database: sqlite3.Connection) -> list[str]:
    """The statements that made them, ascending."""
    rows = database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY sql")
    return [sql.decode("utf-8", "replace") for (sql,) in rows]


def judge(database: sqlite3.Connection) -> None:
    """Raises `RefusedError` for what is not ours, or a newer lamina's, `OlderError` for an older one's."""
    application, version = (
        database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    if application != APPLICATION:
        raise RefusedError("a database of another program, expected a ledger")
    if version > SCHEMA:
        raise RefusedError(f"a ledger of a newer lamina, schema {version}, expected {SCHEMA}")
    if version < SCHEMA:
        raise OlderError


def seal(values: Iterable[object]) -> bytes:
    """The seal of ``values``, which are bytes and whole numbers; raises `DamagedError` for others."""
    found = hashlib.blake2b(digest_size=8)
    for value in values:
        data = b"%d" % value if isinstance(value, int) else value
        if not isinstance(data, bytes):
            raise DamagedError(f"{shown(value)} in a row")
        found.update(b"%d%c" % (len(data), b"bi"[isinstance(value, int)]))
        found.update(data)
    return found.digest()


def proven(row: Row) -> Row:
    """``row``, whose last value is the seal of the others; raises `DamagedError`."""
    if row[-1] != seal(row[:-1]):
        raise DamagedError("a row that is not as it was written")
    return row


def only(rows: list[Row], key: tuple[bytes, ...]) -> Row | None:
    """The row that was asked for by ``key``, with which it begins, if there is one; raises `DamagedError`."""
    for row in rows:
        if row[: len(key)] != key:
            raise DamagedError("a row in the place of another")
        return proven(row)
    return None
