"""Listings and names of a store are kept in memory, up to a number of nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from tests.support.factories import path

from lamina.core.names import StorePath
from lamina.core.nodes import Directory, Node
from lamina.core.pathinfo import PathInfo
from lamina.stores.memoized import MemoizedStore
from lamina.stores.store import Store


class CountingStore(Store):
    """A store with three folders in each path, which counts what it is asked."""

    def __init__(self) -> None:
        self.asked: Counter[object] = Counter()
        self.known: dict[str, tuple[StorePath, ...]] = {}

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        return {}

    def nodes(self, path: StorePath) -> Iterable[Node]:
        self.asked[path] += 1
        return (Directory(name) for name in (b"", b"bin", b"lib"))

    def find(self, name: str) -> tuple[StorePath, ...]:
        self.asked[name] += 1
        return self.known.get(name, ())

    def hashes(self) -> Collection[str]:
        self.asked["hashes"] += 1
        return {"0" * 32}


A, B, C = (path(name) for name in "abc")


def test_a_path_is_listed_once_and_its_nodes_can_be_read_again() -> None:
    store = MemoizedStore(counting := CountingStore())
    listings = [tuple(store.nodes(A)) for _ in range(3)]
    assert listings[0] == listings[2] == (Directory(b""), Directory(b"bin"), Directory(b"lib"))
    assert counting.asked[A] == 1


def test_the_path_that_was_listed_longest_ago_is_forgotten_first() -> None:
    store = MemoizedStore(counting := CountingStore(), max_nodes=6)
    for listed in (A, B, A, C, A, B):
        tuple(store.nodes(listed))
    assert counting.asked == {A: 1, B: 2, C: 1}


def test_a_path_with_more_nodes_than_are_kept_is_kept_until_the_next() -> None:
    store = MemoizedStore(counting := CountingStore(), max_nodes=2)
    for listed in (A, A, B, A):
        tuple(store.nodes(listed))
    assert counting.asked == {A: 2, B: 1}


def test_names_and_hashes_are_asked_once_and_an_unknown_name_again() -> None:
    store = MemoizedStore(counting := CountingStore())
    assert store.find("hello") == ()
    counting.known["hello"] = (A,)
    assert [store.find("hello"), store.find("hello")] == [(A,), (A,)]
    assert store.hashes() == store.hashes()
    assert counting.asked == {"hello": 2, "hashes": 1}
