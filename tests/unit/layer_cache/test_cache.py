"""The layer cache: what a later run finds in it."""

import contextlib
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.layer_cache import DAY, Fact, OpenedCache, check, count_known, digest, facts, open_cache, put

from lamina.formats.tar import Owner
from lamina.layer_cache import cache, database
from lamina.layer_cache.cache import NullLayerCache
from lamina.system.transfer import BlobInfo


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder / "layer-cache.sqlite"


def test_an_entry_is_found_at_once_and_in_the_next_run(file: Path) -> None:
    truth = facts(5)
    with open_cache(file) as layer_cache:
        for fact in truth:
            assert not any(fact.lookups(layer_cache))
            fact.put(layer_cache)
            assert all(fact.lookups(layer_cache))
    with open_cache(file) as layer_cache:
        assert all(all(fact.lookups(layer_cache)) for fact in truth)
        assert dict(layer_cache.entries()) == {fact.inputs: fact.layer for fact in truth}
        assert not any(Fact("never-put").lookups(layer_cache))


def test_the_same_path_with_other_bytes_and_another_nar_hash_misses(file: Path) -> None:
    fact = Fact("path")
    put(file, [fact])
    other = digest("other bytes")
    with open_cache(file) as layer_cache:
        (store_path, _, size) = fact.inputs.contents[0]
        assert layer_cache.get_layer(replace(fact.inputs, contents=((store_path, other, size),))) is None
        assert layer_cache.get_listings([(fact.top, other)]) == {}
        assert layer_cache.get_listings([(fact.top, other), fact.listing_key]) == {fact.listing_key: fact.listing}


def test_a_layer_with_another_owner_mtime_or_order_misses(file: Path) -> None:
    one, other = Fact("one"), Fact("other")
    inputs = replace(one.inputs, contents=one.inputs.contents + other.inputs.contents)
    with open_cache(file) as layer_cache:
        layer_cache.put_layer(inputs, one.layer)
    with open_cache(file) as layer_cache:
        assert layer_cache.get_layer(inputs) == one.layer
        assert layer_cache.get_layer(replace(inputs, contents=inputs.contents[::-1])) is None
        assert layer_cache.get_layer(replace(inputs, contents=inputs.contents[:1])) is None
        assert layer_cache.get_layer(replace(inputs, mtime=2)) is None
        for owner in (Owner(1, 0, "root", "root"), Owner(0, 1, "root", "root"), Owner(), Owner(0, 0, "root")):
            assert layer_cache.get_layer(replace(inputs, owner=owner)) is None
        assert layer_cache.get_compressed(one.layer.digest, "gzip 9 zlib 1.3.1") is None


def test_a_location_on_disk_has_a_listing_for_each_nar_hash(file: Path) -> None:
    fact, other = Fact("path"), digest("other bytes")
    put(file, [fact])
    with open_cache(file) as layer_cache:
        layer_cache.put_listing(fact.top, other, b"new")
        layer_cache.remove_listing(*fact.listing_key)
        assert layer_cache.get_listings([fact.listing_key, (fact.top, other)]) == {(fact.top, other): b"new"}
    with open_cache(file) as layer_cache:
        assert layer_cache.get_listings([fact.listing_key, (fact.top, other)]) == {(fact.top, other): b"new"}


def test_a_plan_is_found_at_once_and_in_the_next_run(file: Path) -> None:
    layers = [0, 1, 70000, 0]
    with open_cache(file) as layer_cache:
        assert layer_cache.get_plan(digest("one")) is None
        layer_cache.put_plan(digest("one"), layers)
        assert layer_cache.get_plan(digest("one")) == (*layers,)
    with open_cache(file) as layer_cache:
        assert layer_cache.get_plan(digest("one")) == (*layers,)
        assert layer_cache.get_plan(digest("other")) is None
        assert list(layer_cache.entries()) == []


def test_the_entry_that_was_put_last_wins(file: Path) -> None:
    fact, other = Fact("path"), digest("other bytes")
    with open_cache(file) as layer_cache:
        for listing in (b"other bytes", fact.listing):
            layer_cache.put_listing(*fact.listing_key, listing)
        for blob_info in (BlobInfo(other, 1), fact.layer):
            layer_cache.put_layer(fact.inputs, blob_info)
    with open_cache(file) as layer_cache:
        assert layer_cache.get_listings([fact.listing_key]) == {fact.listing_key: fact.listing}
        assert layer_cache.get_layer(fact.inputs) == fact.layer


def test_a_removed_entry_is_not_found_any_more(file: Path) -> None:
    truth = facts(3)
    put(file, truth)
    with open_cache(file) as layer_cache:
        layer_cache.remove_layer(truth[0].inputs)
        layer_cache.remove_listing(*truth[1].listing_key)
        assert layer_cache.get_layer(truth[0].inputs) is None
        assert set(layer_cache.get_listings([fact.listing_key for fact in truth])) == {
            truth[0].listing_key,
            truth[2].listing_key,
        }
    for _ in range(2):
        with open_cache(file) as layer_cache:
            assert layer_cache.get_layer(truth[0].inputs) is None
            assert set(layer_cache.get_listings([fact.listing_key for fact in truth])) == {
                truth[0].listing_key,
                truth[2].listing_key,
            }
            layer_cache.remove_layer(truth[1].inputs)
            layer_cache.remove_layer(truth[2].inputs)
            truth[2].put(layer_cache)  # putting an entry cancels its removal
    with open_cache(file) as layer_cache:
        assert [inputs for inputs, _ in layer_cache.entries()] == [truth[2].inputs]
        layer_cache.remove_layer(truth[2].inputs)
        assert list(layer_cache.entries()) == []


def test_layers_may_be_removed_during_iteration(file: Path) -> None:
    truth = facts(150)
    put(file, truth)
    with open_cache(file) as layer_cache:
        for number, (inputs, _) in enumerate(layer_cache.entries()):
            if number % 2:
                layer_cache.remove_layer(inputs)
    with open_cache(file) as layer_cache:
        assert len(list(layer_cache.entries())) == 75


def test_layers_of_other_tar_rules_are_skipped(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(file, [Fact("old")])
    monkeypatch.setattr("lamina.layer_cache.key.TAR_RULES", 2)
    put(file, [Fact("new")])
    with open_cache(file) as layer_cache:
        assert layer_cache.get_layer(Fact("old").inputs) is None
        assert list(layer_cache.entries()) == [(Fact("new").inputs, Fact("new").layer)]


def test_entries_put_before_a_failure_are_kept(file: Path) -> None:
    with contextlib.suppress(KeyError), OpenedCache(file).layer_cache as layer_cache:
        Fact("true").put(layer_cache)
        raise KeyError
    assert count_known(file, [Fact("true")]) == 4


def test_many_entries_are_written_before_the_end(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_MAX_ROWS", 30)
    rows, large = facts(30), facts(3, "large")
    with open_cache(file) as layer_cache:
        for fact in rows:
            fact.put(layer_cache)
        assert count_known(file, rows) > 80
        monkeypatch.setattr(cache, "_MAX_BYTES", 100)
        for fact in large:
            layer_cache.put_listing(*fact.listing_key, fact.listing)
        assert count_known(file, large) == 3


def test_many_listings_are_read_at_once(file: Path) -> None:
    truth = facts(2000)
    with open_cache(file) as layer_cache:
        for fact in truth:
            layer_cache.put_listing(*fact.listing_key, fact.listing)
    with open_cache(file) as layer_cache:
        listings = layer_cache.get_listings([fact.listing_key for fact in [*truth, *facts(100, "other"), truth[0]]])
    assert listings == {fact.listing_key: fact.listing for fact in truth}


def test_threads_share_a_layer_cache(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_MAX_ROWS", 10)
    truth = facts(60)
    answers: list[bool] = []
    with open_cache(file) as layer_cache:

        def put_and_look_up(part: list[Fact]) -> None:
            for fact in part:
                fact.put(layer_cache)
                answers.extend(fact.lookups(layer_cache))

        threads = [threading.Thread(target=put_and_look_up, args=(truth[start::4],)) for start in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [True] * 240
    assert count_known(file, truth) == 240


def test_the_null_layer_cache_is_empty_and_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with NullLayerCache() as layer_cache:
        Fact("one").put(layer_cache)
        layer_cache.remove_layer(Fact("two").inputs)
        layer_cache.remove_listing(*Fact("two").listing_key)
        assert not any(Fact("one").lookups(layer_cache))
        assert list(layer_cache.entries()) == []
    assert list(tmp_path.iterdir()) == []


def test_a_closed_layer_cache_finds_nothing(file: Path) -> None:
    with open_cache(file) as layer_cache:
        Fact("one").put(layer_cache)
    Fact("two").put(layer_cache)
    assert check(layer_cache, [Fact("one"), Fact("two")]) == 0
    layer_cache.close()
    assert count_known(file, [Fact("one"), Fact("two")]) == 4


def test_the_null_layer_cache_does_not_import_sqlite() -> None:
    code = (
        "import sys, lamina.layer_cache.cache; lamina.layer_cache.cache.NullLayerCache().close(); "
        "print(sorted({'sqlite3', 'fcntl', 'lamina.layer_cache.database'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# --- the use of entries, and the limit of the file's size


def test_the_least_recently_used_entries_go_when_the_file_becomes_too_large(file: Path) -> None:
    old, kept, new = facts(20, "old"), facts(20, "kept"), facts(60, "new")
    for days, some in enumerate((kept, old)):
        put(file, some, now=days * DAY)
    with open_cache(file, now=3 * DAY) as layer_cache:
        assert sum(sum(fact.lookups(layer_cache)) for fact in kept) == 80
    size = file.stat().st_size
    put(file, new, now=4 * DAY, max_size=2 * size)
    assert file.stat().st_size < 3 * size
    assert count_known(file, new, now=4 * DAY) == 240
    assert count_known(file, old, now=4 * DAY) < count_known(file, kept, now=4 * DAY)
    put(file, facts(100, "newest"), now=5 * DAY, max_size=2 * size)
    assert count_known(file, [*old, *kept]) == 0


def test_a_layer_cache_that_is_always_too_large_keeps_working(file: Path) -> None:
    for number in range(3):
        put(file, facts(20, f"fact-{number}"), max_size=0)
        assert count_known(file, facts(20, f"fact-{number}")) == 0
    assert file.stat().st_size < 100_000


def used_at(file: Path, times: list[int]) -> list[int]:
    """Look up one entry at each of ``times`` in seconds, and return its recorded time of use after each."""
    recorded = []
    for now in times:
        with open_cache(file, now=now) as layer_cache:
            assert all(Fact("one").lookups(layer_cache))
        with closing(sqlite3.connect(file)) as database:
            recorded += [time for (time,) in database.execute("SELECT DISTINCT used FROM entries")]
    return recorded


def test_the_use_of_an_entry_is_recorded_once_a_day(file: Path) -> None:
    put(file, [Fact("one")], now=1000)
    assert used_at(file, [1001, 1000 + DAY, 1001 + DAY, 1002 + DAY]) == [1000, 1000, 1001 + DAY, 1001 + DAY]


def test_a_time_of_use_in_the_future_is_corrected(file: Path) -> None:
    put(file, [Fact("one")], now=900 * DAY)
    assert used_at(file, [2 * DAY]) == [2 * DAY]


def test_a_verification_is_not_a_use(file: Path) -> None:
    put(file, [Fact("one")], now=1000)
    with open_cache(file, now=9 * DAY) as layer_cache:
        assert len(list(layer_cache.entries())) == 1
    assert used_at(file, [1001]) == [1000]


def test_a_use_that_cannot_be_recorded_is_no_warning(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(file, [Fact("one")], now=0)
    with closing(sqlite3.connect(file, isolation_level=None)) as writer, monkeypatch.context() as patch:
        patch.setattr(database, "LOCK_TIMEOUT", 0.05)
        writer.execute("BEGIN IMMEDIATE")
        with open_cache(file, now=2 * DAY) as layer_cache:
            assert all(Fact("one").lookups(layer_cache))
        writer.execute("ROLLBACK")
    assert used_at(file, [1]) == [0]


def test_a_statement_is_used_in_this_process_only_and_believed_less_than_an_entry(file: Path) -> None:
    known, stated = facts(2)
    plain, blob = BlobInfo(digest("stated tar"), 1), BlobInfo(digest("stated blob"), 2)
    with open_cache(file) as layer_cache:
        known.put(layer_cache)
        for fact in (known, stated):
            layer_cache.add_statement(fact.inputs.key, plain, "gzip", blob)
        layer_cache.add_statement(known.inputs.key, known.layer, "gzip", blob)
        assert (layer_cache.get_layer(known.inputs), layer_cache.get_layer(stated.inputs)) == (known.layer, plain)
        assert layer_cache.get_compressed(known.layer.digest, "gzip") == blob, "it is in the registry"
        assert [layer_cache.is_stated(fact.inputs) for fact in (known, stated)] == [False, True]
        assert dict(layer_cache.entries()) == {known.inputs: known.layer}
    with open_cache(file) as layer_cache:
        assert layer_cache.get_layer(stated.inputs) is None
        assert layer_cache.get_compressed(plain.digest, "gzip") is None


def test_a_statement_is_used_without_a_file() -> None:
    (fact,) = facts(1)
    layer_cache = NullLayerCache()
    layer_cache.add_statement(fact.inputs.key, fact.layer, "gzip", fact.blob("gzip"))
    assert layer_cache.get_layer(fact.inputs) == fact.layer
    assert layer_cache.get_compressed(fact.layer.digest, "gzip") == fact.blob("gzip")
