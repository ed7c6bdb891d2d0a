"""The entries of a shared layer cache, and places that cannot be used."""

import threading
from pathlib import Path

import pytest
from tests.support.layer_cache import Fact, facts
from tests.support.shared_layer_cache import DAMAGES, CountedFolder, StuckFolder, list_objects, open_entries

from lamina.errors import OutputError, Unavailable, Unreachable
from lamina.layer_cache.encoding import dump_layer, make_layer_key
from lamina.layer_cache.objects import MAX_SIZE, Objects
from lamina.layer_cache.pause import PAUSE, Health
from lamina.layer_cache.shared_entries import SharedEntries


def entries_of(new: list[Fact]) -> dict[bytes, bytes | None]:
    return {make_layer_key(fact.inputs.key): dump_layer(fact.inputs, fact.layer) for fact in new}


def test_many_entries_are_written_and_found(tmp_path: Path) -> None:
    warnings: list[str] = []
    truth = entries_of(facts(100))
    shared = open_entries(CountedFolder(tmp_path), warnings)
    assert shared.get_many(truth) == {}
    assert sorted(shared.put_many(truth)) == sorted(truth)
    assert open_entries(CountedFolder(tmp_path), warnings).get_many([*truth, *entries_of([Fact("other")])]) == truth
    assert len(list_objects(tmp_path)) == 100
    assert not warnings


def test_a_place_is_opened_when_it_is_needed_and_once(tmp_path: Path) -> None:
    opened = []

    def open_objects() -> Objects:
        opened.append(1)
        return CountedFolder(tmp_path)

    shared = SharedEntries(open_objects, "file:///x", pytest.fail)
    shared.get_many([])
    shared.put_many({})
    assert not opened
    shared.get_many(entries_of(facts(2)))
    shared.put_many(entries_of(facts(2)))
    assert opened == [1]


def test_a_place_that_cannot_be_opened_is_one_warning() -> None:
    def open_objects() -> Objects:
        raise Unavailable("s3://bucket", "no config", "one")

    warnings: list[str] = []
    shared = SharedEntries(open_objects, "s3://bucket", warnings.append)
    assert shared.get_many(entries_of(facts(2))) == {}
    assert shared.put_many(entries_of(facts(2))) == []
    assert warnings == ["s3://bucket: got no config, expected one: continuing without the shared layer cache"]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_objects_are_one_warning_and_replaced(tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    truth, warnings = entries_of(facts(5)), list[str]()
    open_entries(CountedFolder(tmp_path), warnings).put_many(truth)
    for file in list_objects(tmp_path)[:3]:
        file.write_bytes(damage(file.read_bytes()))
    shared = open_entries(CountedFolder(tmp_path), warnings)
    found = shared.get_many(truth)
    assert len(found) == 2
    assert found.items() <= truth.items()
    assert len(warnings) == 1, warnings
    assert warnings[0].startswith(f"{tmp_path.as_uri()}/layers/")
    assert warnings[0].endswith(": it is made again")
    shared.put_many(truth)
    assert open_entries(CountedFolder(tmp_path), warnings).get_many(truth) == truth


def test_a_large_object_counts_as_damaged(tmp_path: Path) -> None:
    truth, warnings = entries_of(facts(2)), list[str]()
    open_entries(CountedFolder(tmp_path), warnings).put_many(truth)
    with list_objects(tmp_path)[0].open("r+b") as file:
        file.truncate(MAX_SIZE + 1)
    assert len(open_entries(CountedFolder(tmp_path), warnings).get_many(truth)) == 1
    assert len(warnings) == 1


def test_a_removed_entry_is_absent_without_a_warning(tmp_path: Path) -> None:
    truth = entries_of(facts(2))
    first, second = truth
    shared = open_entries(CountedFolder(tmp_path), [])
    shared.put_many(truth)
    shared.put_many({first: None})
    warnings: list[str] = []
    assert open_entries(CountedFolder(tmp_path), warnings).get_many(truth) == {second: truth[second]}
    assert not warnings


def test_one_object_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    truth, warnings = entries_of(facts(40)), list[str]()
    open_entries(CountedFolder(tmp_path), warnings).put_many(truth)
    damaged = list_objects(tmp_path)[7]
    damaged.unlink()
    damaged.mkdir()
    assert len(open_entries(CountedFolder(tmp_path), warnings).get_many(truth)) == 39
    assert not warnings


class BrokenFolder(CountedFolder):
    """A folder whose server fails."""

    error: type[Unavailable] = Unavailable

    def read(self, name: str, limit: int) -> bytes | None:
        self.reads.append(name)
        raise self.error(name, "HTTP 500", "the object")


class GoneFolder(BrokenFolder):
    """A folder whose server does not answer."""

    error = Unreachable


@pytest.mark.parametrize("folder", [BrokenFolder, GoneFolder])
def test_a_place_that_fails_is_one_warning_and_not_asked_again(tmp_path: Path, folder: type[BrokenFolder]) -> None:
    objects, warnings = folder(tmp_path), list[str]()
    shared = open_entries(objects, warnings)
    truth = entries_of(facts(200))
    assert shared.get_many(truth) == {}
    assert len(objects.reads) < 200
    asked = len(objects.reads)
    assert shared.get_many(truth) == {}
    assert shared.put_many(truth) == []
    assert len(objects.reads) == asked
    assert not objects.writes
    (warning,) = warnings
    assert warning.endswith("got HTTP 500, expected the object: continuing without the shared layer cache")


def test_a_place_is_asked_again_after_a_pause(tmp_path: Path) -> None:
    truth, warnings, now = entries_of(facts(5)), list[str](), [0.0]
    open_entries(CountedFolder(tmp_path), warnings).put_many(truth)

    class FailingFolder(CountedFolder):
        is_failing = True

        def read(self, name: str, limit: int) -> bytes | None:
            self.reads.append(name)
            if self.is_failing:
                raise Unreachable(name, "no connection", "the object")
            return super().read(name, limit)

        def write(self, name: str, data: bytes) -> None:
            if self.is_failing:
                raise OutputError(name, "HTTP 403", "to write the object")
            super().write(name, data)

    objects = FailingFolder(tmp_path)
    shared = open_entries(objects, warnings, clock=lambda: now[0])
    assert shared.put_many(truth) == []
    assert shared.get_many(truth) == {}
    objects.is_failing = False
    now[0] = PAUSE - 1
    assert (shared.get_many(truth), shared.put_many(truth)) == ({}, [])
    now[0] = PAUSE
    assert shared.get_many(truth) == truth
    assert sorted(shared.put_many(truth)) == sorted(truth)
    assert len(warnings) == 2, warnings


def test_a_place_that_is_opened_again_and_again_is_left_alone_after_as_many_failures(tmp_path: Path) -> None:
    objects, warnings, health = BrokenFolder(tmp_path), list[str](), Health()
    (key,) = entries_of(facts(1))
    for _ in range(9):
        SharedEntries(lambda: objects, objects.label, warnings.append, health=health).get_many([key])
    assert len(objects.reads) == 3
    assert len(warnings) == 1


def test_a_slow_place_is_left_after_the_limit(tmp_path: Path) -> None:
    stuck, warnings = StuckFolder(tmp_path), list[str]()
    shared = open_entries(stuck, warnings, max_wait=0.05)
    assert shared.get_many(entries_of(facts(3))) == {}
    assert shared.put_many(entries_of(facts(3))) == []
    stuck.release.set()
    (warning,) = warnings
    expected = "got 0 answers within 0.05 seconds, expected 3"
    assert warning == f"{tmp_path.as_uri()}: {expected}: continuing without the shared layer cache"


def test_the_answers_of_a_slow_place_that_came_in_time_are_used(tmp_path: Path) -> None:
    truth = entries_of(facts(3))
    open_entries(CountedFolder(tmp_path), []).put_many(truth)
    late, in_time = threading.Event(), threading.Semaphore(2)

    class LateFolder(CountedFolder):
        def read(self, name: str, limit: int) -> bytes | None:
            if not in_time.acquire(blocking=False):
                late.wait()
            return super().read(name, limit)

    warnings: list[str] = []
    found = open_entries(LateFolder(tmp_path), warnings, max_wait=2).get_many(truth)
    late.set()
    assert len(found) == 2
    assert found.items() <= truth.items()
    assert len(warnings) == 1


class ReadOnlyFolder(CountedFolder):
    """A folder that nobody may write to."""

    def write(self, name: str, data: bytes) -> None:
        self.writes.append(name)
        raise OutputError(f"{self.label}/{name}", "HTTP 403", "to write the object", hint="use others")


def test_a_place_that_cannot_be_written_is_one_warning_and_is_still_read(tmp_path: Path) -> None:
    truth, warnings = entries_of(facts(200)), list[str]()
    open_entries(CountedFolder(tmp_path), warnings).put_many(truth)
    objects = ReadOnlyFolder(tmp_path)
    shared = open_entries(objects, warnings)
    assert shared.put_many(truth) == []
    assert len(objects.writes) < 200
    assert shared.get_many(truth) == truth
    asked = len(objects.writes)
    assert shared.put_many(truth) == []
    assert len(objects.writes) == asked
    (warning,) = warnings
    ending = "got HTTP 403, expected to write the object (use others): continuing without writing to the shared layer"
    assert warning.endswith(f"{ending} cache")
