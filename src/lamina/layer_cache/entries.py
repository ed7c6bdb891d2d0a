"""The entries of the layer cache, as rows of its database: read, write and count them, and evict old ones.

An entry has a key, a value, the time of its last use in seconds since 1970, and a checksum of key and value, which
detects bits that have changed on the disk. The time of use is updated at most once a day, so that a run that adds
nothing rarely writes. In a damaged row, any column may have any type.

Invariant: the value that is returned for a key is the one that was written for it; otherwise `IntegrityError` is
raised.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from lamina.errors import IntegrityError

# A SQLite statement can have at least 999 parameters (SQLITE_MAX_VARIABLE_NUMBER before 3.32).
_MAX_PARAMETERS = 900
_DAY = 24 * 60 * 60
_EXPECTED = "a layer cache that can be used"
_SELECT = "SELECT key, checksum, value, abs(? - used) > ? FROM entries WHERE key IN ({})"
# The upper limit is the last second of the year 9999, the last year that `datetime` supports.
_COUNT = """SELECT substr(key, 1, instr(key, x'20') - 1) AS kind, count(*), min(used), min(typeof(key) = 'blob'
  AND typeof(used) = 'integer' AND used BETWEEN 0 AND 253402300799) FROM entries GROUP BY kind"""
_DELETE_OLDEST = "DELETE FROM entries WHERE rowid IN (SELECT rowid FROM entries ORDER BY used, rowid LIMIT ?)"


def select_values(
    database: sqlite3.Connection, keys: Sequence[bytes], now: int
) -> tuple[dict[bytes, bytes], list[bytes]]:
    """Return the values of the ``keys`` that have an entry, and the keys whose recorded use is more than a day old.

    Raises `IntegrityError` if an entry is damaged.
    """
    values: dict[bytes, bytes] = {}
    late = []
    for start in range(0, len(keys), _MAX_PARAMETERS):
        part = frozenset(keys[start : start + _MAX_PARAMETERS])
        query = _SELECT.format(",".join("?" * len(part)))
        for key, checksum, value, is_late in database.execute(query, (now, _DAY, *part)):
            _check_row(key, checksum, value)
            if key not in part:
                raise IntegrityError(got="the entry of another key", expected=_EXPECTED)
            values[key] = value
            if is_late:
                late.append(key)
    return values, late


def select_keys(database: sqlite3.Connection, kind: bytes) -> list[bytes]:
    """Return the keys that begin with ``kind``, in ascending order."""
    keys = database.execute("SELECT key FROM entries WHERE substr(key, 1, ?) = ? ORDER BY key", (len(kind), kind))
    return [key for (key,) in keys]


def write_entries(
    database: sqlite3.Connection, changes: Mapping[bytes, bytes | None], used: Iterable[bytes], now: int
) -> None:
    """Write the new values in ``changes``, delete the entries whose value is None, and record the use of others."""
    for key, value in changes.items():
        if value is None:
            database.execute("DELETE FROM entries WHERE key = ?", (key,))
        else:
            row = key, now, _checksum(key, value), value
            database.execute("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", row)
    database.executemany("UPDATE entries SET used = ? WHERE key = ?", ((now, key) for key in used))


def evict(database: sqlite3.Connection, max_size: int, oldest: int = 0) -> int:
    """Delete entries last used before ``oldest``, then the least recently used ones, down to ``max_size`` bytes.

    Return the number of deleted entries.
    """
    deleted = database.execute("DELETE FROM entries WHERE used < ?", (oldest,)).rowcount
    # Most entries are smaller than four pages, so a quarter of the excess is not too much to delete at once.
    while (excess := measure_size(database) - max_size) > 0 and (
        count := database.execute(_DELETE_OLDEST, (1 + excess // (4 * _read_pragma(database, "page_size")),)).rowcount
    ):
        deleted += count
    return deleted


def compact(database: sqlite3.Connection) -> None:
    """Shrink the file to the size of its used part. If the process is killed during this, the file is damaged."""
    # Without these settings, SQLite would hold the whole file in memory.
    for setting in ("journal_mode = OFF", "cache_spill = ON"):
        database.execute(f"PRAGMA {setting}")
    database.execute("VACUUM")


def measure_size(database: sqlite3.Connection) -> int:
    """Return the size of the used part of the file in bytes. SQLite reuses the free part before the file grows."""
    pages = _read_pragma(database, "page_count") - _read_pragma(database, "freelist_count")
    return pages * _read_pragma(database, "page_size")


def count_entries(database: sqlite3.Connection) -> dict[bytes, tuple[int, int]]:
    """Return the number of entries and their oldest use for each kind, which is the first word of a key.

    Values are not read. Raises `IntegrityError` if a key is not binary, or if a time of use is invalid.
    """
    rows = database.execute(_COUNT).fetchall()
    if not all(is_intact for *_, is_intact in rows):
        raise IntegrityError(got="an entry without a valid key and time of use", expected=_EXPECTED)
    return {kind: (count, oldest) for kind, count, oldest, _ in rows}


def check_entries(database: sqlite3.Connection) -> None:
    """Read the whole database. Raises `IntegrityError` if any part of it is damaged."""
    ((result, *_), *_) = database.execute("PRAGMA integrity_check(1)").fetchall()
    if result != b"ok":
        raise IntegrityError(got=result.decode("utf-8", "replace"), expected=_EXPECTED)
    for row in database.execute("SELECT key, checksum, value FROM entries"):
        _check_row(*row)
    count_entries(database)


def _read_pragma(database: sqlite3.Connection, name: str) -> int:
    value: int = database.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def _check_row(key: bytes, checksum: bytes, value: bytes) -> None:
    """Raise `IntegrityError` if the values of a row, which may have any type, are not those that were written."""
    try:
        if _checksum(key, value) == checksum:
            return
    except TypeError:
        pass
    raise IntegrityError(got="an entry with a wrong checksum", expected=_EXPECTED)


def _checksum(key: bytes, value: bytes) -> bytes:
    return hashlib.blake2b(b"%d %b%b" % (len(key), key, value), digest_size=8).digest()
