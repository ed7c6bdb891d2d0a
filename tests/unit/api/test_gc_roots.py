"""What a ROOT of a garbage collection keeps: a path, a name, a link, a spec file or an image."""

import json
from pathlib import Path

import pytest
from tests.support.embedded_store import fetch_example, narinfos_by_package
from tests.support.image_files import docker_archive, layer

from lamina.api.gc_roots import resolve_gc_roots
from lamina.core.names import StorePath
from lamina.errors import Error, InvalidArgument, NotFound
from lamina.stores.embedded.store import EmbeddedStore


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedStore:
    return fetch_example(tmp_path_factory.mktemp("example") / "store")


@pytest.fixture
def hello(store: EmbeddedStore) -> StorePath:
    return narinfos_by_package(store.folder)["hello"].info.path


def test_a_path_a_part_of_it_a_name_and_a_link_keep_it(store: EmbeddedStore, hello: StorePath, tmp_path: Path) -> None:
    (tmp_path / "result").symlink_to(str(hello))
    for root in (str(hello), f"{hello}/bin", "hello", str(tmp_path / "result")):
        assert resolve_gc_roots(store, [root]) == (hello,)
    assert resolve_gc_roots(store, ["hello", str(hello)]) == (hello,)


def test_a_spec_file_keeps_what_its_images_need(store: EmbeddedStore, hello: StorePath, tmp_path: Path) -> None:
    licence = narinfos_by_package(store.folder)["licence"].info.path
    tables = {"one": {"contents": ["hello"]}, "two": {"config": {"Cmd": [f"{licence}/x"]}}}
    spec = tmp_path / "lamina.json"
    spec.write_text(json.dumps(tables))
    assert resolve_gc_roots(store, [str(spec)]) == tuple(sorted([hello, licence]))
    assert resolve_gc_roots(store, [f"{spec}#two"]) == (licence,)


def test_an_image_keeps_the_paths_of_its_layers(store: EmbeddedStore, hello: StorePath, tmp_path: Path) -> None:
    other = "/nix/store/" + "0" * 32 + "-other"
    image = tmp_path / "image.tar"
    image.write_bytes(docker_archive({"l.tar": layer(f"{hello}/bin/hello"[1:], f"{other}/x"[1:])}))
    assert resolve_gc_roots(store, [str(image)]) == (hello,)


def test_a_root_that_keeps_nothing_is_an_error(store: EmbeddedStore, tmp_path: Path) -> None:
    image = tmp_path / "image.tar"
    image.write_bytes(docker_archive({"l.tar": layer("etc/x")}))
    with pytest.raises(NotFound, match="got 0 store paths"):
        resolve_gc_roots(store, [str(image)])
    for root in ("nosuch", "/nix/store/short-x", "/dev/null"):
        with pytest.raises(Error):
            resolve_gc_roots(store, [root])
    spec = tmp_path / "lamina.json"
    spec.write_text(json.dumps({"one": {"contents": [5]}}))
    with pytest.raises(InvalidArgument):
        resolve_gc_roots(store, [str(spec)])
