"""A layer cache that several machines share: what another machine finds in it."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.layer_cache import CODECS, Fact, count_known, facts
from tests.support.shared_layer_cache import CountedFolder, list_objects, open_shared

from lamina.layer_cache.cache import LayerCache
from lamina.layer_cache.shared_cache import REFRESH_INTERVAL

CODEC = CODECS[0]


@pytest.fixture
def shared(tmp_path: Path) -> CountedFolder:
    return CountedFolder(tmp_path / "shared")


def learn(layer_cache: LayerCache, new: list[Fact]) -> None:
    for fact in new:
        layer_cache.put_layer(fact.inputs, fact.layer)
        layer_cache.put_compressed(fact.layer.digest, CODEC, fact.blob(CODEC))


def look_up(layer_cache: LayerCache, truth: list[Fact]) -> int:
    """Look all facts up as a build does; return how many layers and compressed layers are known, all of them right."""
    layer_cache.look_up_layers(fact.inputs for fact in truth)
    layers = [layer_cache.get_layer(fact.inputs) for fact in truth]
    layer_cache.look_up_compressed((fact.layer.digest, CODEC) for fact in truth)
    blobs = [layer_cache.get_compressed(fact.layer.digest, CODEC) for fact in truth]
    assert {*layers} <= {None, *(fact.layer for fact in truth)}
    assert {*blobs} <= {None, *(fact.blob(CODEC) for fact in truth)}
    return sum(found is not None for found in (*layers, *blobs))


@pytest.mark.parametrize("with_file", [True, False])
def test_another_machine_knows_what_one_has_learnt(tmp_path: Path, shared: CountedFolder, with_file: bool) -> None:
    truth = facts(20)
    with open_shared(shared, tmp_path / "first.sqlite" if with_file else None) as first:
        assert look_up(first, truth) == 0
        learn(first, truth)
        assert look_up(first, truth) == 40
    with open_shared(shared, tmp_path / "second.sqlite" if with_file else None) as second:
        assert look_up(second, truth) == 40


def test_plans_are_kept_on_this_machine_only(tmp_path: Path, shared: CountedFolder) -> None:
    key = Fact("one").layer.digest
    with open_shared(shared, tmp_path / "first.sqlite") as first:
        first.put_plan(key, [0, 1, 0])
    assert shared.writes == []
    with open_shared(shared, tmp_path / "first.sqlite") as first:
        assert first.get_plan(key) == (0, 1, 0)


def test_listings_are_not_shared(tmp_path: Path, shared: CountedFolder) -> None:
    fact = Fact("one")
    with open_shared(shared, tmp_path / "first.sqlite") as first:
        fact.put(first)
    assert len(shared.writes) == 3
    with open_shared(shared, tmp_path / "second.sqlite") as second:
        assert second.get_listings([fact.listing_key]) == {}
    with open_shared(shared, tmp_path / "first.sqlite") as first:
        assert first.get_listings([fact.listing_key]) == {fact.listing_key: fact.listing}


def test_what_was_found_is_remembered_in_the_file(tmp_path: Path, shared: CountedFolder) -> None:
    truth, file = facts(5), tmp_path / "second.sqlite"
    with open_shared(shared) as first:
        learn(first, truth)
    with open_shared(shared, file) as second:
        assert look_up(second, truth) == 10
    asked, written = len(shared.reads), len(shared.writes)
    with open_shared(shared, file) as again:
        assert look_up(again, truth) == 10
    assert (len(shared.reads), len(shared.writes)) == (asked, written), "neither asked for nor written again"
    with LayerCache.open(file, pytest.fail) as alone:
        assert look_up(alone, truth) == 10
        assert dict(alone.entries()) == {fact.inputs: fact.layer for fact in truth}


def test_what_the_file_knew_before_is_shared_once(tmp_path: Path, shared: CountedFolder) -> None:
    truth, file = facts(5), tmp_path / "layer-cache.sqlite"
    with LayerCache.open(file, pytest.fail) as alone:
        learn(alone, truth)
    for _ in range(2):
        with open_shared(shared, file) as layer_cache:
            assert look_up(layer_cache, truth) == 10
        assert (len(shared.reads), len(shared.writes)) == (0, 10)
    with open_shared(shared) as other:
        assert look_up(other, truth) == 10


def test_another_place_gets_the_entries_too(tmp_path: Path, shared: CountedFolder) -> None:
    truth, file, other = facts(2), tmp_path / "layer-cache.sqlite", CountedFolder(tmp_path / "other")
    with open_shared(shared, file) as layer_cache:
        learn(layer_cache, truth)
    with open_shared(other, file) as layer_cache:
        look_up(layer_cache, truth)
    assert sorted(other.writes) == sorted(shared.writes)


def test_an_entry_in_use_is_written_again_after_a_month(tmp_path: Path, shared: CountedFolder) -> None:
    truth, file = facts(2), tmp_path / "layer-cache.sqlite"
    start = 1_800_000_000
    with open_shared(shared, file, now=start) as layer_cache:
        learn(layer_cache, truth)
    for seconds, writes in ((REFRESH_INTERVAL - 1, 4), (REFRESH_INTERVAL, 8), (REFRESH_INTERVAL + 1, 8), (-90_000, 12)):
        with open_shared(shared, file, now=start + seconds) as layer_cache:
            look_up(layer_cache, truth)
        assert len(shared.writes) == writes, seconds


def test_an_entry_that_a_later_process_has_written_is_not_written_again(tmp_path: Path, shared: CountedFolder) -> None:
    truth, file = facts(2), tmp_path / "layer-cache.sqlite"
    start = 1_800_000_000
    with open_shared(shared, file, now=start) as long_lasting:
        with open_shared(shared, file, now=start + 3600) as layer_cache:
            learn(layer_cache, truth)
        written = len(shared.writes)
        look_up(long_lasting, truth)
    assert len(shared.writes) == written == 4


def test_a_wrong_entry_is_removed_from_both_places(tmp_path: Path, shared: CountedFolder) -> None:
    fact, file = Fact("one"), tmp_path / "layer-cache.sqlite"
    with open_shared(shared, file) as layer_cache:
        learn(layer_cache, [fact])
    with open_shared(shared, file) as layer_cache:
        layer_cache.look_up_layers([fact.inputs])
        layer_cache.remove_layer(fact.inputs)
        assert layer_cache.get_layer(fact.inputs) is None
    for place in (file, None):
        with open_shared(shared, place) as layer_cache:
            assert look_up(layer_cache, [fact]) == 1, "only the compressed layer is left"
    with open_shared(shared, file) as layer_cache:
        learn(layer_cache, [fact])
    with open_shared(shared) as layer_cache:
        assert look_up(layer_cache, [fact]) == 2


def test_an_entry_of_another_machine_takes_precedence_over_a_statement(shared: CountedFolder) -> None:
    fact, other = Fact("one"), Fact("other")
    with open_shared(shared) as layer_cache:
        learn(layer_cache, [fact])
    with open_shared(shared) as layer_cache:
        layer_cache.add_statement(fact.inputs.key, other.layer, CODEC, other.blob(CODEC))
        assert layer_cache.is_stated(fact.inputs)
        layer_cache.look_up_layers([fact.inputs])
        assert layer_cache.get_layer(fact.inputs) == fact.layer
        assert not layer_cache.is_stated(fact.inputs)


def test_a_file_that_cannot_be_used_does_not_matter(tmp_path: Path, shared: CountedFolder) -> None:
    truth, file = facts(3), tmp_path / "layer-cache.sqlite"
    file.write_bytes(b"no database at all")
    with open_shared(shared, file, warnings=1) as layer_cache:
        learn(layer_cache, truth)
    with open_shared(shared) as layer_cache:
        assert look_up(layer_cache, truth) == 6


@pytest.mark.parametrize("with_file", [True, False])
def test_other_machines_know_what_was_flushed(tmp_path: Path, shared: CountedFolder, with_file: bool) -> None:
    truth = facts(3)
    with open_shared(shared, tmp_path / "first.sqlite" if with_file else None) as first:
        learn(first, truth)
        first.flush()
        with open_shared(CountedFolder(tmp_path / "shared")) as second:
            assert look_up(second, truth) == 6
        written = len(shared.writes)
        first.flush()
    assert len(shared.writes) == written, "nothing is written twice"


def fail_after_learning(shared: CountedFolder, file: Path | None, new: list[Fact], error: BaseException) -> None:
    with open_shared(shared, file) as layer_cache:
        learn(layer_cache, new)
        raise error


def test_after_an_interrupt_nothing_is_sent(tmp_path: Path, shared: CountedFolder) -> None:
    truth, file = facts(3), tmp_path / "layer-cache.sqlite"
    with pytest.raises(KeyboardInterrupt):
        fail_after_learning(shared, file, truth, KeyboardInterrupt())
    assert not shared.writes
    assert count_known(file, truth) == 6, "the file has the entries all the same"
    with open_shared(shared, file) as layer_cache:
        look_up(layer_cache, truth)
    assert len(shared.writes) == 6, "the next run sends them"


def test_entries_are_shared_after_an_error(shared: CountedFolder) -> None:
    with pytest.raises(ValueError, match="x"):
        fail_after_learning(shared, None, facts(3), ValueError("x"))
    assert len(shared.writes) == 6


_WRITER = """
import sys
from pathlib import Path
from tests.support.layer_cache import facts
from tests.support.shared_layer_cache import CountedFolder, open_shared
from tests.unit.layer_cache.test_shared_cache import learn
print("ready", flush=True)
sys.stdin.readline()
for number in range(10):
    with open_shared(CountedFolder(Path(sys.argv[1]))) as layer_cache:
        learn(layer_cache, facts(10))
"""


def test_two_processes_write_the_same_entries_at_once(tmp_path: Path, shared: CountedFolder) -> None:
    command = [sys.executable, "-c", _WRITER, str(tmp_path / "shared")]
    writers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
        for _ in range(2)
    ]
    for writer in writers:
        assert writer.stdout
        assert writer.stdout.readline() == "ready\n"
    found = []
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("go\n")
        writer.stdin.flush()
    while any(writer.poll() is None for writer in writers):
        with open_shared(shared) as reader:
            found.append(look_up(reader, facts(10)))
    assert [writer.wait() for writer in writers] == [0, 0]
    for writer in writers:
        writer.communicate()
    with open_shared(shared) as reader:
        assert look_up(reader, facts(10)) == 20
    assert found == sorted(found), "what is there stays there"
    assert len(list_objects(tmp_path / "shared")) == 20
