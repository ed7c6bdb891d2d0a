"""Laws of Nix databases."""

import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tests.support.factories import graphs, path

from lamina.errors import FormatError
from lamina.rootfs import database
from lamina.rootfs.registration import Registration, merge_registrations

TEXTS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=80)
PATHS = st.sampled_from("ABCDEFGH").map(path)
NUMBERS = st.one_of(st.integers(0, 10), st.integers(0, 2**63 - 1))


@st.composite
def registrations(draw: st.DrawFn) -> list[Registration]:
    """Draw the registrations of a closed graph, with all fields that those of a base image may have."""
    return [
        replace(
            Registration.of(info),
            nar_size=draw(NUMBERS),
            deriver=draw(st.one_of(st.just(""), PATHS.map(str))),
            registration_time=draw(NUMBERS),
            ultimate=draw(st.booleans()),
            signatures=draw(st.frozensets(TEXTS, max_size=3)),
            ca=draw(st.one_of(st.just(""), TEXTS)),
            outputs=draw(
                st.sets(st.tuples(TEXTS, PATHS), max_size=3).map(lambda found: frozenset(dict(found).items()))
            ),
        )
        for info in draw(graphs())
    ]


def read(content: bytes) -> tuple[tuple[Registration, ...], tuple[str, ...]]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "db.sqlite")
        file.write_bytes(content)
        return database.read(file)


def is_readable(content: bytes) -> bool:
    """Return whether a database is valid; what was read of a valid one can be dumped, and reads back."""
    try:
        found, _ = read(content)
    except FormatError:
        return False
    assert read(database.dump(found))[0] == found
    return True


def sort_by_path(unsorted: list[Registration]) -> tuple[Registration, ...]:
    return tuple(sorted(unsorted, key=lambda entry: entry.path))


@given(registrations())
def test_a_dump_reads_back(entries: list[Registration]) -> None:
    assert read(database.dump(entries)) == (sort_by_path(entries), ())


@given(registrations(), st.data())
def test_a_dump_does_not_depend_on_the_order(entries: list[Registration], data: st.DataObject) -> None:
    assert database.dump(data.draw(st.permutations(entries))) == database.dump(entries)


@given(registrations())
def test_a_normalised_database_is_unchanged(entries: list[Registration]) -> None:
    content = database.dump(entries)
    assert database.normalise(content) == content


@given(registrations(), registrations(), st.data())
def test_a_merged_database_is_closed_even_if_the_base_is_not(
    base: list[Registration], own: list[Registration], data: st.DataObject
) -> None:
    kept = data.draw(st.sets(st.sampled_from(base))) if base else set()
    both, _ = merge_registrations(kept, own)
    assert read(database.dump(both)) == (both, ())
    assert set(own) <= set(both)


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=300).map(lambda rest: b"SQLite format 3\0" + rest)))
def test_garbage_is_refused(content: bytes) -> None:
    assert not is_readable(content)


@given(
    registrations(),
    st.lists(st.tuples(st.integers(0, 2**16), st.binary(min_size=1, max_size=4)), min_size=1, max_size=20),
)
def test_a_damaged_database_is_read_or_refused(entries: list[Registration], changes: list[tuple[int, bytes]]) -> None:
    damaged = bytearray(database.dump(entries))
    for offset, value in changes:
        start = offset % (len(damaged) - len(value))
        damaged[start : start + len(value)] = value
    is_readable(bytes(damaged))
