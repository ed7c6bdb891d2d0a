"""What lamina keeps in the cache folder: described, pruned and deleted, and nothing else."""

import os
import sqlite3
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import as_nobody, public_folder
from tests.support.layer_cache import DAY, Fact, count_known, facts, open_cache, put, read_folder

import lamina
from lamina import (
    CleanResult,
    DeletedFile,
    FormatError,
    IntegrityError,
    InvalidArgument,
    LayerCacheResult,
    OutputError,
    PruneResult,
    Unavailable,
)

LIST = "0123456789abcdef" * 2


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "layer-cache.sqlite"


def make_foreign(file: Path) -> None:
    """Make a database of another program."""
    file.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE bookmarks (url TEXT)")


def damage(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE entries SET value = x'00' WHERE rowid = 3")


def prune(file: Path, **arguments: Any) -> PruneResult:
    return lamina.prune_layer_cache(layer_cache=file, **arguments)


# --- describe


def test_a_layer_cache_is_described_by_its_entries(file: Path) -> None:
    put(file, facts(3), now=5 * DAY)
    put(file, facts(1, "new"), now=9 * DAY)
    described = lamina.describe_layer_cache(layer_cache=file)
    assert described == LayerCacheResult(True, file.stat().st_size, 4, 8, 4, datetime.fromtimestamp(5 * DAY, UTC))
    assert described.entries == 16


def test_describing_changes_nothing(file: Path) -> None:
    assert lamina.describe_layer_cache(layer_cache=file) == LayerCacheResult(exists=False)
    assert not file.parent.exists()
    file.parent.mkdir()
    file.touch()
    assert lamina.describe_layer_cache(layer_cache=file) == LayerCacheResult()
    assert file.read_bytes() == b""
    with open_cache(file):
        pass
    before = read_folder(file.parent)
    assert lamina.describe_layer_cache(layer_cache=file) == LayerCacheResult(size=file.stat().st_size)
    assert read_folder(file.parent) == before


def test_a_damaged_layer_cache_is_an_error_and_stays(file: Path) -> None:
    put(file, facts(3))
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(IntegrityError, match=r"layer-cache.sqlite: got .*expected a layer cache that can be used"):
        lamina.describe_layer_cache(layer_cache=file)
    assert file.stat().st_size == 5000


def test_an_entry_with_a_time_that_is_none_is_damage(file: Path) -> None:
    put(file, facts(3))
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE entries SET used = 1000000000000000000 WHERE rowid = 3")
    with pytest.raises(IntegrityError, match="got an entry without a valid key and time of use") as caught:
        lamina.describe_layer_cache(layer_cache=file)
    assert caught.value.hint == "the next image creates a new one"
    assert prune(file).warnings
    assert not file.exists()


def test_a_layer_cache_that_cannot_be_looked_for_is_an_error(file: Path) -> None:
    file.parent.mkdir()
    for name in ("x" * 256, "x" * 256 + "/layer-cache.sqlite"):
        with pytest.raises(Unavailable, match="got File name too long, expected a layer cache that can be used"):
            lamina.describe_layer_cache(layer_cache=file.parent / name)
        for function in (lamina.prune_layer_cache, lamina.clean_cache):
            with pytest.raises(OutputError, match="got File name too long"):
                function(layer_cache=file.parent / name)
    with public_folder() as folder:
        put(folder / "closed" / "layer-cache.sqlite", facts(1))
        (folder / "closed").chmod(0o600)
        with pytest.raises(Unavailable, match="got Permission denied, expected a layer cache that can be used"):
            as_nobody(lambda: lamina.describe_layer_cache(layer_cache=folder / "closed" / "layer-cache.sqlite"))
        (folder / "closed").chmod(0o700)


def test_a_layer_cache_that_may_only_be_read_is_described() -> None:
    with public_folder() as folder:
        put(folder / "layer-cache.sqlite", facts(3))
        (folder / "layer-cache.sqlite").chmod(0o444)
        described = as_nobody(lambda: lamina.describe_layer_cache(layer_cache=folder / "layer-cache.sqlite"))
        assert described.entries == 12


# --- prune


def test_the_least_recently_used_entries_are_pruned_to_the_size(file: Path) -> None:
    old, new = facts(100, "old"), facts(20, "new")
    put(file, old, now=DAY)
    put(file, new, now=2 * DAY)
    size = file.stat().st_size
    result = prune(file, max_size=str(size // 2))
    assert result.deleted + result.kept == 480
    assert result.size == file.stat().st_size <= size // 2
    assert count_known(file, new, now=2 * DAY) == 80
    assert count_known(file, old, now=2 * DAY) == result.kept - 80
    assert prune(file).deleted == 0
    assert prune(file, max_size=0).kept == 0


def test_entries_that_were_not_used_for_days_are_pruned(file: Path) -> None:
    now = time.time()
    put(file, facts(3, "old"), now=now - 3 * DAY)
    put(file, facts(2, "new"), now=now - DAY / 2)
    assert prune(file, older_than=4).deleted == 0
    assert prune(file, older_than=2).deleted == 12
    assert prune(file, older_than=10**30).deleted == 0
    assert count_known(file, facts(2, "new")) == 8


def test_what_earlier_versions_left_is_pruned(file: Path) -> None:
    put(file.with_name("ledger.sqlite"), facts(1))
    leftovers = [file.with_name("ledger.sqlite"), file.with_name("layer-cache.sqlite.damaged")]
    leftovers[1].write_bytes(b"garbage")
    (file.parent / "notes").touch()
    sizes = [leftover.stat().st_size for leftover in leftovers]
    assert prune(file).files == tuple(map(DeletedFile, map(str, leftovers), sizes))
    assert os.listdir(file.parent) == ["notes"]


@pytest.mark.parametrize("kind", ["entry", "file", "older"])
def test_a_damaged_layer_cache_is_deleted(file: Path, kind: str) -> None:
    put(file, facts(20))
    match kind:
        case "entry":
            damage(file)
        case "file":
            file.write_bytes(file.read_bytes()[:9000])
        case "older":
            with closing(sqlite3.connect(file)) as database:
                database.execute("PRAGMA user_version = 2")
    result = prune(file)
    assert len(result.warnings) == 1
    assert result.warnings[0].endswith(": it is deleted")
    assert os.listdir(file.parent) == []


def test_a_missing_layer_cache_is_not_created(file: Path) -> None:
    assert prune(file) == PruneResult()
    assert not file.parent.exists()


@pytest.mark.parametrize("function", [lamina.describe_layer_cache, lamina.prune_layer_cache, lamina.clean_cache])
@pytest.mark.parametrize("name", ["layer-cache.sqlite", "bookmarks.db"])
def test_a_database_of_another_program_is_never_changed(file: Path, function: Any, name: str) -> None:
    make_foreign(file.with_name(name))
    before = read_folder(file.parent)
    with pytest.raises(FormatError, match="expected a layer cache"):
        function(layer_cache=file.with_name(name))
    assert read_folder(file.parent) == before


def test_an_empty_file_stays_empty(file: Path) -> None:
    file.parent.mkdir()
    file.touch()
    assert prune(file) == PruneResult()
    assert file.stat().st_size == 0


@pytest.mark.parametrize("function", [lamina.describe_layer_cache, lamina.prune_layer_cache, lamina.clean_cache])
def test_a_text_file_is_never_deleted(tmp_path: Path, function: Any) -> None:
    (tmp_path / "notes.txt").write_text("text\n" * 50)
    with pytest.raises(FormatError, match="got a file of another program, expected a layer cache"):
        function(layer_cache=tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "text\n" * 50


@pytest.mark.parametrize("function", [lamina.describe_layer_cache, lamina.prune_layer_cache, lamina.clean_cache])
def test_a_folder_is_no_layer_cache(tmp_path: Path, function: Any) -> None:
    with pytest.raises(FormatError, match="got no regular file, expected a layer cache"):
        function(layer_cache=tmp_path)
    for value in (None, "", 7):
        with pytest.raises(InvalidArgument, match=r"^layer_cache: "):
            function(layer_cache=value)


@pytest.mark.parametrize(
    "arguments", [{"max_size": "large"}, {"max_size": None}, {"max_size": -1}, {"older_than": -1}, {"older_than": 1.5}]
)
def test_a_wrong_limit_is_refused(file: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=f"^{next(iter(arguments))}: got "):
        prune(file, **arguments)


def test_a_layer_cache_that_may_not_be_written_is_not_pruned() -> None:
    with public_folder() as folder:
        put(folder / "layer-cache.sqlite", facts(3))
        (folder / "layer-cache.sqlite").chmod(0o444)
        for function in (lamina.prune_layer_cache, lamina.clean_cache):
            with pytest.raises(OutputError):
                as_nobody(lambda function=function: function(layer_cache=folder / "layer-cache.sqlite"))  # type: ignore[misc]
        assert count_known(folder / "layer-cache.sqlite", facts(3)) == 12


# --- clean


def test_everything_that_lamina_made_is_deleted_and_nothing_else(file: Path) -> None:
    put(file, facts(3))
    put(file.with_name("ledger.sqlite"), facts(1))
    channels = file.parent / "channels"
    channels.mkdir()
    made = [channels / f".lamina.{LIST[:20]}.part", channels / LIST, file, file.with_name("ledger.sqlite")]
    for part in made[:2]:
        part.write_text("list")
    kept = [channels / "notes", channels / f"{LIST}.txt", file.parent / "notes", file.parent / "layer-cache.sqlite.bak"]
    for other in kept:
        other.touch()
    sizes = sum(path.stat().st_size for path in made)
    result = lamina.clean_cache(layer_cache=file, channel_lists=channels)
    assert sorted(deleted.path for deleted in result.files) == sorted(map(str, made))
    assert result.size == sizes
    assert sorted(path for path in file.parent.rglob("*") if path.is_file()) == sorted(kept)


def test_lists_of_channels_are_kept_unless_their_folder_is_named(file: Path) -> None:
    put(file, facts(1))
    (file.parent / "channels").mkdir()
    (file.parent / "channels" / LIST).touch()
    assert [deleted.path for deleted in lamina.clean_cache(layer_cache=file).files] == [str(file)]
    assert lamina.clean_cache(layer_cache=file, channel_lists=file.parent / "none") == CleanResult(())
    assert (file.parent / "channels" / LIST).exists()


def test_a_layer_cache_of_a_newer_lamina_is_deleted(file: Path) -> None:
    put(file, facts(1))
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA user_version = 99")
    lamina.clean_cache(layer_cache=file)
    assert os.listdir(file.parent) == []


def test_a_symlink_to_a_layer_cache_stays(file: Path, tmp_path: Path) -> None:
    put(file, facts(1))
    link = tmp_path / "link"
    link.symlink_to(file)
    assert [deleted.path for deleted in lamina.clean_cache(layer_cache=link).files] == [str(file)]
    assert link.is_symlink()


def test_a_run_that_uses_the_layer_cache_meanwhile_keeps_what_it_learns(file: Path) -> None:
    put(file, facts(10))
    with open_cache(file) as layer_cache:
        Fact("learnt").put(layer_cache)
        lamina.clean_cache(layer_cache=file)
        assert all(facts(1)[0].lookups(layer_cache))
        Fact("later").put(layer_cache)
    assert count_known(file, [Fact("learnt"), Fact("later")]) == 8
    assert count_known(file, facts(10)) == 0


@pytest.mark.parametrize("function", [prune, lambda file, **_: lamina.clean_cache(layer_cache=file)])
def test_runs_and_deletions_at_the_same_time_do_no_harm(file: Path, function: Any) -> None:
    put(file, facts(10))

    def use(number: int) -> None:
        for round_number in range(5):
            put(file, facts(5, f"run-{number}-{round_number}"))

    threads = [threading.Thread(target=use, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        function(file, max_size=20_000)
    for thread in threads:
        thread.join()
    put(file, [Fact("last")])
    assert count_known(file, [Fact("last")]) == 4
