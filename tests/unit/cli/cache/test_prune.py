"""``lamina cache prune`` as its users see it."""

import json
from pathlib import Path

import pytest
from tests.support.fake_nix_store import run
from tests.support.layer_cache import DAY, add_blob, count_known, facts, put


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a layer cache in the cache folder, and a file that an earlier version left there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = tmp_path / "lamina" / "layer-cache.sqlite"
    put(file, facts(3, "old"), now=31 * DAY)
    put(file, facts(2, "new"))
    file.with_name("layer-cache.sqlite.damaged").write_text("text")
    return file


def test_old_entries_and_files_are_deleted(file: Path) -> None:
    ran = run("cache", "prune", "--older-than", "30")
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout.decode().splitlines() == [
        f"        4 B  {file}.damaged",
        f"12 entries deleted, 8 kept ({file.stat().st_size / 1024:.1f} KiB)",
    ]
    assert count_known(file, facts(2, "new")) == 8


def test_json_has_the_same(file: Path) -> None:
    assert json.loads(run("cache", "prune", "--max-size", "1K", "--json").stdout) == {
        "version": 1,
        "layer_cache": str(file),
        "deleted": 20,
        "kept": 0,
        "size": file.stat().st_size,
        "files": [{"file": f"{file}.damaged", "path": f"{file}.damaged", "size": 4}],
        "blob_cache": {"folder": f"{file.parent}/blobs", "files": [], "kept": 0, "size": 0},
        "warnings": [],
    }


def test_the_least_recently_used_blobs_are_deleted(file: Path) -> None:
    old, new = add_blob(file.parent / "blobs", 10, used=DAY), add_blob(file.parent / "blobs", 20, used=2 * DAY)
    lines = run("cache", "prune", "--max-blob-size", "25").stdout.decode().splitlines()
    assert lines[-2:] == [f"       10 B  {old}", "1 blob deleted, 1 kept (20 B)"]
    assert (old.exists(), new.exists()) == (False, True)
    assert run("cache", "prune", "--older-than", "1").stdout.decode().splitlines()[-1] == "1 blob deleted, 0 kept (0 B)"


def test_the_blobs_stay_with_another_layer_cache(file: Path) -> None:
    blob = add_blob(file.parent / "blobs", 10, used=DAY)
    run("cache", "prune", "--layer-cache", file.with_name("other"), "--older-than", "1")
    assert blob.exists()


def test_a_layer_cache_below_the_default_size_is_kept(file: Path) -> None:
    assert (
        run("cache", "prune", "--layer-cache", file).stdout.decode().endswith("0 entries deleted, 20 kept (24.0 KiB)\n")
    )


def test_a_damaged_layer_cache_is_deleted_with_a_warning(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:5000])
    ran = run("cache", "prune")
    assert ran.code == 0
    assert ran.stderr.startswith(f"lamina: warning: {file}: got ")
    assert ran.stderr.endswith(", expected a layer cache that can be used: it is deleted\n")
    assert not file.exists()


@pytest.mark.parametrize(
    "flags", [("--max-size", "much"), ("--older-than", "-1"), ("--older-than", "x"), ("--layer-cache", "")]
)
def test_a_wrong_option_deletes_nothing(file: Path, flags: tuple[str, ...]) -> None:
    assert run("cache", "prune", *flags).code == 2
    assert count_known(file, facts(3, "old")) == 12
    assert Path(f"{file}.damaged").exists()
