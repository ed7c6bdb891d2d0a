"""A binary cache behind the embedded store."""

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from tests.support import factories
from tests.support.binary_cache import KEY, OTHER, Cache

from lamina.core.names import StorePath
from lamina.core.pathinfo import PathInfo
from lamina.errors import FormatError, IntegrityError
from lamina.stores.binary_cache.cache import BinaryCache
from lamina.stores.binary_cache.fetch import Fetcher
from lamina.stores.binary_cache.substituter import SubstitutingStore
from lamina.stores.binary_cache.trust import Trust
from lamina.stores.embedded.store import EmbeddedStore, nar_name
from lamina.transports.open import open_transport

TRUST = Trust((KEY.public,))
TREE: factories.Item = {b"x": factories.File(b"x\n")}
MISSING = factories.path("gone-1")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def fetcher(tmp_path: Path) -> Iterator[Fetcher]:
    with EmbeddedStore.open_or_create(tmp_path / "store") as store, closing(Fetcher(store)) as fetcher:
        yield fetcher


def online(cache: Cache, fetcher: Fetcher) -> SubstitutingStore:
    return SubstitutingStore(fetcher, BinaryCache(partial(open_transport, cache.url), TRUST), TRUST)


def offline(fetcher: Fetcher) -> SubstitutingStore:
    return SubstitutingStore(fetcher, None, TRUST)


def test_a_path_of_the_cache_is_fetched_when_it_is_read(cache: Cache, fetcher: Fetcher) -> None:
    app = cache.add("app-1.0", TREE)
    store = online(cache, fetcher)
    assert store.query([app, MISSING]).keys() == {app}
    assert not store.is_local(app)
    assert [node.path for node in store.nodes(app)] == [b"", b"x"]
    assert store.is_local(app)
    assert fetcher.received == {app}
    assert store.narinfo(app)


def test_a_path_in_the_embedded_store_is_not_asked_for_again(cache: Cache, fetcher: Fetcher) -> None:
    app = cache.add("app-1.0", TREE)
    first = online(cache, fetcher)
    first.query([app])
    first.location(app)
    for name in cache.folder.glob("*.narinfo"):
        name.unlink()
    assert online(cache, fetcher).query([app]).keys() == {app}
    assert offline(fetcher).query([app]).keys() == {app}
    assert (offline(fetcher).find("app"), offline(fetcher).with_hashes({app.hash})) == ((app,), (app,))


def test_a_stored_path_that_is_not_trusted_does_not_count(cache: Cache, fetcher: Fetcher) -> None:
    app = cache.add("app-1.0", TREE)
    store = online(cache, fetcher)
    store.query([app])
    store.location(app)
    stranger = SubstitutingStore(fetcher, None, Trust((OTHER.public,)))
    assert stranger.query([app]) == {}
    assert (stranger.find("app"), stranger.narinfo(app)) == ((), None)


def test_a_stored_path_without_its_nar_is_damaged_unless_the_cache_has_it(cache: Cache, fetcher: Fetcher) -> None:
    app = cache.add("app-1.0", TREE)
    store = online(cache, fetcher)
    info = store.query([app])[app]
    store.location(app)
    (fetcher.store.folder / nar_name(info.nar_hash)).unlink()
    assert dict(offline(fetcher).query_each([MISSING])) == {MISSING: None}
    ((path, result),) = offline(fetcher).query_each([app])
    assert (path, type(result)) == (app, IntegrityError)
    with pytest.raises(IntegrityError, match="got no complete NAR"):
        offline(fetcher).query([app])
    assert online(cache, fetcher).query([app]) == {app: info}


def test_one_bad_narinfo_leaves_the_answers_for_other_paths(cache: Cache, fetcher: Fetcher) -> None:
    good, bad = cache.add("good-1", TREE), cache.add("bad-1", TREE, text=lambda text: text.replace("NarHash", "Nar"))
    results = dict(online(cache, fetcher).query_each([good, bad, MISSING]))
    assert isinstance(results[good], PathInfo)
    assert isinstance(results[bad], FormatError)
    assert results[MISSING] is None


def test_a_cycle_of_references_is_the_fault_of_the_cache(cache: Cache, fetcher: Fetcher) -> None:
    one, other = factories.path("one-1"), factories.path("other-1")
    cache.add("one-1", TREE, [other])
    cache.add("other-1", TREE, [one])
    with pytest.raises(IntegrityError, match="got a cycle of references, expected none"):
        online(cache, fetcher).query([one, other])


def test_a_mention_is_found_in_the_cache_by_its_hash(cache: Cache, fetcher: Fetcher) -> None:
    app = cache.add("app-1.0", TREE)
    mention = StorePath(f"{app.base}=9404")
    assert offline(fetcher).resolve_mentions([mention]) == {}
    assert online(cache, fetcher).resolve_mentions([mention, MISSING]) == {mention: app}
