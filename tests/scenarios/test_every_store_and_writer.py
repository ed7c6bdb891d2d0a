"""Every scenario gives the same image from every kind of store and through every writer."""

import io
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.example_store import CACHE, KEY, example_store, hello
from tests.support.examples import mark_rest
from tests.support.fake_nix_store import FakeStore, write_graph

import lamina
from lamina.core.names import StorePath
from lamina.core.nodes import Node
from lamina.core.pathinfo import PathInfo
from lamina.images.image import Image
from lamina.stores.local.database import LocalStore

SCENARIOS: Mapping[str, dict[str, Any]] = {
    "a program": {"contents": [str(hello())], "config": {"Cmd": ["/bin/hello"]}},
    "a root of its own": {
        "contents": [f"{hello()}/bin"],
        "extra_commands": "mkdir -p etc && echo hi > etc/motd && chmod 600 etc/motd",
        "tree": [lamina.Dir("/tmp", 0o1777), lamina.Symlink("/h", "hello"), lamina.Perm("/etc", 0o700, 1, 2)],
    },
    "few layers": {"contents": [str(hello())], "max_layers": 3, "layering": "popularity"},
    "for a user": {"contents": [str(hello())], "uid": 1000, "gid": 100, "uname": "a", "gname": "b"},
    "of a date": {"contents": [str(hello())], "mtime": "2020-01-01", "created": "2021-02-03T04:05:06+02:00"},
    "only a config": {"name": "bare", "config": {"Entrypoint": [f"{hello()}/bin/hello"]}},
    "no store paths": {"contents": [str(hello())], "include_store_paths": False},
}


class CopiedStore:
    """A store in memory, filled from a store on disk."""

    def __init__(self, store: LocalStore, paths: list[StorePath]) -> None:
        self._infos = dict(store.query(paths))
        self._nodes = {path: tuple(store.nodes(path)) for path in paths}

    def query(self, paths: Any) -> Mapping[StorePath, PathInfo]:
        return {path: self._infos[path] for path in paths if path in self._infos}

    def nodes(self, path: StorePath) -> tuple[Node, ...]:
        return self._nodes[path]


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> FakeStore:
    return example_store(tmp_path_factory.mktemp("store") / "root")


def _use_database(disk: FakeStore, folder: Path) -> dict[str, Any]:
    return {"store": [str(disk.root)]}


def _use_graph(disk: FakeStore, folder: Path) -> dict[str, Any]:
    return {"store": [str(write_graph(disk, folder / "graph.json")), str(disk.root)]}


def _use_memory(disk: FakeStore, folder: Path) -> dict[str, Any]:
    return {"store": CopiedStore(LocalStore(disk.root), list(disk.numbers))}


def _use_cache(disk: FakeStore, folder: Path) -> dict[str, Any]:
    return {"store": CACHE, "trusted_keys": [KEY], "embedded_store": folder / "embedded"}


def _use_embedded(disk: FakeStore, folder: Path) -> dict[str, Any]:
    lamina.stream_layered_image(contents=[str(hello())], **_use_cache(disk, folder)).write_to(io.BytesIO())
    return {"store": folder / "embedded"}


STORES: list[Callable[[FakeStore, Path], dict[str, Any]]] = [
    _use_database,
    _use_graph,
    _use_memory,
    _use_cache,
    _use_embedded,
]


def _write_stream(stream: lamina.Stream, folder: Path) -> tuple[bytes, Image | None]:
    out = io.BytesIO()
    image = stream.write_to(out)
    return out.getvalue(), image


def _write_file(stream: lamina.Stream, folder: Path) -> tuple[bytes, Image | None]:
    image = stream.build(folder / "image.tar")
    return (folder / "image.tar").read_bytes(), image


def _write_zstd(stream: lamina.Stream, folder: Path) -> tuple[bytes, Image | None]:
    image = stream.build(folder / "image.tar.zst")
    from lamina.compression.libraries import zstd

    return zstd().decompress((folder / "image.tar.zst").read_bytes()), image


def _write_script(stream: lamina.Stream, folder: Path) -> tuple[bytes, Image | None]:
    stream.script(folder / "script")
    return subprocess.run([folder / "script"], capture_output=True, check=True, env={}).stdout, None


WRITERS = [_write_stream, _write_file, _write_zstd, _write_script]


@pytest.mark.parametrize("scenario", mark_rest(SCENARIOS, 1))
def test_every_store_and_writer_gives_the_same_image(scenario: str, disk: FakeStore, tmp_path: Path) -> None:
    archives, ids = set(), set()
    for make_arguments in STORES:
        arguments = make_arguments(disk, tmp_path)
        for write in WRITERS:
            if write is _write_script and make_arguments is _use_memory:
                continue  # a script cannot carry a store in memory
            stream = lamina.stream_layered_image(**SCENARIOS[scenario], **arguments)
            archive, image = write(stream, tmp_path)
            archives.add(archive)
            ids |= {image.id} if image else set()
    assert len(archives) == 1
    assert len(ids) == 1
    (tmp_path / "found.tar").write_bytes(archives.pop())
    (found,) = lamina.inspect(tmp_path / "found.tar")
    assert {str(found.digest)} == ids


def test_an_image_for_another_machine_comes_from_the_cache_alone(tmp_path: Path) -> None:
    images = {
        system: lamina.build_layered_image(
            contents=[str(hello(f"{system}-linux"))],
            store=CACHE,
            trusted_keys=KEY,
            embedded_store=tmp_path / "store",
            output=tmp_path / f"{system}.tar",
        )
        for system in ("x86_64", "aarch64")
    }
    found = {system: lamina.inspect(tmp_path / f"{system}.tar")[0] for system in images}
    assert {system: image.architecture for system, image in found.items()} == {"x86_64": "amd64", "aarch64": "arm64"}
    assert images["x86_64"].layers[:4] == images["aarch64"].layers[:4]
