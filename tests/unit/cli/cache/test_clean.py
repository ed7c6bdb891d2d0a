"""``lamina cache clean`` as its users see it."""

import json
from pathlib import Path

import pytest
from tests.support.fake_nix_store import run
from tests.support.layer_cache import add_blob, facts, put

from lamina.messages.sizes import format_size

LIST = "0123456789abcdef" * 2


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a layer cache and the list of a channel in the cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = tmp_path / "lamina" / "layer-cache.sqlite"
    put(file, facts(1))
    (file.parent / "channels").mkdir()
    (file.parent / "channels" / LIST).write_text("list")
    return file


def test_the_layer_cache_and_the_lists_are_deleted(file: Path) -> None:
    size = file.stat().st_size
    ran = run("cache", "clean")
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout.decode().splitlines() == [
        f"{format_size(size):>11}  {file}",
        f"        4 B  {file.parent}/channels/{LIST}",
        f"2 files deleted, {format_size(size + 4)}",
    ]
    assert run("cache", "clean").stdout == b"0 files deleted, 0 B\n"


def test_the_blobs_are_deleted_too(file: Path) -> None:
    blob, notes = add_blob(file.parent / "blobs", 10), file.parent / "blobs/sha256/notes"
    notes.write_text("mine")
    lines = run("cache", "clean").stdout.decode().splitlines()
    assert f"       10 B  {blob}" in lines
    assert (blob.exists(), notes.exists()) == (False, True)


def test_json_has_the_same(file: Path) -> None:
    size, channel_list = file.stat().st_size, f"{file.parent}/channels/{LIST}"
    assert json.loads(run("cache", "clean", "--json").stdout) == {
        "version": 1,
        "files": [
            {"file": str(file), "path": str(file), "size": size},
            {"file": channel_list, "path": channel_list, "size": 4},
        ],
        "size": size + 4,
        "warnings": [],
    }


def test_the_lists_stay_if_another_layer_cache_is_named(file: Path) -> None:
    file.rename(file.with_name("other"))
    ran = run("cache", "clean", "--layer-cache", file.with_name("other"))
    assert ran.stdout.decode().splitlines()[1].startswith("1 file deleted, ")
    assert (file.parent / "channels" / LIST).exists()


def test_an_empty_name_is_refused(file: Path) -> None:
    assert run("cache", "clean", "--layer-cache", "").code == 2
    assert file.exists()
