"""Bills of materials of ROOTs and of images."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tests.support.embedded_store import HELLO, KEY, ROOT, fetch_example
from tests.support.factories import MemoryStore, closure, path
from tests.support.image_files import LayoutBuilder, config, docker_archive, layer
from tests.support.paths import EXAMPLES
from tests.support.registry import add_image, serve_registry
from tests.support.sbom import read_cyclonedx, read_spdx

import lamina
from lamina.errors import InvalidArgument, NotFound


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return an embedded store with the example."""
    fetch_example(tmp_path / "store")
    return tmp_path / "store"


def test_the_closure_of_a_package_is_described(store: Path) -> None:
    result = lamina.sbom("hello", store=store)
    bom = read_cyclonedx(result.document)
    assert {item.name for item in bom.components} == {"hello", "greeting", "licence", "languages", "manual", "phrases"}
    assert len(result.components) == 6
    assert bom.metadata.timestamp == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert result.warnings == ()


@pytest.mark.parametrize("kind", ["cyclonedx", "spdx"])
def test_a_store_and_the_cache_that_it_comes_from_give_the_same_bytes(kind: Any, store: Path) -> None:
    fetched = lamina.sbom(ROOT, store=store, format=kind)
    cached = lamina.sbom(ROOT, store=f"file://{EXAMPLES}/cache", trusted_keys=KEY, format=kind)
    assert cached.document == fetched.document


def test_a_closure_graph_is_enough(store: Path, tmp_path: Path) -> None:
    with lamina.open_store(store=store) as opened:
        infos = list(lamina.Closure.resolve([HELLO], opened.query))
    graph = [
        {
            "path": str(info.path),
            "narHash": str(info.nar_hash),
            "narSize": info.nar_size,
            "references": list(map(str, info.references)),
        }
        for info in infos
    ]
    (tmp_path / "graph.json").write_text(json.dumps(graph))
    parsed = read_spdx(lamina.sbom(ROOT, store=tmp_path / "graph.json", format="spdx").document)
    assert {item.checksums[0].value for item in parsed.packages[1:]} == {info.nar_hash.hex for info in infos}


def test_an_image_is_described_with_the_hashes_of_a_store(store: Path, tmp_path: Path) -> None:
    lamina.build_layered_image(contents=[ROOT], store=store, output=tmp_path / "image.tar", tag="1", created="@86400")
    alone = lamina.image_sbom(tmp_path / "image.tar")
    known = lamina.image_sbom(tmp_path / "image.tar", store=store)
    assert alone.components == known.components == lamina.sbom(ROOT, store=store).components
    assert not any(item.hashes for item in read_cyclonedx(alone.document).components)
    bom = read_cyclonedx(known.document)
    assert all(item.hashes for item in bom.components)
    assert bom.metadata.timestamp == datetime(1970, 1, 2, tzinfo=UTC)
    assert bom.metadata.component
    assert (bom.metadata.component.name, bom.metadata.component.version) == ("hello", "1")
    (dependency,) = [item for item in bom.dependencies if item.ref == bom.metadata.component.bom_ref]
    assert [item.ref.value for item in dependency.dependencies] == [ROOT]


@pytest.mark.parametrize("created", ["never", None, 5])
def test_an_image_without_a_date_has_the_default_one(created: Any, tmp_path: Path) -> None:
    layers = [layer("a")]
    image = docker_archive({"a.tar": layers[0]}, config=json.loads(config(layers, created=created)))
    (tmp_path / "x.tar").write_bytes(image)
    bom = read_cyclonedx(lamina.image_sbom(tmp_path / "x.tar").document)
    assert bom.metadata.timestamp == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


def test_an_image_in_a_registry_is_described_without_its_layers() -> None:
    with serve_registry() as server:
        layout = LayoutBuilder()
        history = [{"comment": f"store paths: ['{ROOT}']"}, {"comment": "store paths: ['/nix/store/none']"}]
        add_image(server, layout, layout.image([layer("a"), layer("b")], config_more={"history": history}))
        bom = read_cyclonedx(lamina.image_sbom(f"{server.host}/me/app:1").document)
    assert [item.bom_ref.value for item in bom.components] == [ROOT]
    assert bom.metadata.component
    assert bom.metadata.component.name.endswith("/me/app")


def test_no_source_is_asked_for_contents() -> None:
    class NoContents(MemoryStore):
        def confirm_sources(self, infos: object) -> bool:
            raise AssertionError

        def nodes(self, path: object) -> NoReturn:
            raise AssertionError

    graph = closure("app-1→lib-2")
    result = lamina.sbom(str(path("app-1")), store=NoContents(graph))
    assert result.components == tuple(info.path for info in graph)


def test_the_date_can_be_chosen(store: Path) -> None:
    result = lamina.sbom(ROOT, store=store, created="2026-01-02T03:04:05Z", format="spdx")
    assert json.loads(result.document)["creationInfo"]["created"] == "2026-01-02T03:04:05Z"
    now = read_spdx(lamina.sbom(ROOT, store=store, created="now", format="spdx").document)
    assert now.creation_info.created.year >= 2025


def test_wrong_arguments_are_errors(store: Path, tmp_path: Path) -> None:
    wrong: Any = "swid"
    wrong_words: Any = {"stores": 1}
    with pytest.raises(InvalidArgument, match=r"^format: got 'swid', expected one of cyclonedx, spdx$"):
        lamina.sbom(ROOT, store=store, format=wrong)
    with pytest.raises(InvalidArgument, match=r"^format: "):
        lamina.image_sbom(tmp_path, format=wrong)
    with pytest.raises(InvalidArgument, match=r"^roots: got none"):
        lamina.sbom([], store=store)
    with pytest.raises(InvalidArgument, match=r"^created: "):
        lamina.sbom(ROOT, store=store, created="tomorrow")
    with pytest.raises(InvalidArgument, match="stores"):
        lamina.image_sbom(tmp_path / "image.tar", **wrong_words)
    with pytest.raises(NotFound):
        lamina.sbom(f"/nix/store/{'1' * 32}-none", store=store)
