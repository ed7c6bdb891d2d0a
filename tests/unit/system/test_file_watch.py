"""A change of a watched file is reported once, however the file is written; other files and reading do not count."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from lamina.system.file_watch import FileWatch


@contextmanager
def watching(*files: Path) -> Iterator[Callable[[], str]]:
    """Yield a function that waits for the next change, and fails instead of waiting for ever."""
    with ThreadPoolExecutor(1) as pool, FileWatch(files) as watch:
        yield lambda: pool.submit(watch.wait).result(timeout=60)


def write(file: Path) -> None:
    file.write_text("changed")


def replace_with_a_new_file(file: Path) -> None:
    file.with_name("new").write_text("changed")
    file.with_name("new").rename(file)


def replace_with_a_link(file: Path) -> None:
    file.with_name("new").symlink_to("/nix/store/other")
    os.replace(file.with_name("new"), file)


def remove(file: Path) -> None:
    file.unlink()


def change_permissions(file: Path) -> None:
    file.chmod(0o755)


CHANGES = [write, replace_with_a_new_file, replace_with_a_link, remove, change_permissions]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_a_file_is_reported(tmp_path: Path, change: Callable[[Path], None]) -> None:
    file = tmp_path / "file"
    file.write_text("before")
    with watching(file) as wait:
        change(file)
        assert wait() == str(file)


def test_a_file_that_appears_is_a_change(tmp_path: Path) -> None:
    with watching(tmp_path / "later") as wait:
        write(tmp_path / "later")
        assert wait() == str(tmp_path / "later")


def test_everything_in_a_folder_counts(tmp_path: Path) -> None:
    (tmp_path / "folder/inner").mkdir(parents=True)
    with watching(tmp_path / "folder") as wait:
        write(tmp_path / "folder/inner/file")
        assert wait() == str(tmp_path / "folder/inner/file")


def test_several_writes_are_one_change_and_other_files_are_none(tmp_path: Path) -> None:
    one, other, last = (tmp_path / name for name in ("one", "other", "last"))
    one.write_text("")
    with watching(one, last) as wait:
        for _ in range(20):
            write(other)
            one.read_text()
        for _ in range(20):
            write(one)
        assert wait() == str(one)
        write(last)
        assert wait() == str(last)


def test_a_change_before_the_wait_is_not_lost(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with watching(file) as wait:
        write(file)
        write(tmp_path / "other")
        assert wait() == str(file)
