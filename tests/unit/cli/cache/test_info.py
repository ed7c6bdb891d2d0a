"""``lamina cache info`` as its users see it."""

import json
from pathlib import Path

import pytest
from tests.support.fake_nix_store import run
from tests.support.layer_cache import DAY, add_blob, facts, put
from tests.support.shared_layer_cache import CountedFolder, open_shared


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a layer cache in the cache folder, whose entries were used on 1 February 1970."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = tmp_path / "lamina" / "layer-cache.sqlite"
    put(file, facts(3), now=31 * DAY)
    return file


def test_the_layer_cache_is_shown(file: Path) -> None:
    ran = run("cache", "info")
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout.decode().splitlines() == [
        str(file),
        f"  size                 {file.stat().st_size / 1024:.1f} KiB",
        "  entries              12",
        "  layers               3",
        "  compressed layers    6",
        "  store paths          3",
        "  plans                0",
        "  least recently used  1970-02-01",
    ]


def test_json_has_the_same(file: Path) -> None:
    assert json.loads(run("cache", "info", "--json").stdout) == {
        "version": 1,
        "layer_cache": str(file),
        "exists": True,
        "size": file.stat().st_size,
        "entries": 12,
        "layer_count": 3,
        "layers": 3,
        "compressed": 6,
        "listings": 3,
        "plans": 0,
        "shared": 0,
        "oldest": "1970-02-01T00:00:00+00:00",
        "blob_cache": {
            "folder": f"{file.parent}/blobs",
            "exists": False,
            "blob_count": 0,
            "size": 0,
            "oldest": None,
        },
        "warnings": [],
    }


def test_the_blob_cache_is_shown_too(file: Path) -> None:
    add_blob(file.parent / "blobs", 10, used=31 * DAY)
    ran = run("cache", "info")
    assert ran.stdout.decode().splitlines()[-5:] == [
        "",
        f"{file.parent}/blobs",
        "  size                 10 B",
        "  layers               1",
        "  least recently used  1970-02-01",
    ]
    other = run("cache", "info", "--layer-cache", file.with_name("none"), "--blob-cache", file.parent / "blobs")
    assert other.stdout.decode().splitlines()[1:3] == ["", f"{file.parent}/blobs"]


def test_a_missing_layer_cache_is_no_error(file: Path) -> None:
    ran = run("cache", "info", "--layer-cache", file.with_name("none"))
    assert (ran.code, ran.stdout.decode()) == (0, f"no layer cache at {file.with_name('none')}\n")
    document = json.loads(run("cache", "info", "--layer-cache", file.with_name("none"), "--json").stdout)
    assert (document["exists"], document["entries"], document["oldest"]) == (False, 0, None)


def test_a_file_that_is_no_layer_cache_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("text " * 50)
    ran = run("cache", "info", "--layer-cache", tmp_path / "notes")
    assert ran.code == 3
    assert (
        ran.stderr == f"lamina: {tmp_path}/notes: got a file of another program, expected a layer cache, or no file\n"
    )


def test_a_damaged_layer_cache_is_an_error(file: Path) -> None:
    file.write_bytes(b"garbage " * 50)
    ran = run("cache", "info")
    assert ran.code == 6
    assert ran.stderr.splitlines() == [
        f"lamina: {file}: got file is not a database, expected a layer cache that can be used",
        "hint: the next image creates a new one",
    ]


def test_a_verb_that_shows_or_deletes_creates_no_folder(tmp_path: Path) -> None:
    """An image creates the folder of ``--layer-cache``; these verbs find nothing there, and leave nothing."""
    file = tmp_path / "new" / "deep" / "layer-cache.sqlite"
    for verb in (["cache", "info"], ["cache", "prune"], ["cache", "clean"], ["store", "verify"]):
        ran = run(*verb, "--layer-cache", file)
        assert ran.code == 0, ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_shared_is_counted_apart(file: Path, tmp_path: Path) -> None:
    with open_shared(CountedFolder(tmp_path / "shared"), file) as layer_cache:
        layer_cache.look_up_layers(fact.inputs for fact in facts(2))
    lines = run("cache", "info").stdout.decode().splitlines()
    assert "  entries              12" in lines
    assert "  shared               2" in lines


@pytest.mark.parametrize("flag", ["--layer-cache", "--blob-cache"])
@pytest.mark.parametrize("verb", ["info", "prune"])
def test_a_bucket_is_refused(file: Path, verb: str, flag: str) -> None:
    ran = run("cache", verb, flag, "s3://bucket/prefix?secret-key=hunter2")
    assert ran.code == 2
    argument = flag.strip("-").replace("-", "_")
    assert ran.stderr.splitlines() == [
        f"lamina: {argument}: got s3://bucket/prefix, expected a file or folder of this machine",
        "hint: old objects in a bucket are deleted by a lifecycle rule of the bucket",
    ]
    assert file.exists()
