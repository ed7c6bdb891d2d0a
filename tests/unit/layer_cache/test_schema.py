"""The tables of the layer cache, and the databases that are not one."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from lamina.errors import FormatError, IntegrityError
from lamina.layer_cache.files import APPLICATION_ID
from lamina.layer_cache.schema import SCHEMA_VERSION, check_owner, prepare_database


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.text_factory = bytes
        yield connection


def test_an_empty_database_becomes_a_layer_cache(database: sqlite3.Connection) -> None:
    check_owner(database)
    for _ in range(2):
        prepare_database(database)
        check_owner(database)
    assert database.execute("PRAGMA application_id").fetchall() == [(APPLICATION_ID,)]


def test_a_database_of_another_program_is_refused(database: sqlite3.Connection) -> None:
    database.execute("CREATE TABLE notes (text)")
    for check in (check_owner, prepare_database):
        with pytest.raises(FormatError, match="a database of another program"):
            check(database)


@pytest.mark.parametrize(("version", "kind", "age"), [(-1, IntegrityError, "an older"), (1, FormatError, "a newer")])
def test_another_version_is_told_from_damage(
    database: sqlite3.Connection, version: int, kind: type[Exception], age: str
) -> None:
    prepare_database(database)
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + version}")
    with pytest.raises(kind, match=f"a layer cache of {age} lamina, schema {SCHEMA_VERSION + version}"):
        check_owner(database)


def test_other_tables_are_damage(database: sqlite3.Connection) -> None:
    prepare_database(database)
    database.execute("CREATE INDEX entries_by_size ON entries (value)")
    with pytest.raises(IntegrityError, match="other tables"):
        prepare_database(database)
