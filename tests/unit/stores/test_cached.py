"""A store whose listings come from the layer cache."""

from pathlib import Path

import pytest
from tests.support.factories import File, MemoryStore, info, path
from tests.support.fake_nix_store import FakeStore, example, store_path

from lamina.core.names import Digest
from lamina.core.nodes import Regular
from lamina.layer_cache.cache import LayerCache
from lamina.stores.cached import CachedStore
from lamina.stores.local.database import LocalStore
from lamina.system.locations import list_location

HELLO = store_path("hello-2.12.1")


@pytest.fixture
def disk(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


def listing_of(store: LocalStore) -> bytes:
    listing = list_location(store.location(HELLO))
    assert listing is not None
    return listing.dump()


def paths_of(store: CachedStore) -> list[bytes]:
    return [node.path for node in store.nodes(HELLO)]


def test_a_listed_path_is_not_walked(disk: FakeStore, tmp_path: Path) -> None:
    store = LocalStore(disk.root)
    before = [node.path for node in store.nodes(HELLO)]
    with LayerCache.open(tmp_path / "cache.sqlite", pytest.fail) as layer_cache:
        nar_hash = store.query([HELLO])[HELLO].nar_hash
        layer_cache.put_listing(store.location(HELLO), nar_hash, listing_of(store))
        (disk.location(HELLO) / "bin").chmod(0o755)
        (disk.location(HELLO) / "bin" / "new").write_text("")
        assert paths_of(CachedStore(store, layer_cache)) == before


def test_a_listing_of_another_hash_is_not_used(disk: FakeStore, tmp_path: Path) -> None:
    store = LocalStore(disk.root)
    with LayerCache.open(tmp_path / "cache.sqlite", pytest.fail) as layer_cache:
        layer_cache.put_listing(store.location(HELLO), Digest(bytes(32)), listing_of(store))
        (disk.location(HELLO) / "bin").chmod(0o755)
        (disk.location(HELLO) / "bin" / "new").write_text("")
        assert b"bin/new" in paths_of(CachedStore(store, layer_cache))


def test_a_store_without_locations_is_read(tmp_path: Path) -> None:
    store = MemoryStore([info("app-1.0")], {path("app-1.0"): File(b"app\n")})
    with LayerCache.open(tmp_path / "cache.sqlite", pytest.fail) as layer_cache:
        (node,) = CachedStore(store, layer_cache).nodes(path("app-1.0"))
    assert isinstance(node, Regular)
    assert node.size == 4
