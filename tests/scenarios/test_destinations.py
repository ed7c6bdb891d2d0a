"""A name that ends in a slash and a folder that exists mean the same for every verb, or both are refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.support.cli_parameters import leaf_commands
from tests.support.embedded_store import CLOSURE, KEY, ROOT, check, fetch_example
from tests.support.fake_nix_store import run
from tests.support.image_files import LayoutBuilder, layer
from tests.support.paths import EXAMPLES
from tests.support.registry import add_image, serve_registry

import lamina
from lamina.cli.group import group

# What the verbs with -o are run with. Those of a folder write an OCI layout there, the others only write files.
WITH_OUTPUT = {
    "build": [ROOT, "--store", "store"],
    "batch": ["fleet.toml", "--store", "store", "--on", "local:1"],
    "script": [ROOT, "--store", "store"],
    "pull": ["{registry}/me/app:1"],
    "sbom": [ROOT, "--store", "store"],
    "merge": ["image.tar"],
    "export": ["image.tar"],
    "store export": [ROOT, "--store", "store"],
    "store key generate": ["a-1"],
}
LAYOUTS = {"batch", "build", "merge", "pull"}
# The verbs with --to write to a store, which is a folder or its URL.
WITH_DESTINATION = {
    "store fetch": [ROOT, "--store", f"file://{EXAMPLES}/cache", "--trusted-key", KEY],
    "store add": ["image.tar"],
    "store import": ["export"],
    "store push": [ROOT, "--store", "store"],
}


def list_verbs(option: str) -> set[str]:
    """Return the verbs that have an option."""
    return {
        " ".join(names)
        for names, command in leaf_commands(group)
        if any(isinstance(found, click.Option) and option in found.opts for found in command.params)
    }


def test_every_verb_with_a_destination_is_in_a_table() -> None:
    assert list_verbs("--output") == set(WITH_OUTPUT)
    assert list_verbs("--to") - {"batch", "push", "merge"} == set(WITH_DESTINATION), "a registry has no folders"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    store = fetch_example(folder / "store").folder
    (folder / "fleet.toml").write_text(f'[app]\ncontents = ["{ROOT}"]\n')
    lamina.build_layered_image(contents=[ROOT], store=str(store), output=folder / "image.tar", architecture="amd64")
    lamina.export_paths([ROOT], output=folder / "export", embedded_store=store)
    return folder


@pytest.fixture
def here(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a folder that has the inputs of the verbs, and an empty folder ``there``."""
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def registry() -> Iterator[str]:
    """Return the host of a registry with me/app:1."""
    with serve_registry() as server:
        layout = LayoutBuilder()
        add_image(server, layout, layout.image([layer("x")]))
        yield server.host


@pytest.mark.parametrize("output", ["new/", "there", "there/"])
@pytest.mark.parametrize("verb", sorted(LAYOUTS))
def test_a_folder_becomes_a_layout(verb: str, output: str, here: Path, registry: str) -> None:
    ran = run(*verb.split(), *(word.format(registry=registry) for word in WITH_OUTPUT[verb]), "-o", output)
    assert ran.code == 0, ran.stderr
    assert (here / output / "oci-layout").is_file()


@pytest.mark.parametrize("output", ["new/", "there", "there/"])
@pytest.mark.parametrize("verb", sorted(WITH_OUTPUT.keys() - LAYOUTS))
def test_a_verb_that_writes_files_refuses_a_folder(verb: str, output: str, here: Path) -> None:
    ran = run(*verb.split(), *WITH_OUTPUT[verb], "-o", output)
    assert (ran.code, ran.stdout) == (2, b""), ran.stderr
    assert ran.error == f"output: got '{output}', a folder, expected the name of a file"
    assert f"hint: such as {output.rstrip('/')}/NAME" in ran.stderr
    assert not (here / "new").exists()
    assert not list((here / "there").iterdir())


@pytest.mark.parametrize("to", ["new", "new/", "there", "there/"])
@pytest.mark.parametrize("verb", sorted(WITH_DESTINATION))
def test_a_store_is_written_to_a_folder_with_or_without_a_slash(verb: str, to: str, here: Path) -> None:
    value = f"file://{here}/{to}" if verb == "store push" else to
    ran = run(*verb.split(), *WITH_DESTINATION[verb], "--to", value)
    assert ran.code == 0, ran.stderr
    assert (here / to / "nix-cache-info").is_file()
    if verb in ("store fetch", "store import"):
        assert len(check(here / to)) == CLOSURE


@pytest.mark.parametrize("verb", sorted(WITH_DESTINATION.keys() - {"store push"}))
def test_a_file_is_no_store_to_write_to(verb: str, here: Path) -> None:
    (here / "file").write_text("mine")
    ran = run(*verb.split(), *WITH_DESTINATION[verb], "--to", "file")
    assert ran.code in {5, 10}, ran.stderr
    assert (here / "file").read_text() == "mine"
