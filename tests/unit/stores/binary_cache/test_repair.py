"""Repairs of the embedded store from binary caches."""

from functools import partial
from pathlib import Path

import pytest
from tests.support import factories
from tests.support.binary_cache import KEY, Cache

from lamina.core.names import StorePath
from lamina.stores.binary_cache.cache import BinaryCache
from lamina.stores.binary_cache.fetch import Fetcher
from lamina.stores.binary_cache.repair import RepairResult, repair_paths
from lamina.stores.binary_cache.substituter import SubstitutingStore
from lamina.stores.binary_cache.trust import Trust
from lamina.stores.embedded.store import EmbeddedStore, nar_name
from lamina.stores.embedded.verify import check_store
from lamina.transports.open import open_transport

TRUST = Trust((KEY.public,))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def app(cache: Cache) -> StorePath:
    lib = cache.add("lib-1", {b"x": factories.File(b"lib\n")})
    return cache.add("app-1.0", {b"x": factories.File(b"app\n")}, [lib])


@pytest.fixture
def folder(tmp_path: Path, cache: Cache, app: StorePath) -> Path:
    """An embedded store that has both paths."""
    with EmbeddedStore.open_or_create(tmp_path / "store") as target:
        fetcher = Fetcher(target)
        store = SubstitutingStore(fetcher, open_cache(cache), TRUST)
        for path in store.query(cache.trees):
            store.location(path)
        fetcher.close()
    return tmp_path / "store"


def open_cache(cache: Cache) -> BinaryCache:
    return BinaryCache(partial(open_transport, cache.url), TRUST)


def repair(folder: Path, *caches: Cache) -> RepairResult:
    with EmbeddedStore(folder) as target:
        damaged = check_store(target).damaged
    return repair_paths(folder, damaged, [open_cache(cache) for cache in caches], TRUST)


def count_damage(folder: Path) -> int:
    with EmbeddedStore(folder) as target:
        return len(check_store(target).damaged)


def overwrite_nar(folder: Path, cache: Cache, path: StorePath) -> None:
    file = folder / nar_name(cache.narinfos[path].info.nar_hash)
    file.chmod(0o600)
    file.write_bytes(b"x" * file.stat().st_size)


def test_a_damaged_nar_is_replaced(folder: Path, cache: Cache, app: StorePath) -> None:
    overwrite_nar(folder, cache, app)
    assert count_damage(folder) == 1
    result = repair(folder, cache)
    assert ([damage.hash for damage in result.repaired], result.remaining, result.warnings) == ([app.hash], (), ())
    assert count_damage(folder) == 0


@pytest.mark.parametrize("text", ["garbage", "StorePath: {app}\ngarbage"])
def test_a_damaged_narinfo_is_replaced(folder: Path, cache: Cache, app: StorePath, text: str) -> None:
    file = folder / f"{app.hash}.narinfo"
    file.chmod(0o600)
    file.write_text(text.format(app=app))
    assert [damage.hash for damage in repair(folder, cache).repaired] == [app.hash]
    assert count_damage(folder) == 0


def test_a_missing_reference_is_fetched(folder: Path, cache: Cache, app: StorePath) -> None:
    (lib,) = cache.narinfos[app].info.references
    (folder / f"{lib.hash}.narinfo").unlink()
    assert [damage.hash for damage in repair(folder, cache).repaired] == [lib.hash]
    assert count_damage(folder) == 0


def test_what_no_cache_has_stays_as_it_is(folder: Path, cache: Cache, app: StorePath, tmp_path: Path) -> None:
    overwrite_nar(folder, cache, app)
    nar = folder / nar_name(cache.narinfos[app].info.nar_hash)
    before = nar.read_bytes()
    result = repair(folder, Cache(tmp_path / "empty"))
    assert ([damage.hash for damage in result.remaining], result.repaired) == ([app.hash], ())
    assert nar.read_bytes() == before


def test_the_next_cache_is_asked_if_the_first_one_is_broken(
    folder: Path, cache: Cache, app: StorePath, tmp_path: Path
) -> None:
    overwrite_nar(folder, cache, app)
    broken = Cache(tmp_path / "broken")
    broken.add("app-1.0", cache.trees[app], cache.narinfos[app].info.references, file=b"garbage")
    result = repair(folder, broken, cache)
    assert [damage.hash for damage in result.repaired] == [app.hash]
    assert any("the next store is asked" in warning for warning in result.warnings)
