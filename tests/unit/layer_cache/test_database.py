"""Tests of the layer cache's file: what happens to a file with the old default name."""

from pathlib import Path

import pytest

from lamina.layer_cache.cache import LayerCache
from lamina.layer_cache.schema import FILE_NAME, OLD_FILE_NAME


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


def test_the_first_run_removes_the_default_file_that_had_the_old_name(old: Path) -> None:
    open_once(old.with_name(FILE_NAME))
    assert {file.name.partition("-wal")[0].partition("-shm")[0] for file in old.parent.iterdir()} == {FILE_NAME}


def test_a_later_run_leaves_the_old_name_to_an_older_lamina(old: Path) -> None:
    open_once(old.with_name(FILE_NAME))
    open_once(old)
    open_once(old.with_name(FILE_NAME))
    assert old.exists()


def test_a_layer_cache_of_another_name_removes_nothing(old: Path) -> None:
    open_once(old.with_name("mine.sqlite"))
    assert old.exists()


@pytest.mark.parametrize("content", [b"", b"notes", b"SQLite format 3\0" + bytes(100)])
def test_another_programs_file_of_that_name_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    other = tmp_path / OLD_FILE_NAME
    other.write_bytes(content)
    open_once(tmp_path / FILE_NAME)
    assert other.read_bytes() == content


def test_a_symlink_of_that_name_is_left_as_it_is(old: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / OLD_FILE_NAME).symlink_to(old)
    open_once(folder / FILE_NAME)
    assert (folder / OLD_FILE_NAME).exists()
