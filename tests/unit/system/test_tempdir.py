"""A temporary folder: where it is created, and that it is removed with any content."""

import gc
import os
from pathlib import Path

import pytest

from lamina.system.tempdir import TempDir


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    parent = tmp_path / "parent"
    parent.mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TMPDIR", str(parent))
    return parent


def test_a_folder_is_made_in_tmpdir_and_removed_at_the_end_of_the_block(parent: Path) -> None:
    with TempDir() as made:
        assert made.path.parent == parent
        assert made.path.stat().st_mode & 0o777 == 0o700
        (made.path / "file").write_text("x")
    assert list(parent.iterdir()) == []


def test_a_folder_is_removed_when_it_is_no_longer_referenced(parent: Path) -> None:
    made: TempDir | None = TempDir()
    assert len(list(parent.iterdir())) == 1
    made = None
    gc.collect()
    assert made is None
    assert list(parent.iterdir()) == []


def test_a_folder_may_be_made_beside_its_destination(parent: Path, tmp_path: Path) -> None:
    with TempDir(tmp_path) as made:
        assert made.path.parent == tmp_path
    assert list(tmp_path.iterdir()) == [parent]


def test_permissions_that_were_taken_away_do_not_keep_it(parent: Path) -> None:
    with TempDir() as made:
        inner = made.path / "a/b"
        inner.mkdir(parents=True)
        (inner / "file").write_text("x")
        (made.path / "link").symlink_to("a")
        inner.chmod(0)
        (made.path / "a").chmod(0)
    assert list(parent.iterdir()) == []


def test_a_variable_that_names_no_folder_is_passed_over(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(parent / "nothing"))
    monkeypatch.setenv("TEMP", os.fspath(parent))
    with TempDir() as made:
        assert made.path.parent == parent
