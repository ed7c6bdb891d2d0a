"""Base images in Debian's docker-registry that skopeo, docker and podman pushed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.integration.engines import Engine, Skopeo
from tests.support.fake_nix_store import FakeStore, example
from tests.support.fault_proxy import serve_faults
from tests.support.image_files import LayoutBuilder, layer, sha256, tar

import lamina

NAME = "org.opencontainers.image.ref.name"
LAYERS = [tar({"usr/": None, "usr/bin/": None, "bin": "usr/bin"}), layer("etc/os-release") + bytes(1 << 20)]


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


@pytest.fixture
def base(tmp_path: Path) -> str:
    """A layout of two layers, as skopeo names it."""
    layout = LayoutBuilder()
    layout.index(layout.image(LAYERS, annotations={NAME: "base"}))
    layout.write(tmp_path / "base")
    return f"oci:{tmp_path}/base:base"


@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_a_push_mounts_the_layers_of_its_base(
    registry: str, skopeo: Skopeo, store: FakeStore, base: str, form: str, tmp_path: Path
) -> None:
    skopeo.copy(base, f"docker://{registry}/bases/{form}:1", "--dest-tls-verify=false", "--format", form)
    with serve_faults(registry) as proxy:
        pushed = lamina.push_layered_image(
            to=f"{proxy.address}/bases/app-{form}:1",
            closure=["hello"],
            name="app",
            store=str(store.root),
            architecture="amd64",
            from_image=f"{proxy.address}/bases/{form}:1",
        )
        fetched = [one.path for one in proxy.exchanges if one.method == "GET" and "/blobs/" in one.path]
        assert [path.rpartition("/")[2] for path in fetched] == [
            skopeo.inspect(f"docker://{registry}/bases/{form}:1", "--tls-verify=false", "--raw")["config"]["digest"]
        ]
    assert pushed.blobs_mounted == 2
    skopeo.copy(f"docker://{registry}/bases/app-{form}:1", f"oci:{tmp_path}/out:1", "--src-tls-verify=false")
    (image,) = lamina.inspect(tmp_path / "out")
    assert [str(one.diff_id) for one in image.layers[:2]] == [sha256(data) for data in LAYERS]
    assert image.digest == pushed.digest


def test_an_image_that_an_engine_pushed_is_a_base(
    registry: str, engine: Engine, store: FakeStore, tmp_path: Path
) -> None:
    arguments: dict[str, Any] = {"contents": ["hello"], "store": str(store.root), "architecture": "amd64"}
    first = lamina.build_layered_image(name="first", tag="1", output=tmp_path / "first.tar", **arguments)
    name = f"{registry}/bases/{engine.kind}-{'-'.join(map(str, engine.version))}:1"
    engine.load(tmp_path / "first.tar")
    source = f"localhost/{first.repo_tag}" if engine.kind == "podman" else first.repo_tag
    try:
        engine.call("tag", source, name)
        engine.call("push", *(("--tls-verify=false",) if engine.kind == "podman" else ()), name)
    finally:
        engine.call("rmi", source, name, check=False)
    pulled = lamina.pull_image(name, output=f"{tmp_path}/pulled/")
    (image,) = lamina.inspect(tmp_path / "pulled")
    assert [one.diff_id for one in image.layers] == [one.diff_id for one in first.layers]
    assert pulled.blobs_fetched == len({one.digest for one in image.layers})
    built = lamina.build_layered_image(
        name="second",
        tag="1",
        output=tmp_path / "second.tar",
        from_image=name,
        blob_cache=tmp_path / "cache",
        **arguments,
    )
    assert [one.diff_id for one in built.layers[: len(first.layers)]] == [one.diff_id for one in first.layers]


def test_an_engine_pulls_an_image_over_a_base_with_an_empty_root(
    registry: str, skopeo: Skopeo, engine: Engine, store: FakeStore, base: str
) -> None:
    skopeo.copy(base, f"docker://{registry}/bases/plain:1", "--dest-tls-verify=false")
    name = f"{registry}/bases/empty:1"
    pushed = lamina.push_layered_image(
        to=name,
        closure=["hello"],
        name="app",
        store=str(store.root),
        architecture="amd64",
        from_image=f"{registry}/bases/plain:1",
    )
    try:
        engine.pull(name)
        assert engine.inspect(name)["RootFS"]["Layers"] == [str(layer.diff_id) for layer in pushed.layers]
    finally:
        engine.call("rmi", name, check=False)


def test_a_locked_base_stays_when_its_tag_moves(
    registry: str, skopeo: Skopeo, store: FakeStore, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"{registry}/bases/moving:1"
    (tmp_path / "lamina.toml").write_text(f'from_image = "{name}"\n')
    skopeo.copy(base, f"docker://{name}", "--dest-tls-verify=false")
    (locked,) = lamina.lock_images("lamina.toml").images
    assert str(locked.digest) == skopeo.inspect(f"docker://{name}", "--tls-verify=false")["Digest"]
    layout = LayoutBuilder()
    layout.index(layout.image([layer("moved")], annotations={NAME: "moved"}))
    layout.write(tmp_path / "moved")
    skopeo.copy(f"oci:{tmp_path}/moved:moved", f"docker://{name}", "--dest-tls-verify=false")
    built = lamina.build_layered_image(
        contents=["hello"],
        store=str(store.root),
        architecture="amd64",
        from_image=name,
        lock_file="lamina.lock",
        locked=True,
        output=tmp_path / "hello.tar",
    )
    assert [str(one.diff_id) for one in built.layers[:2]] == [sha256(data) for data in LAYERS]
    assert lamina.lock_images("lamina.toml", check=True).images[0].change == "updated"
