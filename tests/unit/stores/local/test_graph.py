"""A closure graph as a store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.fake_nix_store import (
    FakeStore,
    example,
    store_path,
    write_graph,
)

from lamina.core.closure import Closure
from lamina.errors import FormatError, NotFound
from lamina.stores.local.graph import GraphStore
from lamina.stores.open import open_stores


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


@pytest.fixture
def graph(store: FakeStore, tmp_path: Path) -> Path:
    return write_graph(store, tmp_path / "graph.json")


HELLO = store_path("hello-2.12.1")
SHELL = store_path("sh-5")


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[1]", '{"a": 1}', '"x"', "[" * 100_000, "\0", '[{"path": "/etc"}]', "[NaN]"],
)
def test_a_broken_graph_names_its_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "graph.json"
    file.write_text(text)
    with pytest.raises(FormatError, match=rf"^{file}: closure graph: ") as caught:
        open_stores([str(file)])
    assert "\n" not in str(caught.value)


def test_a_graph_of_other_bytes_is_a_format_error(tmp_path: Path) -> None:
    file = tmp_path / "graph.json"
    file.write_bytes(b"\x1f\x8b\x08\x00\xff\xfe")
    with pytest.raises(FormatError, match=rf"^{file}: closure graph: "):
        open_stores([str(file)])


def test_a_path_that_refers_outside_the_graph_is_not_found(graph: Path) -> None:
    infos = [item for item in json.loads(graph.read_text()) if "sh-5" not in item["path"]]
    graph.write_text(json.dumps(infos))
    with pytest.raises(NotFound, match=rf"{SHELL}: got no such valid path in the store, expected it, because"):
        Closure.resolve([HELLO], open_stores([str(graph)]).query)


def test_a_graph_finds_names_and_hashes(graph: Path) -> None:
    known = GraphStore(graph)
    assert known.find("hello") == known.find("hello-2.12.1") == (HELLO,)
    assert known.find("hell") == ()
    assert known.with_hashes({HELLO.hash, "0" * 32}) == (HELLO,)
    assert known.names() == {"hello-2.12.1", "libgreet-1.0", "sh-5", "words-2.1-data"}


def test_a_derivation_in_a_graph_is_not_what_its_name_means(graph: Path) -> None:
    infos = json.loads(graph.read_text())
    derivation = store_path("hello-2.12.1.drv")
    graph.write_text(json.dumps([*infos, {**infos[0], "path": str(derivation), "references": []}]))
    assert GraphStore(graph).find("hello") == (HELLO,)


def test_a_graph_has_no_contents(graph: Path) -> None:
    with pytest.raises(
        NotFound, match=rf"{HELLO}: got a closure graph, {graph}, expected a store that has the contents"
    ):
        GraphStore(graph).nodes(HELLO)
