"""The files of a layer cache: only those that lamina has made are deleted."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.fake_nix_store import as_nobody, public_folder
from tests.support.layer_cache import Fact, put

from lamina.errors import FormatError
from lamina.layer_cache.files import (
    FILE_NAME,
    OLD_FILE_NAME,
    delete_layer_cache,
    identify_file,
    list_leftovers,
    remove_old_file,
)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Make the layer cache of an earlier version."""
    file = tmp_path / OLD_FILE_NAME
    put(file, [Fact("one")])
    for suffix in ("-wal", "-shm"):
        Path(f"{file}{suffix}").touch()
    return file


def test_the_old_file_is_a_leftover_with_those_beside_it(old: Path) -> None:
    put(old.with_name(FILE_NAME), [Fact("one")])
    assert [file.name for file in list_leftovers(old.parent)] == [f"ledger.sqlite{end}" for end in ("", "-wal", "-shm")]


def test_damaged_files_that_earlier_versions_kept_are_leftovers(tmp_path: Path) -> None:
    names = ["layer-cache.sqlite.damaged", "layer-cache.sqlite.damaged.12-wal", "ledger.sqlite.damaged.2"]
    for name in (*names, "layer-cache.sqlite.damaged.mine", "notes.damaged", "my-ledger.sqlite.damaged"):
        (tmp_path / name).write_text("text")
    (tmp_path / "layer-cache.sqlite.damaged.3").mkdir()
    assert [file.name for file in list_leftovers(tmp_path)] == names


@pytest.mark.parametrize("content", [b"", b"notes", b"SQLite format 3\0" + bytes(100)])
def test_a_file_of_another_program_is_no_leftover(tmp_path: Path, content: bytes) -> None:
    (tmp_path / OLD_FILE_NAME).write_bytes(content)
    assert list_leftovers(tmp_path) == []


def test_a_database_of_another_program_is_no_leftover(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / OLD_FILE_NAME)) as database:
        database.execute("CREATE TABLE notes (text)")
    assert list_leftovers(tmp_path) == []


def test_a_symlink_or_a_folder_is_no_leftover(old: Path, tmp_path: Path) -> None:
    for name, make in (("link", lambda path: path.symlink_to(old)), ("folder", Path.mkdir)):
        folder = tmp_path / name
        folder.mkdir()
        make(folder / OLD_FILE_NAME)
        assert list_leftovers(folder) == []


def test_the_old_file_is_removed_once_before_there_is_a_new_one(old: Path) -> None:
    remove_old_file(old.parent)
    assert list(old.parent.iterdir()) == []
    put(old, [Fact("one")])
    put(old.with_name(FILE_NAME), [Fact("one")])
    remove_old_file(old.parent)
    assert old.exists()


def test_a_python_without_sqlite_can_do_that_too(old: Path) -> None:
    code = (
        "import sys; from pathlib import Path; sys.modules['sqlite3'] = None; "
        f"from lamina.layer_cache.files import remove_old_file; remove_old_file(Path({str(old.parent)!r}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert not old.exists()


def test_a_folder_that_may_not_be_entered_is_left_alone() -> None:
    with public_folder() as folder:
        folder.joinpath("cache").mkdir(0o700)
        as_nobody(lambda: remove_old_file(folder / "cache"))


def test_a_layer_cache_is_deleted_with_the_files_beside_it(old: Path) -> None:
    delete_layer_cache(old)
    assert list(old.parent.iterdir()) == []


@pytest.mark.parametrize("name", [FILE_NAME, "notes.sqlite"])
def test_a_file_of_another_program_is_not_deleted(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE notes (text)")
    with pytest.raises(FormatError, match="got a file of another program, expected a layer cache"):
        delete_layer_cache(file)
    assert file.exists()


def test_only_a_regular_file_is_identified(old: Path) -> None:
    assert identify_file(old) == identify_file(old.parent / "." / old.name)
    assert identify_file(old.parent) is identify_file(old / "inside") is None
