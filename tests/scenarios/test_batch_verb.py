"""``lamina batch``: what it prints, its exit codes, and the page that it writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import CompletedRun, FakeStore, run
from tests.support.registry import MemoryRegistry, serve_registry

import lamina

SPEC = """
[web]
contents = ["web"]
tag = "1"

[api]
contents = ["api"]
tag = "1"
"""
BROKEN = """
[job]
contents = ["missing"]
"""


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a store with two applications that share a library, and a spec file for them, in the current folder."""
    monkeypatch.chdir(tmp_path)
    store = FakeStore(tmp_path / "root")
    library = store.add("log-1", {"lib": bytes(range(256)) * 300})
    for name in ("web", "api"):
        store.add(f"{name}-1", {name: name.encode() * 3000}, [library])
    Path("fleet.toml").write_text(SPEC)
    Path("broken.toml").write_text(BROKEN + SPEC)


@pytest.fixture
def registry() -> Iterator[MemoryRegistry]:
    with serve_registry() as server:
        yield server


def batch(*arguments: str) -> CompletedRun:
    return run("batch", *arguments, "--store", "root", "--on", "local:1", "--layer-cache", "layers.sqlite")


def test_images_are_pushed_below_a_prefix_and_their_references_are_printed(registry: MemoryRegistry) -> None:
    ran = batch("fleet.toml", "--to", f"{registry.host}/team")
    assert ran.code == 0, ran.stderr
    found = [line.partition("@") for line in ran.stdout.decode().splitlines()]
    assert [name for name, _, _ in found] == [f"{registry.host}/team/{name}:1" for name in ("web", "api")]
    stored = [str(lamina.inspect(name)[0].manifest_digest) for name, _, _ in found]
    assert [digest for _, _, digest in found] == stored


def test_images_are_written_to_one_layout(tmp_path: Path) -> None:
    ran = batch("fleet.toml", "-o", "images/")
    assert (ran.code, ran.stdout) == (0, b""), ran.stderr
    assert "2 images  3 layers  3 made  0 reused" in ran.stderr
    assert sorted(image.repo_tags[0] for image in lamina.inspect("images")) == ["api:1", "web:1"]


def test_one_image_of_a_file_has_the_bytes_that_it_has_among_all() -> None:
    assert batch("fleet.toml", "-o", "all/").code == 0
    assert batch("fleet.toml#web", "-o", "one/").code == 0
    (one,) = lamina.inspect("one")
    assert one.manifest_digest in {image.manifest_digest for image in lamina.inspect("all")}


@pytest.mark.parametrize("make", [str, lambda text: [Path(text)], lambda text: iter([text])])
def test_python_plans_one_image_of_a_file_with_the_others_as_the_command_does(
    make: Callable[[str], Any], tmp_path: Path
) -> None:
    store = FakeStore(tmp_path / "two")
    libraries = [store.add(f"lib{number}-1", {"lib": bytes([number]) * 200_000}) for number in range(6)]
    store.add("all-1", {"bin": b"#!"}, libraries)
    store.add("some-1", {"bin": b"#!!"}, libraries[1::2])
    Path("two.toml").write_text(
        '[all]\ncontents = ["all"]\nstore = ["two"]\n[some]\ncontents = ["some"]\nstore = ["two"]'
    )
    assert run("batch", "two.toml#all", "-o", "one/", "--max-layers", "4", "--on", "local:1").code == 0
    result = lamina.batch(make("two.toml#all"), output="python", on="local:1", max_layers=4, layer_cache=None)
    (one,) = lamina.inspect("one")
    assert [(image.name, image.digest) for image in result.images] == [("all", one.manifest_digest)]


def test_an_image_that_fails_is_listed_at_the_end_and_decides_the_exit_code() -> None:
    ran = batch("broken.toml", "-o", "images/")
    assert ran.code == 5
    *_, summary, error, hint = ran.stderr.splitlines()
    assert summary.startswith("2 of 3 images  3 layers")
    assert error.startswith("lamina: image job: 'missing': got no")
    assert hint.startswith("hint: ")
    assert len(lamina.inspect("images")) == 2


def test_quiet_prints_the_errors_and_the_references_alone(registry: MemoryRegistry) -> None:
    ran = batch("broken.toml", "--to", registry.host, "--quiet")
    assert ran.code == 5
    assert [line.partition(":")[0] for line in ran.stderr.splitlines()] == ["lamina", "hint"]
    assert len(ran.stdout.splitlines()) == 2


def test_fail_fast_writes_nothing_after_the_first_error() -> None:
    ran = batch("broken.toml", "-o", "images/", "--fail-fast")
    assert ran.code == 5
    assert "lamina: image job: 'missing': got no" in ran.stderr
    assert not list(Path("images").glob("blobs/sha256/*"))


def test_the_document_has_every_image_and_layer_and_the_errors() -> None:
    ran = batch("broken.toml", "-o", "images/", "--json")
    assert (ran.code, ran.stderr) == (5, "")
    document: dict[str, Any] = json.loads(ran.stdout)
    assert [image["name"] for image in document["images"]] == ["job", "web", "api"]
    failed, *done = document["images"]
    assert (failed["digest"], failed["error"]["kind"], failed["error"]["exit_code"]) == (None, "NotFound", 5)
    assert all(image["error"] is None and len(image["layers"]) == 2 for image in done)
    assert {layer["digest"] for layer in document["layers"]} == {each for image in done for each in image["layers"]}
    assert sorted(layer["image_count"] for layer in document["layers"]) == [1, 1, 2]
    assert (document["layers_made"], document["layers_reused"], document["images_failed"]) == (3, 0, 1)


def test_a_batch_that_is_run_again_makes_no_layer() -> None:
    assert batch("fleet.toml", "-o", "images/").code == 0
    document = json.loads(batch("fleet.toml", "-o", "images/", "--json").stdout)
    assert (document["layers_made"], document["layers_reused"], document["bytes_read"]) == (0, 3, 0)


def test_two_platforms_give_an_index(registry: MemoryRegistry) -> None:
    platforms = ["--platform", "linux/amd64", "--platform", "linux/arm64"]
    ran = batch("fleet.toml#web", "--to", registry.host, *platforms)
    assert ran.code == 0, ran.stderr
    (reference,) = ran.stdout.decode().split()
    assert [image.platform for image in lamina.inspect(reference)] == ["linux/amd64", "linux/arm64"]


def test_the_page_is_written_with_failed_images_too() -> None:
    assert batch("broken.toml", "-o", "images/", "--report", "fleet.html").code == 5
    page = Path("fleet.html").read_text()
    assert all(name in page for name in ("web", "api", "job", "log-1"))


def test_a_page_that_cannot_be_written_ends_the_batch_before_it_begins() -> None:
    ran = batch("fleet.toml", "-o", "images/", "--report", "missing/fleet.html")
    assert ran.code == 10
    assert ran.stderr.startswith("lamina: missing/fleet.html: got No such file or directory")
    assert not Path("images").exists()


def test_a_file_of_one_table_without_a_name_needs_one() -> None:
    Path("one.toml").write_text('contents = ["web"]')
    ran = batch("one.toml", "-o", "images/")
    assert ran.code == 2
    assert ran.stderr.splitlines() == [
        "lamina: one.toml: got an image without a name, expected one",
        'hint: write name = "web", or the table [web] around its arguments',
    ]
    Path("one.toml").write_text('contents = ["web"]\nname = "web"')
    assert batch("one.toml", "-o", "images/").code == 0
