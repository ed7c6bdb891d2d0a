"""Every kind of store and every writer give the same index of images for several platforms."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.example_store import CACHE, KEY, example_store, hello
from tests.support.examples import mark_rest
from tests.support.fake_nix_store import FakeStore, write_graph
from tests.support.paths import EXAMPLES
from tests.support.registry import QUICK, MemoryRegistry, serve_registry

import lamina
from lamina.core.names import Digest
from lamina.transports.retry import use_policy

SYSTEMS = {"linux/amd64": "x86_64-linux", "linux/arm64": "aarch64-linux"}
ROOTS = {platform: [str(hello(system))] for platform, system in SYSTEMS.items()}
SCENARIOS: Mapping[str, dict[str, Any]] = {
    "a program": {"config": {"Cmd": ["/bin/hello"]}},
    "annotations": {"annotations": {"org.example.team": "docs"}},
    "a root of its own": {
        "extra_commands": "mkdir -p etc && echo hi > etc/motd",
        "tree": [lamina.Dir("/tmp", 0o1777), lamina.Symlink("/h", "hello")],
    },
    "few layers": {"max_layers": 3},
    "no store paths": {"include_store_paths": False},
}


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> list[FakeStore]:
    """Return a store for each system."""
    return [example_store(tmp_path_factory.mktemp("store") / "root", system) for system in SYSTEMS.values()]


@pytest.fixture
def server() -> Iterator[MemoryRegistry]:
    with serve_registry() as server, use_policy(QUICK):
        yield server


def _use_databases(disks: list[FakeStore], folder: Path) -> dict[str, Any]:
    return {"store": [str(disk.root) for disk in disks], "roots": ROOTS}


def _use_graphs(disks: list[FakeStore], folder: Path) -> dict[str, Any]:
    graphs = [str(write_graph(disk, folder / f"{number}.json")) for number, disk in enumerate(disks)]
    return {"store": [*graphs, *(str(disk.root) for disk in disks)], "roots": ROOTS}


def _use_cache(disks: list[FakeStore], folder: Path) -> dict[str, Any]:
    return {"store": CACHE, "trusted_keys": [KEY], "roots": ROOTS}


def _use_names(disks: list[FakeStore], folder: Path) -> dict[str, Any]:
    """Name the package, which the list has for both systems."""
    named = {"contents": ["hello"], "platforms": list(SYSTEMS), "channel": str(EXAMPLES / "roots.json")}
    return {"store": CACHE, "trusted_keys": [KEY], "embedded_store": folder / "embedded", **named}


STORES: list[Callable[[list[FakeStore], Path], dict[str, Any]]] = [_use_databases, _use_graphs, _use_cache, _use_names]


@pytest.mark.parametrize("scenario", mark_rest(SCENARIOS, 2))
def test_every_store_and_writer_gives_the_same_index(
    scenario: str, disks: list[FakeStore], server: MemoryRegistry, tmp_path: Path
) -> None:
    digests: set[Digest] = set()
    archives: set[bytes] = set()
    for number, make_arguments in enumerate(STORES):
        arguments = SCENARIOS[scenario] | make_arguments(disks, tmp_path)
        more: dict[str, Any] = {"layer_compression": "gzip", "format": "oci", "tag": "1"}
        with lamina.stream_image_index(**arguments, **more) as stream:
            out = io.BytesIO()
            digests.add(stream.write_to(out).digest)
            archives.add(out.getvalue())
            digests.add(stream.build(tmp_path / "image.tar").digest)
            archives.add((tmp_path / "image.tar").read_bytes())
            digests.add(stream.build(f"{tmp_path}/layout-{number}/").digest)
            digests.add(stream.push(f"{server.host}/me/app:{number}").digest)
    assert (len(digests), len(archives)) == (1, 1)


def test_each_image_is_made_on_the_base_for_its_platform(
    disks: list[FakeStore], server: MemoryRegistry, tmp_path: Path
) -> None:
    arguments = _use_databases(disks, tmp_path)
    reference = f"{server.host}/me/base:1"
    base = lamina.push_image_index(to=reference, **arguments)
    lamina.build_image_index(output=f"{tmp_path}/base/", **arguments, layer_compression="gzip")
    tree = [lamina.Dir("/data")]
    for source in (reference, str(tmp_path / "base")):
        built = lamina.build_image_index(
            output=f"{tmp_path}/layout/", from_image=source, platforms=list(SYSTEMS), tree=tree, name="x", tag="1"
        )
        for image, lower in zip(built.images, base.images, strict=True):
            expected = [layer.diff_id for layer in lower.layers]
            assert [layer.diff_id for layer in image.layers[: len(expected)]] == expected
    (entry,) = json.loads((tmp_path / "layout/index.json").read_text())["manifests"]
    index = json.loads((tmp_path / "layout/blobs/sha256" / entry["digest"].removeprefix("sha256:")).read_text())
    assert len(index["manifests"]) == 2
    with pytest.raises(lamina.PlanError, match=r"^linux/riscv64: .* got images for linux/amd64, linux/arm64"):
        lamina.build_image_index(
            output=f"{tmp_path}/none/", from_image=reference, platforms=["amd64", "riscv64"], tree=tree, name="x"
        )
    assert not (tmp_path / "none").exists()


def test_a_name_that_several_systems_share_is_an_error_that_says_how_to_choose(tmp_path: Path) -> None:
    arguments = _use_names([], tmp_path) | {"platforms": ()}
    with pytest.raises(lamina.NotFound, match=r"^'hello': got 2 paths of that name, expected one: ") as ambiguous:
        lamina.plan_layered_image(**arguments)
    assert "--platform chooses" in ambiguous.value.hint
    for architecture, system in (("amd64", "x86_64-linux"), ("arm64", "aarch64-linux")):
        planned = lamina.plan_layered_image(**arguments, architecture=architecture)
        assert [path for layer in planned.layers for path in layer.paths if path.package == "hello"] == [hello(system)]


def test_a_name_whose_paths_are_for_other_systems_is_an_error_that_says_which(tmp_path: Path) -> None:
    arguments = _use_names([], tmp_path) | {"platforms": "riscv64"}
    expected = "^'hello': got 2 paths of that name with programs for amd64, arm64, expected one for riscv64$"
    with pytest.raises(lamina.NotFound, match=expected):
        lamina.plan_layered_image(**arguments)


def test_the_software_of_a_name_is_that_for_a_platform(tmp_path: Path) -> None:
    sources: dict[str, Any] = {"channel": str(EXAMPLES / "roots.json"), "store": CACHE, "trusted_keys": [KEY]}
    for platform, system in SYSTEMS.items():
        made = lamina.sbom(["hello"], platform=platform, embedded_store=tmp_path / "store", **sources)
        assert str(hello(system)).encode() in made.document
        assert all(str(hello(other)).encode() not in made.document for other in SYSTEMS.values() if other != system)
    with pytest.raises(lamina.NotFound, match="got 2 paths of that name"):
        lamina.sbom(["hello"], embedded_store=tmp_path / "store", **sources)
