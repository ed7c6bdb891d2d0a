"""The tables of a layer cache, the owner of a database, and the checksum of a row.

Invariant: a row that passes is as it was written, and a database that passes is a layer cache of this schema.

A row's checksum is a hash over all of it, so that bits that changed on the disk are noticed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lamina.messages.redaction import short_repr

if TYPE_CHECKING:
    import sqlite3  # who has a connection has imported it

Row = tuple[Any, ...]

FILE_NAME = "layer-cache.sqlite"
"""The name of the default layer cache, in the user's cache folder."""
OLD_FILE_NAME = "ledger.sqlite"
"""The name that it had before."""
SCHEMA_VERSION = 2
APPLICATION_ID = int.from_bytes(b"lmna", "big")
TABLES = (
    """CREATE TABLE compressed (
  diff_id BLOB NOT NULL, codec BLOB NOT NULL, digest BLOB NOT NULL, size INTEGER NOT NULL, checksum BLOB NOT NULL,
  PRIMARY KEY (diff_id, codec)) WITHOUT ROWID""",
    """CREATE TABLE layers (
  key BLOB NOT NULL PRIMARY KEY, diff_id BLOB NOT NULL, size INTEGER NOT NULL, checksum BLOB NOT NULL,
  inputs BLOB NOT NULL)""",
    # A path on disk has one content, so what was there before goes.
    """CREATE TABLE listings (
  top BLOB NOT NULL PRIMARY KEY, nar_hash BLOB NOT NULL, checksum BLOB NOT NULL, listing BLOB NOT NULL)""",
)
PUT = {
    "layers": "INSERT OR REPLACE INTO layers VALUES (?, ?, ?, ?, ?)",
    "compressed": "INSERT OR REPLACE INTO compressed VALUES (?, ?, ?, ?, ?)",
    "listings": "INSERT OR REPLACE INTO listings VALUES (?, ?, ?, ?)",
}
REMOVE = {
    "layers": "DELETE FROM layers WHERE key = ?",
    "listings": "DELETE FROM listings WHERE top = ? AND nar_hash = ?",
}
LAYER = "SELECT key, diff_id, size, checksum FROM layers WHERE key = ?"
LAYERS = "SELECT key, diff_id, size, checksum, inputs FROM layers WHERE key > ? ORDER BY key LIMIT 64"
COMPRESSED = "SELECT diff_id, codec, digest, size, checksum FROM compressed WHERE diff_id = ? AND codec = ?"
LISTINGS = "SELECT top, nar_hash, listing, checksum FROM listings WHERE top IN ({})"


class DamagedError(Exception):
    """The file holds what no layer cache has written."""


class OldSchemaError(Exception):
    """The file is of a schema before this one."""


class UnusableFileError(Exception):
    """The file is not to be used and not to be touched."""


def tables(database: sqlite3.Connection) -> list[str]:
    """The statements that made them, ascending."""
    rows = database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY sql")
    return [sql.decode("utf-8", "replace") for (sql,) in rows]


def check_owner(database: sqlite3.Connection) -> None:
    """Raises `UnusableFileError` for what is not ours, or a newer lamina's, `OldSchemaError` for an older one's."""
    application, version = (
        database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    if application != APPLICATION_ID:
        raise UnusableFileError("a database of another program, expected a layer cache")
    if version > SCHEMA_VERSION:
        raise UnusableFileError(f"a layer cache of a newer lamina, schema {version}, expected {SCHEMA_VERSION}")
    if version < SCHEMA_VERSION:
        raise OldSchemaError


def row_checksum(values: Iterable[object]) -> bytes:
    """Return the checksum of ``values``, bytes and integers; raise `DamagedError` for others."""
    found = hashlib.blake2b(digest_size=8)
    for value in values:
        data = b"%d" % value if isinstance(value, int) else value
        if not isinstance(data, bytes):
            raise DamagedError(f"{short_repr(value)} in a row")
        found.update(b"%d%c" % (len(data), b"bi"[isinstance(value, int)]))
        found.update(data)
    return found.digest()


def verified_row(row: Row) -> Row:
    """Return ``row`` if its last value is the checksum of the others; raise `DamagedError` otherwise."""
    if row[-1] != row_checksum(row[:-1]):
        raise DamagedError("a row that is not as it was written")
    return row


def single_row(rows: list[Row], key: tuple[bytes, ...]) -> Row | None:
    """The row that was asked for by ``key``, with which it begins, if there is one; raises `DamagedError`."""
    for row in rows:
        if row[: len(key)] != key:
            raise DamagedError("a row in the place of another")
        return verified_row(row)
    return None
