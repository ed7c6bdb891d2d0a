"""Copies of a store on this machine into the embedded store."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.fake_nix_store import FakeStore, example, store_path

from lamina.errors import NotFound
from lamina.stores.binary_cache.copying import CopyingStore
from lamina.stores.binary_cache.fetch import Fetcher
from lamina.stores.chained import ChainedStore
from lamina.stores.embedded.store import EmbeddedStore
from lamina.stores.local.database import LocalStore
from lamina.system.transfer import hash_pieces

HELLO = store_path("hello-2.12.1")


@pytest.fixture
def disk(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


@pytest.fixture
def fetcher(tmp_path: Path) -> Iterator[Fetcher]:
    with EmbeddedStore.open_or_create(tmp_path / "store") as store, closing(Fetcher(store)) as fetcher:
        yield fetcher


def copying_store(disk: FakeStore, fetcher: Fetcher) -> CopyingStore:
    return CopyingStore(fetcher, ChainedStore([LocalStore(disk.root)]))


def test_a_queried_path_can_be_fetched(disk: FakeStore, fetcher: Fetcher) -> None:
    store = copying_store(disk, fetcher)
    info = store.query([HELLO])[HELLO]
    assert fetcher.is_registered(HELLO)
    fetcher.wait(HELLO)
    assert fetcher.received == {HELLO}
    assert fetcher.store.contains_nar(info.nar_hash, info.nar_size)


def test_a_path_that_is_there_already_is_not_copied_again(disk: FakeStore, fetcher: Fetcher) -> None:
    store = copying_store(disk, fetcher)
    closure = store.query(disk.numbers)
    for path in closure:
        fetcher.wait(path)
    assert fetcher.store.query(closure) == closure
    with closing(Fetcher(fetcher.store)) as other:
        copying_store(disk, other).query(closure)
        assert not any(map(other.is_registered, closure))


def test_the_nar_of_a_path_is_that_of_its_nodes(disk: FakeStore, fetcher: Fetcher) -> None:
    store = copying_store(disk, fetcher)
    info = store.query([HELLO])[HELLO]
    narinfo = fetcher.narinfo(HELLO)
    assert narinfo
    assert hash_pieces([b"".join(store.stream_nar(narinfo))]).digest == info.nar_hash
    assert store.trusts_nar_hash(narinfo)


def test_names_and_contents_are_those_of_the_store(disk: FakeStore, fetcher: Fetcher) -> None:
    store, local = copying_store(disk, fetcher), LocalStore(disk.root)
    assert (store.find("hello"), store.hashes()) == (local.find("hello"), local.hashes())
    assert [*store.nodes(HELLO)] == [*local.nodes(HELLO)]


def test_a_path_that_no_other_store_has_cannot_fall_back(disk: FakeStore, fetcher: Fetcher) -> None:
    store = copying_store(disk, fetcher)
    store.query([HELLO])
    assert not store.has_fallback(HELLO)
    error = NotFound(HELLO, got="nothing there", expected="a store path")
    with pytest.raises(NotFound) as caught:
        store.fall_back({HELLO: error})
    assert caught.value is error
