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
    """Those of a closed graph, with all that a base image's may have."""
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


def reads(content: bytes) -> bool:
    try:
        read(content)
    except FormatError:
        return False
    return True


def ascending(given_ones: list[Registration]) -> tuple[Registration, ...]:
    return tuple(sorted(given_ones, key=lambda one: one.path))


@given(registrations())
def test_what_is_dumped_is_read_back(ones: list[Registration]) -> None:
    assert read(database.dump(ones)) == (ascending(ones), ())


@given(registrations(), st.data())
def test_the_order_does_not_show(ones: list[Registration], data: st.DataObject) -> None:
    assert database.dump(data.draw(st.permutations(ones))) == database.dump(ones)


@given(registrations())
def test_what_is_settled_stays_as_it_is(ones: list[Registration]) -> None:
    content = database.dump(ones)
    assert database.normalise(content) == content


@given(registrations(), registrations(), st.data())
def test_what_is_merged_is_closed_whatever_the_base_lacks(
    base: list[Registration], own: list[Registration], data: st.DataObject
) -> None:
    kept = data.draw(st.sets(st.sampled_from(base))) if base else set()
    both, _ = merge_registrations(kept, own)
    assert read(database.dump(both)) == (both, ())
    assert set(own) <= set(both)


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=300).map(lambda rest: b"SQLite format 3\0" + rest)))
def test_garbage_is_refused(content: bytes) -> None:
    assert not reads(content)


@given(
    registrations(),
    st.lists(st.tuples(st.integers(0, 2**16), st.binary(min_size=1, max_size=4)), min_size=1, max_size=20),
)
def test_a_damaged_database_is_read_or_refused(ones: list[Registration], changes: list[tuple[int, bytes]]) -> None:
    damaged = bytearray(database.dump(ones))
    for place, value in changes:
        start = place % (len(damaged) - len(value))
        damaged[start : start + len(value)] = value
    reads(bytes(damaged))
