"""The base class of stores: the capabilities of a store with only two methods, and the methods that it may override."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import pytest
from tests.support import factories
from tests.support.fake_nix_store import FakeStore, example

import lamina
from lamina.core.names import StorePath
from lamina.core.nodes import Node
from lamina.core.pathinfo import PathInfo
from lamina.errors import NotFound
from lamina.stores.local.database import LocalStore
from lamina.stores.store import Store, WrappedStore, adapt_store

APP, LIB = factories.path("app-1.0"), factories.path("lib-2")
TREES = {APP: factories.File(b"app\n"), LIB: factories.File(b"lib\n")}


@pytest.fixture
def disk(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


def minimal_store() -> factories.MemoryStore:
    return factories.MemoryStore([factories.info("app-1.0"), factories.info("lib-2")], TREES)


class AnyObject:
    """An object of a caller's with only the two methods that every store has."""

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        return minimal_store().query(paths)

    def nodes(self, path: StorePath) -> Iterable[Node]:
        return minimal_store().nodes(path)


@pytest.mark.parametrize("store", [minimal_store(), adapt_store(AnyObject()), WrappedStore(minimal_store())])
def test_a_store_with_two_methods_can_do_nothing_else(store: Store) -> None:
    assert store.query([APP, factories.path("gone-1")]).keys() == {APP}
    assert [node.path for node in store.nodes(APP)] == [b""]
    assert dict(store.query_each([APP, LIB])) == store.query([APP, LIB])
    assert (store.location(APP), store.narinfo(APP)) == (None, None)
    assert (store.find("app"), set(store.hashes()), store.with_hashes({APP.hash})) == ((), set(), ())
    assert not store.names()
    store.prefetch([APP])
    assert store.is_local(APP)
    assert not store.confirm_sources(store.query([APP]).values())
    mention = StorePath(f"{APP.base}=1")
    assert store.resolve_mentions([mention]) == {mention: APP}


def test_a_store_of_the_package_is_not_adapted() -> None:
    store = minimal_store()
    assert adapt_store(store) is store


def test_adapted_stores_of_one_object_are_equal() -> None:
    store = AnyObject()
    assert adapt_store(store) == adapt_store(store) != adapt_store(AnyObject())


def test_a_wrapped_store_passes_everything_on(disk: FakeStore) -> None:
    store = LocalStore(disk.root)
    wrapped = WrappedStore(store)
    (path,) = store.find("hello")
    assert wrapped.find("hello") == (path,)
    assert wrapped.location(path) == store.location(path)
    assert wrapped.narinfo(path) == store.narinfo(path)
    assert wrapped.narinfo(path)
    assert wrapped.hashes() == store.hashes()
    assert wrapped.names() == store.names()
    assert wrapped.with_hashes([path.hash]) == (path,)
    assert wrapped.resolve_mentions([StorePath(f"{path.base}=1")]) == {StorePath(f"{path.base}=1"): path}


class NamingStore(lamina.Store):
    """A store of a caller's that also finds paths by name."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        return self._store.query(paths)

    def nodes(self, path: StorePath) -> Iterable[Node]:
        return self._store.nodes(path)

    def find(self, name: str) -> tuple[StorePath, ...]:
        return self._store.find(name.lower())


def test_a_callers_subclass_is_used_for_what_it_overrides(disk: FakeStore) -> None:
    planned = lamina.plan_layered_image(contents=["HELLO"], store=NamingStore(LocalStore(disk.root)), name="x")
    expected = lamina.plan_layered_image(contents=["hello"], store=str(disk.root), name="x")
    assert planned.layers == expected.layers
    with pytest.raises(NotFound, match="'HELLO': got no valid path of that name in the store"):
        lamina.plan_layered_image(contents=["HELLO"], store=str(disk.root), name="x")


def test_a_subclass_without_the_two_methods_cannot_be_made() -> None:
    class Incomplete(Store):
        def nodes(self, path: StorePath) -> Iterable[Node]:
            return ()

    with pytest.raises(TypeError, match="query"):
        Incomplete()  # type: ignore[abstract]
