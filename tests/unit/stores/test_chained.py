"""Several stores as one."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.fake_nix_store import (
    FakeStore,
    Program,
    SymlinkTo,
    example,
    put,
    store_path,
    write_graph,
)

from lamina.core.names import StorePath
from lamina.core.nodes import Regular
from lamina.errors import NotFound, Unavailable
from lamina.stores.chained import ChainedStore
from lamina.stores.local.database import LocalStore
from lamina.stores.local.folder import FolderStore
from lamina.stores.local.graph import GraphStore
from lamina.stores.store import Store


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


@pytest.fixture
def graph(store: FakeStore, tmp_path: Path) -> Path:
    return write_graph(store, tmp_path / "graph.json")


HELLO = store_path("hello-2.12.1")
SHELL = store_path("sh-5")


def names(store: Store, *paths: StorePath) -> set[str]:
    return {path.name for path in store.query(paths)}


@pytest.fixture
def other(tmp_path: Path) -> FakeStore:
    """A store where one of the paths has other contents, and one is new."""
    other = FakeStore(tmp_path / "other")
    other.add("sh-5", {"bin": {"sh": Program(b"another shell"), "more": SymlinkTo("sh")}})
    other.add("extra-1", b"extra")
    return other


def test_the_first_store_that_has_a_path_answers_for_it(store: FakeStore, other: FakeStore) -> None:
    both = ChainedStore([LocalStore(store.root), LocalStore(other.root)])
    reverse = ChainedStore([LocalStore(other.root), LocalStore(store.root)])
    assert both.query([SHELL])[SHELL] == LocalStore(store.root).query([SHELL])[SHELL]
    assert reverse.query([SHELL])[SHELL] == LocalStore(other.root).query([SHELL])[SHELL]
    assert names(both, HELLO, SHELL, store_path("extra-1")) == {"hello-2.12.1", "sh-5", "extra-1"}


def test_contents_come_from_the_store_that_vouched_for_the_path(store: FakeStore, other: FakeStore) -> None:
    extra = store_path("extra-1")
    put(store.location(extra), b"not valid here")
    both = ChainedStore([LocalStore(store.root), LocalStore(other.root)])
    assert both.query([extra])
    (node,) = both.nodes(extra)
    assert isinstance(node, Regular)
    assert node.size == len(b"extra")


def test_the_first_store_that_has_the_name_decides_what_it_means(store: FakeStore, other: FakeStore) -> None:
    newer = other.add("hello-3", b"")
    assert ChainedStore([LocalStore(store.root), LocalStore(other.root)]).find("hello") == (HELLO,)
    assert ChainedStore([LocalStore(other.root), LocalStore(store.root)]).find("hello") == (newer,)
    assert ChainedStore([LocalStore(other.root), LocalStore(store.root)]).find("words") == (
        store_path("words-2.1-data"),
    )
    assert ChainedStore([]).find("hello") == ()


def test_hashes_are_looked_up_in_every_store(store: FakeStore, other: FakeStore, graph: Path) -> None:
    every = ChainedStore([GraphStore(graph), LocalStore(store.root), FolderStore(store.root), LocalStore(other.root)])
    wanted = {HELLO.hash, SHELL.hash, store_path("extra-1").hash}
    assert sorted(every.with_hashes(wanted)) == sorted([HELLO, SHELL, store_path("extra-1")])
    assert {"hello-2.12.1", "extra-1"} <= set(every.names())


def test_a_store_that_fails_lists_no_names(store: FakeStore) -> None:
    broken = LocalStore(store.root)
    store.database.write_bytes(b"not a database")
    assert ChainedStore([broken]).names() == set()


def test_no_store_has_the_contents_of_a_path_that_none_knows(store: FakeStore) -> None:
    with pytest.raises(NotFound, match=rf"^{store.root}/nix/store/.*-other: got nothing there, expected a store path"):
        ChainedStore([LocalStore(store.root)]).nodes(store_path("other"))
    with pytest.raises(NotFound, match="got no store that has its contents, expected one"):
        ChainedStore([]).nodes(store_path("other"))


def test_a_warning_says_that_the_next_store_is_asked_only_if_there_is_one(store: FakeStore, other: FakeStore) -> None:
    store.database.write_bytes(b"garbage" * 1000)
    warnings: list[str] = []
    chained = ChainedStore([LocalStore(store.root), LocalStore(other.root)], warn=warnings.append)
    assert chained.find("extra") == (store_path("extra-1"),)
    assert [text.endswith("; the next store is asked") for text in warnings] == [True]
    warnings.clear()
    with pytest.raises(Unavailable):
        ChainedStore([LocalStore(store.root)], warn=warnings.append).find("extra")
    assert warnings == []
