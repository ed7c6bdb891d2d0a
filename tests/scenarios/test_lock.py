"""``lamina lock``, and builds whose base image is pinned by ``lamina.lock``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.fake_nix_store import FakeStore, example, run
from tests.support.image_files import LayoutBuilder, layer, platform, sha256
from tests.support.registry import QUICK, MemoryRegistry, add_image, answer_with, serve_registry

import lamina
from lamina.transports.retry import use_policy


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: FakeStore) -> Iterator[MemoryRegistry]:
    """Return a registry with base/image:1, which ``lamina.toml`` names."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.chdir(tmp_path)
    with serve_registry() as server, use_policy(QUICK):
        move_tag(server, "old")
        Path("lamina.toml").write_text(
            f'[hello]\nfrom_image = "{server.host}/base/image:1"\ncontents = ["hello"]\n'
            f'store = "{store.root}"\narchitecture = "amd64"\nlayer_cache = "layers"\n'
        )
        yield server


def move_tag(registry: MemoryRegistry, content: str) -> str:
    layout = LayoutBuilder()
    image = layout.image([layer(content)], config_more=platform("amd64"))
    return str(add_image(registry, layout, image, "base/image"))


def read_base_layer(file: str) -> str:
    return str(lamina.inspect(file)[0].layers[0].diff_id)


def test_a_moving_tag_stays_at_the_pinned_digest_until_the_next_lock(registry: MemoryRegistry) -> None:
    locked = run("lock")
    assert (locked.code, locked.stderr) == (0, "lamina.lock  1 base image  1 changed\n")
    old = next(iter(registry.manifests["base/image"]["1"][1:]))
    assert locked.stdout.decode().startswith(f"{registry.host}/base/image:1  none → sha256:{sha256(old)[7:19]}")
    move_tag(registry, "new")
    for file, options in (("1.tar", ["--locked"]), ("2.tar", [])):
        assert run("build", "--spec", "lamina.toml", "-o", file, *options).code == 0
        assert read_base_layer(file) == sha256(layer("old"))
    assert run("lock").stdout.decode().count("→") == 1
    assert run("build", "--spec", "lamina.toml#hello", "-o", "3.tar", "--locked").code == 0
    assert read_base_layer("3.tar") == sha256(layer("new"))


def test_every_verb_that_makes_an_image_uses_the_lock_file(registry: MemoryRegistry) -> None:
    run("lock")
    digest = json.loads(run("lock", "--json").stdout)["images"][0]["digest"]
    move_tag(registry, "new")
    registry.fail("GET", "/base/image/manifests/1$", answer_with(418), times=99)
    for words in (
        ["plan"],
        ["script", "-o", "script"],
        ["stream"],
        ["push", "--to", f"{registry.host}/me/hello:1"],
    ):
        ran = run(*words, "--spec", "lamina.toml", "--locked")
        assert ran.code == 0, ran.stderr
    ran = run("build", "--spec", "lamina.toml", "-o", "x.tar", "-v")
    assert f"base image: {registry.host}/base/image:1@{digest}, 1 layers" in ran.stderr


def test_a_check_fails_if_the_lock_file_would_change(registry: MemoryRegistry) -> None:
    checked = run("lock", "--check")
    assert checked.code == 6
    assert "1 would change" in checked.stderr
    assert checked.stderr.endswith("hint: lamina lock writes them\n")
    assert not Path("lamina.lock").exists()
    assert run("lock").code == 0
    assert run("lock", "--check").code == 0
    move_tag(registry, "new")
    checked = run("lock", "--check", "--json")
    assert checked.code == 6
    assert [image["change"] for image in json.loads(checked.stdout)["images"]] == ["updated"]


def test_locked_needs_the_lock_file_and_an_entry(registry: MemoryRegistry) -> None:
    missing = run("plan", "--spec", "lamina.toml", "--locked")
    assert (missing.code, missing.stderr.splitlines()[-1]) == (11, "hint: lamina lock writes it")
    run("lock")
    other = f"{registry.host}/base/image:2"
    registry.manifests["base/image"]["2"] = registry.manifests["base/image"]["1"]
    refused = run("plan", "--spec", "lamina.toml", "--from-image", other, "--locked")
    assert refused.code == 2
    assert refused.stderr.endswith("hint: lamina lock adds the base images of the spec file\n")
    warned = run("plan", "--spec", "lamina.toml", "--from-image", other)
    assert warned.code == 0
    assert f"lamina: warning: lamina.lock: got no {other}, used what its tag is now" in warned.stderr


def test_locked_without_a_spec_file_wants_a_digest(registry: MemoryRegistry, store: FakeStore) -> None:
    image = f"{registry.host}/base/image"
    run("lock")
    words = ["plan", "hello", "--store", str(store.root), "--architecture", "amd64", "--locked"]
    refused = run(*words, "--from-image", f"{image}:1")
    assert refused.code == 2
    assert f"got {image}:1 without a spec file, expected a digest (--locked)" in refused.stderr
    assert run(*words, "--from-image", f"{image}@{move_tag(registry, 'new')}").code == 0
    assert run(*words).code == 0


def test_no_image_is_built_if_one_of_them_is_not_locked(registry: MemoryRegistry) -> None:
    run("lock")
    with Path("lamina.toml").open("a") as file:
        file.write(f'[other]\nfrom_image = "{registry.host}/base/image:2"\nname = "other"\n')
    refused = run("build", "--spec", "lamina.toml", "-o", "images/", "--locked")
    assert refused.code == 2
    assert "image other: lamina.lock: got no " in refused.stderr
    assert not Path("images").exists()


def test_a_registry_that_answers_with_another_image_is_an_error(registry: MemoryRegistry) -> None:
    run("lock")
    digest = json.loads(run("lock", "--json").stdout)["images"][0]["digest"]
    media_type, _ = registry.manifests["base/image"][digest]
    registry.manifests["base/image"][digest] = media_type, b"{}"
    refused = run("build", "--spec", "lamina.toml", "-o", "x.tar")
    assert refused.code == 6
    assert digest in refused.stderr


def test_without_a_spec_file_the_error_names_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("lock")
    assert ran.code == 2
    assert ran.stderr == (
        "lamina: spec: got no lamina.toml in this folder, expected a spec file\nhint: --spec FILE names one\n"
    )


def test_a_spec_file_without_registries_gives_an_empty_lock_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lamina.toml").write_text('[a]\nname = "a"\n')
    ran = run("lock")
    assert (ran.code, ran.stdout, ran.stderr) == (0, b"", "lamina.lock  0 base images  0 changed\n")
    assert Path("lamina.lock").read_text().endswith("version = 1\n")
    assert run("lock", "--check").code == 0
