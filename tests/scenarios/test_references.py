"""References to images in a registry where other images are files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.fake_nix_store import run
from tests.support.image_files import LayoutBuilder, layer, platform
from tests.support.registry import MemoryRegistry, add_image, answer_with, serve_registry

import lamina

PATH = "/nix/store/" + "1" * 32 + "-hello-2.12"
HISTORY = {"history": [{"comment": f"store paths: ['{PATH}']"}, {"comment": "customisation layer"}]}


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryRegistry]:
    """Return a registry with me/app:1 and me/app:2, which share a layer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with serve_registry() as server:
        layout = LayoutBuilder()
        for tag in "12":
            image = layout.image([layer(PATH[1:]), layer(tag)], config_more=HISTORY)
            add_image(server, layout, image, tag=tag)
        yield server


def test_inspect_reads_no_layer(registry: MemoryRegistry) -> None:
    ran = run("inspect", f"docker://{registry.host}/me/app:1", "--full")
    assert (ran.code, ran.stderr) == (0, "")
    assert PATH in ran.stdout.decode()
    assert sum("/blobs/" in request.path for request in registry.seen) == 1


def test_inspect_prints_a_document(registry: MemoryRegistry) -> None:
    ran = run("inspect", f"{registry.host}/me/app:1", "--json")
    document = json.loads(ran.stdout)
    assert document["repo_tags"] == [f"{registry.host}/me/app:1"]
    assert [item["paths"] for item in document["layers"]] == [[PATH], []]


def test_what_an_index_lists_and_the_registry_lacks_is_a_warning_of_inspect(registry: MemoryRegistry) -> None:
    layout = LayoutBuilder()
    images = [
        layout.image([layer(name)], config_more=platform(name), platform=platform(name)) for name in ("amd64", "arm64")
    ]
    add_image(registry, layout, layout.nested(images), "me/all")
    del registry.manifests["me/all"][images[1]["digest"]]
    reference, listed = f"{registry.host}/me/all:1", "got an index that lists linux/arm64, but no manifest sha256:"
    ran = run("inspect", reference)
    assert (ran.code, "linux/amd64" in ran.stdout.decode(), listed in ran.stderr) == (0, True, True)
    ran = run("push", reference, "--to", f"{registry.host}/me/copy:1")
    assert (ran.code, listed in ran.error) == (7, True)
    assert run("push", reference, "--to", f"{registry.host}/me/copy:1", "--platform", "amd64").code == 0


def test_images_of_a_registry_are_compared_with_each_other_and_with_files(registry: MemoryRegistry) -> None:
    one, two = (f"{registry.host}/me/app:{tag}" for tag in "12")
    result = lamina.diff(one, two)
    assert [item.change for item in result.layers] == ["kept", "sent", "gone"]
    layout = LayoutBuilder()
    layout.index(layout.image([layer(PATH[1:]), layer("3")]))
    layout.write(Path("images"))
    assert [item.change for item in lamina.diff(one, "oci:images").layers] == ["kept", "sent", "gone"]


def test_a_file_with_the_name_of_a_reference_wins(registry: MemoryRegistry) -> None:
    layout = LayoutBuilder()
    layout.index(layout.image([layer("x")]))
    Path("debian:12").write_bytes(layout.tar())
    assert len(lamina.inspect("debian:12")[0].layers) == 1
    assert not registry.seen


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [(404, 7, "got no such image"), (403, 8, "HTTP 403"), (418, 7, "HTTP 418")],
)
def test_refusals_have_the_exit_code_of_their_family(
    registry: MemoryRegistry, status: int, code: int, text: str
) -> None:
    registry.fail("GET", "/manifests/", answer_with(status), times=9)
    ran = run("inspect", f"{registry.host}/me/app:1")
    assert (ran.code, ran.stdout) == (code, b"")
    assert text in ran.stderr
    assert "hint: " in ran.stderr or status == 418


def test_a_registry_that_wants_a_login_is_an_error_with_a_hint(registry: MemoryRegistry) -> None:
    registry.authentication = "basic"
    ran = run("inspect", f"{registry.host}/me/app:1")
    assert (ran.code, ran.stdout) == (8, b"")
    assert "hint: log in with docker login" in ran.stderr


def test_what_needs_a_file_says_how_to_fetch_one(registry: MemoryRegistry) -> None:
    ran = run("export", f"{registry.host}/me/app:1", "-o", "x.tar")
    assert ran.code == 11
    assert f"hint: fetch it first: lamina pull {registry.host}/me/app:1 -o app.tar" in ran.stderr
