"""The tables of the layer cache, and the checks that a database must pass before it is used."""

from __future__ import annotations

import sqlite3

from lamina.errors import FormatError, IntegrityError
from lamina.layer_cache.files import APPLICATION_ID
from lamina.system.sqlite import transaction

SCHEMA_VERSION = 3
_STATEMENTS = [
    """CREATE TABLE entries (
  key BLOB NOT NULL PRIMARY KEY, used INTEGER NOT NULL, checksum BLOB NOT NULL, value BLOB NOT NULL)""",
    "CREATE INDEX entries_by_use ON entries (used)",
]


def prepare_database(database: sqlite3.Connection) -> None:
    """Create the tables in ``database`` if it is empty, and check them.

    Raises what `check_owner` raises, and `IntegrityError` if the tables are not those of a layer cache.
    """
    # Keep the journal in memory, and write to the file only at the end of a transaction.
    for setting in ("journal_mode = MEMORY", "cache_spill = OFF", "synchronous = NORMAL", "cell_size_check = ON"):
        database.execute(f"PRAGMA {setting}")
    if not _read_statements(database):
        with transaction(database, "EXCLUSIVE"):
            if not _read_statements(database):  # another process may have created the tables first
                header = f"PRAGMA application_id = {APPLICATION_ID}", f"PRAGMA user_version = {SCHEMA_VERSION}"
                for statement in (*_STATEMENTS, *header):
                    database.execute(statement)
    check_owner(database)
    if _read_statements(database) != _STATEMENTS:
        raise IntegrityError(got="other tables", expected="the tables of a layer cache")


def check_owner(database: sqlite3.Connection) -> None:
    """Check that the header of ``database``, unless it is empty, is that of a layer cache with this schema version.

    Raises:
        FormatError: The database belongs to another program or to a newer lamina.
        IntegrityError: The database belongs to an older lamina. This counts as damage, so the file is replaced.
    """
    application, version, pages = (
        database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version", "page_count")
    )
    if not pages:
        return
    if application != APPLICATION_ID:
        raise FormatError(got="a database of another program", expected="a layer cache")
    if version > SCHEMA_VERSION:
        raise FormatError(got=f"a layer cache of a newer lamina, schema {version}", expected=SCHEMA_VERSION)
    if version < SCHEMA_VERSION:
        raise IntegrityError(got=f"a layer cache of an older lamina, schema {version}", expected=SCHEMA_VERSION)


def _read_statements(database: sqlite3.Connection) -> list[str]:
    """Return the statements that created the tables and indexes of ``database``."""
    rows = database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")
    return [sql.decode("utf-8", "replace") for (sql,) in rows]
