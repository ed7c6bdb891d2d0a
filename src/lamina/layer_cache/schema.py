"""The tables of the layer cache, and the checks of a database and of its rows.

Invariant: a row that passes `verified_row` is as it was written, and a database that passes `check_owner` is a layer
cache with this schema version.

A row's checksum is a hash of all its values, so that bits that have changed on the disk are detected.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lamina.messages.redaction import short_repr

if TYPE_CHECKING:
    import sqlite3  # imported on demand: the caller that passes a connection has imported it

Row = tuple[Any, ...]

SCHEMA_VERSION = 2
APPLICATION_ID = int.from_bytes(b"lmna", "big")
TABLES = (
    """CREATE TABLE compressed (
  diff_id BLOB NOT NULL, codec BLOB NOT NULL, digest BLOB NOT NULL, size INTEGER NOT NULL, checksum BLOB NOT NULL,
  PRIMARY KEY (diff_id, codec)) WITHOUT ROWID""",
    """CREATE TABLE layers (
  key BLOB NOT NULL PRIMARY KEY, diff_id BLOB NOT NULL, size INTEGER NOT NULL, checksum BLOB NOT NULL,
  inputs BLOB NOT NULL)""",
    # A location on disk has one content, so a new listing replaces the one before.
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
    """The file has contents that a layer cache never writes."""


class OldSchemaError(Exception):
    """The file has an older schema version than this one."""


class UnusableFileError(Exception):
    """The file must be neither used nor changed."""


def read_tables(database: sqlite3.Connection) -> list[str]:
    """Return the statements that created the tables of ``database``, in ascending order."""
    rows = database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY sql")
    return [sql.decode("utf-8", "replace") for (sql,) in rows]


def check_owner(database: sqlite3.Connection) -> None:
    """Check that ``database`` is a layer cache with this schema version.

    Raises:
        UnusableFileError: if it belongs to another program or to a newer lamina.
        OldSchemaError: if it belongs to an older lamina.
    """
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
    """Return the checksum of ``values``, which are bytes and integers. Raises `DamagedError` for other types."""
    checksum = hashlib.blake2b(digest_size=8)
    for value in values:
        data = b"%d" % value if isinstance(value, int) else value
        if not isinstance(data, bytes):
            raise DamagedError(f"{short_repr(value)} in a row")
        checksum.update(b"%d%c" % (len(data), b"bi"[isinstance(value, int)]))
        checksum.update(data)
    return checksum.digest()


def verified_row(row: Row) -> Row:
    """Return ``row`` if its last value is the checksum of the others. Raises `DamagedError` otherwise."""
    if row[-1] != row_checksum(row[:-1]):
        raise DamagedError("a row that is not as it was written")
    return row


def single_row(rows: list[Row], key: tuple[bytes, ...]) -> Row | None:
    """Return the only row if there is one. Raises `DamagedError` if it is damaged or does not begin with ``key``."""
    for row in rows:
        if row[: len(key)] != key:
            raise DamagedError("a row in the place of another")
        return verified_row(row)
    return None
