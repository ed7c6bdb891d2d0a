"""The entries of a layer cache as rows of its database."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import pytest

from lamina.errors import IntegrityError
from lamina.layer_cache.entries import (
    check_entries,
    count_entries,
    evict,
    measure_size,
    select_keys,
    select_values,
    write_entries,
)
from lamina.layer_cache.schema import prepare_database

DAY = 24 * 60 * 60


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.text_factory = bytes
        prepare_database(connection)
        yield connection


def key(number: int) -> bytes:
    return b"layer %d" % number


def put(database: sqlite3.Connection, numbers: range, now: int, size: int = 3000) -> None:
    write_entries(database, {key(number): bytes(size) for number in numbers}, (), now)


def test_a_value_is_found_by_its_key(database: sqlite3.Connection) -> None:
    write_entries(database, {b"layer a": b"1", b"listing b": b"2", b"layer c": b""}, (), 0)
    assert select_values(database, [b"layer a", b"layer c", b"none"], 0) == ({b"layer a": b"1", b"layer c": b""}, [])
    assert select_keys(database, b"layer ") == [b"layer a", b"layer c"]
    write_entries(database, {b"layer a": None, b"layer c": b"3", b"none": None}, (), 0)
    assert select_values(database, [b"layer a", b"layer c"], 0)[0] == {b"layer c": b"3"}


def test_uses_are_late_after_a_day_and_when_they_are_in_the_future(database: sqlite3.Connection) -> None:
    for number, now in enumerate((0, 2 * DAY, 4 * DAY)):
        put(database, range(number, number + 1), now)
    assert select_values(database, [key(number) for number in range(3)], 2 * DAY)[1] == [key(0), key(2)]
    write_entries(database, {}, [key(0), key(2)], 2 * DAY)
    assert select_values(database, [key(number) for number in range(3)], 2 * DAY)[1] == []


def test_the_least_recently_used_entries_are_evicted_first(database: sqlite3.Connection) -> None:
    for number in range(100):
        put(database, range(number, number + 1), number % 10)
    left = measure_size(database) * 6 // 10
    deleted = evict(database, left)
    assert measure_size(database) <= left
    kept = select_keys(database, b"layer ")
    assert 40 <= deleted == 100 - len(kept) <= 50
    newest = {key(number) for number in range(100) if number % 10 > 4}
    assert set(kept) >= newest


def test_entries_that_are_too_old_are_evicted_whatever_the_size(database: sqlite3.Connection) -> None:
    put(database, range(5), 100)
    put(database, range(5, 8), 200)
    assert evict(database, 1 << 30, 200) == 5
    assert select_keys(database, b"layer ") == [key(5), key(6), key(7)]
    assert evict(database, 1 << 30) == 0


def test_everything_goes_if_nothing_is_small_enough(database: sqlite3.Connection) -> None:
    put(database, range(20), 0, size=50_000)
    assert evict(database, 0) == 20
    assert select_keys(database, b"") == []


def test_entries_are_counted_by_kind(database: sqlite3.Connection) -> None:
    assert count_entries(database) == {}
    write_entries(database, {b"layer a": b"", b"listing a b": b""}, (), 7)
    write_entries(database, {b"listing c": b""}, (), 5)
    assert count_entries(database) == {b"layer": (1, 7), b"listing": (2, 5)}


@pytest.mark.parametrize(
    "change",
    ["value = x'01'", "value = 1", "value = 'text'", "key = x'00'", "checksum = x''", "checksum = 'text'", "key = 7"],
)
def test_a_changed_row_is_damage(database: sqlite3.Connection, change: str) -> None:
    put(database, range(1), 0)
    check_entries(database)
    database.execute(f"UPDATE entries SET {change}")
    with pytest.raises(IntegrityError, match="an entry with a wrong checksum"):
        check_entries(database)
    keys = [row[0] for row in database.execute("SELECT key FROM entries")]
    with pytest.raises(IntegrityError, match="an entry with a wrong checksum"):
        select_values(database, keys, 0)


@pytest.mark.parametrize(
    "change",
    [
        "used = 1e18",
        "used = 253402300800",
        "used = -1",
        "used = 1.5",
        "used = 'text'",
        "used = x'00'",
        "key = 'layer 0'",
    ],
)
def test_an_entry_without_a_valid_key_and_time_is_damage(database: sqlite3.Connection, change: str) -> None:
    put(database, range(3), 0)
    database.execute(f"UPDATE entries SET {change} WHERE rowid = 1")
    for check in (count_entries, check_entries):
        with pytest.raises(IntegrityError):
            check(database)


@pytest.mark.parametrize("column", ["key", "used"])
def test_a_null_where_none_may_be_is_damage(column: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE entries (key BLOB, used INTEGER, checksum BLOB, value BLOB)")
        connection.execute("INSERT INTO entries VALUES (x'6120', 0, x'', x''), (x'6220', 0, x'', x'')")
        connection.execute(f"UPDATE entries SET {column} = NULL WHERE rowid = 1")
        with pytest.raises(IntegrityError, match="got an entry without a valid key and time of use"):
            count_entries(connection)


def test_the_last_time_that_can_be_shown_is_valid(database: sqlite3.Connection) -> None:
    last = int(datetime.max.replace(microsecond=0, tzinfo=UTC).timestamp())
    put(database, range(1), last)
    assert count_entries(database) == {b"layer": (1, last)}


def test_a_damaged_index_is_damage(database: sqlite3.Connection) -> None:
    put(database, range(3), 0)
    database.execute("PRAGMA writable_schema = ON")
    database.execute("UPDATE sqlite_master SET sql = replace(sql, '(used)', '(value)') WHERE name = 'entries_by_use'")
    database.execute("PRAGMA writable_schema = RESET")
    with pytest.raises(IntegrityError, match="entries_by_use"):
        check_entries(database)
