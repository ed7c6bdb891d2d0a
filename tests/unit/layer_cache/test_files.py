"""The files of a layer cache, and the default one that a newer version replaces."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.fake_nix_store import as_nobody, public_folder

from lamina.layer_cache.cache import LayerCache
from lamina.layer_cache.files import FILE_NAME, OLD_FILE_NAME, remove_old_file


def fail(warning: str) -> None:
    raise AssertionError(warning)


def open_once(file: Path) -> None:
    LayerCache.open(file, fail).close()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    file = tmp_path / OLD_FILE_NAME
    open_once(file)
    for suffix in ("-wal", "-shm"):
        Path(f"{file}{suffix}").touch()
    return file


def test_the_old_file_is_removed_with_those_beside_it(old: Path) -> None:
    remove_old_file(old.parent)
    assert list(old.parent.iterdir()) == []


def test_the_old_file_stays_once_there_is_a_new_one(old: Path) -> None:
    open_once(old.with_name(FILE_NAME))
    remove_old_file(old.parent)
    assert old.exists()


def test_opening_a_layer_cache_of_the_new_name_removes_nothing(old: Path) -> None:
    open_once(old.with_name(FILE_NAME))
    assert old.exists()


@pytest.mark.parametrize("content", [b"", b"notes", b"SQLite format 3\0" + bytes(100)])
def test_a_file_of_another_program_stays(tmp_path: Path, content: bytes) -> None:
    other = tmp_path / OLD_FILE_NAME
    other.write_bytes(content)
    remove_old_file(tmp_path)
    assert other.read_bytes() == content


def test_a_database_of_another_program_stays(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / OLD_FILE_NAME)) as database:
        database.execute("CREATE TABLE notes (text)")
    remove_old_file(tmp_path)
    assert (tmp_path / OLD_FILE_NAME).exists()


def test_a_symlink_or_a_folder_of_that_name_stays(old: Path, tmp_path: Path) -> None:
    for name, make in (("link", lambda path: path.symlink_to(old)), ("folder", Path.mkdir)):
        folder = tmp_path / name
        folder.mkdir()
        make(folder / OLD_FILE_NAME)
        remove_old_file(folder)
        assert (folder / OLD_FILE_NAME).exists()
    assert old.exists()


def test_a_folder_that_may_not_be_entered_is_left_alone() -> None:
    with public_folder() as folder:
        folder.joinpath("cache").mkdir(0o700)
        as_nobody(lambda: remove_old_file(folder / "cache"))
