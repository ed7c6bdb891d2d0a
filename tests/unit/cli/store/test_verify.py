"""``lamina store verify`` as its users see it."""

from __future__ import annotations

import importlib
import json
import keyword
import os
import re
import shutil
from pathlib import Path

import click
import pytest
from tests.support.fake_nix_store import FakeStore, call, example, run, store_path
from tests.support.shared_layer_cache import list_objects

import lamina
from lamina.cli.command import VerbCommand
from lamina.cli.store import command

DATA = store_path("words-2.1-data")
COMMANDS = command.list_commands(click.Context(command))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    store, _ = example(tmp_path / "root")
    ran = run("stream", "hello", "--store", store.root, "--layer-cache", "layer_cache")
    assert ran.code == 0, ran.stderr
    return store


def damage(store: FakeStore) -> None:
    """Change a byte of a file, but neither its length nor its date."""
    file = store.location(DATA) / "share/hello.txt"
    date = file.stat().st_mtime_ns
    file.chmod(0o644)
    file.write_bytes(b"jello\n")
    os.utime(file, ns=(date, date))


def test_an_intact_layer_cache_is_reported_as_such(store: FakeStore) -> None:
    ran = call("store", "verify", "--store", store.root, "--layer-cache", "layer_cache")
    assert (ran.code, ran.stdout) == (0, b"4 layers: 4 intact, 0 damaged, 0 absent\n")
    lines = ran.stderr.splitlines()
    assert len(lines) == 4
    for number, line in enumerate(lines, 1):
        assert re.fullmatch(rf"layer {number}/4  \S+ +\S+ KiB  intact", line)


def test_a_damaged_layer_is_named_and_removed(store: FakeStore) -> None:
    damage(store)
    flags = ("--store", store.root, "--layer-cache", "layer_cache")
    ran = run("store", "verify", *flags)
    line, summary = ran.stdout.decode().splitlines()
    assert ran.code == 6
    assert summary == "4 layers: 3 intact, 1 damaged, 0 absent"
    digest = r"sha256:[0-9a-f]{64}"
    assert re.fullmatch(rf"layer {digest} of {DATA}: {DATA}: got NAR hash {digest}, expected {digest}", line)
    assert ran.error == line
    assert ran.stderr.splitlines()[-1].startswith("hint: its entry in the layer cache is removed; ")
    again = run("store", "verify", *flags)
    assert (again.code, again.stdout) == (0, b"3 layers: 3 intact, 0 damaged, 0 absent\n")
    assert run("stream", "hello", *flags).stdout == run("stream", "hello", *flags[:2], "--no-layer-cache").stdout


def test_layers_with_missing_paths_are_counted(store: FakeStore) -> None:
    shutil.rmtree(store.location(DATA))
    ran = run("store", "verify", "--store", store.root, "--layer-cache", "layer_cache", "--quiet")
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout == b"4 layers: 3 intact, 0 damaged, 1 absent\n"


def test_the_layer_cache_in_the_cache_folder_is_the_default(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path("cache").absolute()))
    file = Path("cache/lamina/layer-cache.sqlite").absolute()
    for _ in range(2):
        ran = run("store", "verify", "--store", store.root)
        assert (ran.code, ran.stdout.decode(), ran.stderr) == (0, f"no layer cache at {file}\n", "")
    assert not Path("cache").exists()
    run("stream", "hello", "--store", store.root)
    ran = run("store", "verify", "--store", store.root, "--quiet")
    assert ran.stdout == b"4 layers: 4 intact, 0 damaged, 0 absent\n"


def test_a_damaged_file_is_a_warning(store: FakeStore) -> None:
    Path("layer_cache").write_bytes(Path("layer_cache").read_bytes()[:2000])
    ran = run("store", "verify", "--store", store.root, "--layer-cache", "layer_cache")
    assert (ran.code, ran.stdout) == (0, b"0 layers: 0 intact, 0 damaged, 0 absent\n")
    assert ran.stderr.startswith("lamina: warning: ")
    assert "the file was deleted, and a new layer cache is created" in ran.stderr


def test_the_summary_of_one_layer_has_no_plural(store: FakeStore) -> None:
    flags = ("--store", store.root, "--layer-cache", "single")
    run("stream", "hello", "--max-layers", "2", *flags)
    assert run("store", "verify", *flags).stdout == b"1 layer: 1 intact, 0 damaged, 0 absent\n"


def test_the_result_is_readable_for_machines(store: FakeStore) -> None:
    flags = ("--store", store.root, "--layer-cache", "layer_cache", "--json")
    assert json.loads(run("store", "verify", *flags).stdout) == {
        "version": 1,
        "layer_cache": "layer_cache",
        "exists": True,
        "layer_count": 4,
        "layers": 4,
        "intact": 4,
        "absent": 0,
        "damaged": [],
        "warnings": [],
        "store_check": None,
        "store": None,
    }
    damage(store)
    ran = run("store", "verify", *flags)
    document = json.loads(ran.stdout)
    (damaged,) = document["damaged"]
    assert (ran.code, document["layers"], document["intact"], document["absent"]) == (6, 4, 3, 0)
    assert (set(damaged), damaged["paths"]) == ({"diff_id", "paths", "reason"}, [str(DATA)])
    error = json.loads(ran.stderr)["error"]
    assert error["message"] == f"layer {damaged['diff_id']} of {DATA}: {damaged['reason']}"
    document = json.loads(run("store", "verify", *flags, "--layer-cache", "none").stdout)
    assert (document["exists"], document["layers"], Path("none").exists()) == (False, 0, False)


@pytest.mark.parametrize(
    ("arguments", "got"),
    [
        ([], "no command"),
        (["sweep"], "command 'sweep'"),
        (["verify", "x"], "one argument more"),
        (["verify", "--layer-cache", ""], "''"),
    ],
)
def test_bad_arguments_are_an_error(arguments: list[str], got: str) -> None:
    ran = run("store", *arguments)
    assert ran.code == 2
    assert got in ran.error


def test_the_machines_store_is_the_default(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamina.stores.open.MACHINE", store.root)
    assert run("store", "verify", "--layer-cache", "layer_cache").stdout.startswith(b"4 layers: 4 ")


def test_the_help_shows_an_example() -> None:
    for arguments in (["store"], ["store", "verify"]):
        ran = run(*arguments, "--help")
        assert (ran.code, ran.stderr) == (0, "")
        assert "Examples:\n  lamina store " in ran.stdout.decode()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help_and_every_command_an_example(name: str) -> None:
    module = importlib.import_module(f"lamina.cli.store.{name}{'_' * keyword.iskeyword(name)}")
    found = module.command
    for each in found.commands.values() if isinstance(found, click.Group) else [found]:
        assert all(option.help for option in each.params if isinstance(option, click.Option))
        assert isinstance(each, VerbCommand)
        assert each.examples
        assert all(f"lamina store {name}" in example for example in each.examples)


def test_the_suite_has_a_cache_folder_of_its_own() -> None:
    from platformdirs import user_cache_path

    assert user_cache_path("lamina", appauthor=False).parent == Path(os.environ["XDG_CACHE_HOME"])
    assert "lamina-test-cache-" in os.environ["XDG_CACHE_HOME"]


def test_a_wrong_entry_of_a_shared_layer_cache_is_removed_there_too(
    store: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    flags = ("--store", store.root, "--layer-cache", (tmp_path / "shared").as_uri())
    assert run("stream", "hello", *flags).code == 0
    objects = list_objects(tmp_path / "shared")
    damage(store)
    ran = run("store", "verify", *flags)
    assert (ran.code, ran.stdout.splitlines()[-1]) == (6, b"4 layers: 3 intact, 1 damaged, 0 absent")
    assert [file.stat().st_size > 0 for file in objects].count(False) == 1
    assert run("store", "verify", *flags).stdout == b"3 layers: 3 intact, 0 damaged, 0 absent\n"


def test_python_needs_a_local_file_to_check_a_shared_layer_cache(tmp_path: Path) -> None:
    with pytest.raises(lamina.InvalidArgument, match=r"^local_layer_cache: got None, expected the name of a file$"):
        lamina.verify_layer_cache(layer_cache=tmp_path.as_uri())
