"""``lamina store ls`` and ``lamina store info`` as their users see them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.support.embedded_store import CLOSURE, KEY, ROOT
from tests.support.fake_nix_store import run
from tests.support.paths import EXAMPLES
from tests.support.terminal import run_on_terminal

import lamina


@pytest.fixture
def store(tmp_path: Path) -> Path:
    fetched = lamina.fetch_paths(
        [ROOT], embedded_store=tmp_path / "store", store=f"file://{EXAMPLES / 'cache'}", trusted_keys=KEY
    )
    assert len(fetched.paths) == CLOSURE
    return tmp_path / "store"


def test_all_paths_are_listed_in_order(store: Path) -> None:
    ran = run("store", "ls", "--store", store)
    lines = ran.stdout.decode().splitlines()
    assert (ran.code, ran.stderr, len(lines)) == (0, "", CLOSURE)
    assert lines == sorted(lines)
    assert ROOT in lines


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["hello"], ["hello-1.0"]),
        (["hello-1.0", "hello", ROOT], ["hello-1.0"]),
        (["manual", "hello"], ["hello-1.0", "manual-1.0"]),
    ],
)
def test_names_select_paths(store: Path, names: list[str], found: list[str]) -> None:
    ran = run("store", "ls", *names, "--store", store)
    assert sorted(line.partition("-")[2] for line in ran.stdout.decode().splitlines()) == found


@pytest.mark.parametrize("name", ["nothing", "/nix/store/77a3p2cb156qs7yxv45624ajmygrg616-greeting-1.0"])
def test_a_missing_path_is_an_error(store: Path, name: str) -> None:
    for verb in ("ls", "info"):
        ran = run("store", verb, name, "--store", store)
        assert (ran.code, ran.stdout) == (5, b"")
        assert name in ran.error


def test_sizes_are_shown(store: Path) -> None:
    ran = run("store", "ls", "--size", "--store", store)
    assert (
        ran.stdout.decode().splitlines()[0] == "    1.9 KiB  /nix/store/77a3p2cb156qs7yxv45624ajmygrg615-greeting-1.0"
    )
    assert ran.stderr == "6 paths, 14.5 KiB\n"
    assert run("store", "ls", "--size", "--store", store, "--quiet").stderr == ""


def test_ls_has_a_json_form(store: Path) -> None:
    document = json.loads(run("store", "ls", "--store", store, "--json").stdout)
    assert (document["version"], document["store"], len(document["paths"])) == (1, str(store), CLOSURE)
    keys = {"path", "nar_hash", "nar_size", "references", "deriver", "signatures", "content_address", "url"}
    nix_keys = {"narHash", "narSize", "ca"}
    assert all(set(path) == keys | nix_keys for path in document["paths"])
    assert (document["path_count"], document["nar_size"]) == (CLOSURE, 14800)


def test_a_table_is_printed_on_a_terminal(store: Path) -> None:
    lines = run_on_terminal("store", "ls", "hello", "greeting", "--store", store)
    assert lines == [
        "NAME             SIZE  HASH",
        "greeting-1.0  1.9 KiB  77a3p2cb156q",
        "hello-1.0     3.4 KiB  kq93jhbiwd2m",
    ]
    full = run_on_terminal("store", "ls", "hello", "--store", store, "--full")
    assert full == [f"    3.4 KiB  {ROOT}"]


def test_info_prints_short_names_and_hashes(store: Path) -> None:
    ran = run("store", "info", "hello", "greeting", "--store", store)
    first, second = ran.stdout.decode().split("\n\n")
    title, *lines = first.splitlines()
    fields = [tuple(line.strip().split(maxsplit=1)) for line in lines if "closure size" not in line]
    assert (ran.code, ran.stderr, title) == (0, "", ROOT)
    assert "  closure size  14.5 KiB" in lines
    assert fields[0] == ("size", "3.4 KiB")
    assert fields[1] == ("nar", "hash      sha256-h3AzGluuLICk…")
    assert fields[3:5] == [("deriver", "hello-1.0.drv"), ("signature", "lamina-example-1")]
    assert [name for name, _ in fields[5:]] == ["reference"] * 3
    assert Path(fields[2][1]).stat().st_size == 3480
    assert second.startswith("/nix/store/77a3p2cb156qs7yxv45624ajmygrg615-greeting-1.0\n")


def test_info_prints_whole_names_and_hashes_if_asked(store: Path) -> None:
    lines = run("store", "info", "hello", "--store", store, "--full").stdout.decode().splitlines()
    assert "  nar hash      sha256-h3AzGluuLICk9ZNs0e0GJSc5FSy+b+/ehhvrarzz8S0=" in lines
    assert "  deriver       /nix/store/swn5fjzq2vkj2f5xn3gijddn7xn6s7zz-hello-1.0.drv" in lines
    assert sum(line.startswith("  signature     lamina-example-1:") for line in lines) == 1
    assert sum(line.startswith("  reference     /nix/store/") for line in lines) == 3


def test_info_has_a_json_form(store: Path) -> None:
    document = json.loads(run("store", "info", ROOT, "--store", store, "--json").stdout)
    (path,) = document["paths"]
    assert (path["path"], path["narSize"], path["ca"]) == (ROOT, 3480, None)
    assert path["closure_size"] == path["closureSize"] == 14800
    assert path["deriver"] == "/nix/store/swn5fjzq2vkj2f5xn3gijddn7xn6s7zz-hello-1.0.drv"
    assert path["file"] == str(store / path["url"])


def test_a_default_store_that_does_not_exist_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    ran = run("store", "ls")
    assert (ran.code, ran.stdout, ran.stderr) == (0, b"", "")
    assert json.loads(run("store", "ls", "--json").stdout)["paths"] == []
    assert run("store", "ls", "hello").code == 5
    assert run("store", "info", "hello").code == 5
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_named_has_to_be_a_store(tmp_path: Path) -> None:
    for verb in (("ls",), ("info", "hello")):
        assert run("store", *verb, "--store", tmp_path).code == 5
        assert run("store", *verb, "--store", tmp_path / "none").code == 5
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_narinfo_is_named(store: Path) -> None:
    file = next(store.glob("*.narinfo"))
    file.chmod(0o644)
    file.write_text("StorePath")
    ran = run("store", "ls", "--store", store)
    assert ran.code == 3
    assert ran.error.startswith(f"{file}: narinfo line 1: ")


def test_a_cache_that_nix_wrote_can_be_listed(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "cache", tmp_path / "cache")
    ran = run("store", "ls", "hello", "--store", tmp_path / "cache")
    assert (ran.code, len(ran.stdout.splitlines())) == (0, 2)


def test_a_url_is_not_accepted_as_a_folder() -> None:
    ran = run("store", "ls", "--store", "https://cache.example")
    assert (ran.code, "got 'https://cache.example', expected the folder of an embedded store" in ran.stderr) == (
        2,
        True,
    )
