"""Store paths in a config or in files that a script wrote: every kind of store finds them, whatever text follows."""

import io
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support import factories
from tests.support.binary_cache import KEY, OTHER, Cache, answer_404, serve_cache
from tests.support.fake_nix_store import FakeStore, run, write_graph

import lamina
from lamina.core.names import StorePath
from lamina.core.nodes import Node
from lamina.core.pathinfo import PathInfo
from lamina.errors import FormatError, IntegrityError
from lamina.stores.binary_cache.trust import Trust
from lamina.stores.chained import ChainedStore
from lamina.stores.embedded.store import EmbeddedStore
from lamina.stores.local.database import LocalStore
from lamina.stores.open import StoreAccess, open_stores
from lamina.stores.store import adapt_store

APP, LIB, AGENT = factories.path("app-1.0"), factories.path("lib_a+b?-2"), factories.path("agent-1.0.jar")
MISSING = factories.path("gone-1")
FOLLOWING_TEXTS = [
    "",
    "=9404",
    ".",
    "?",
    ",",
    ":9404",
    "+",
    "_x",
    "-",
    "'",
    '"',
    "/x",
    "/",
    " ",
    "\n",
    "é",
    "%",
    "=" * 300,
    ".jar",
]
ADJACENT_MENTIONS = [f"{AGENT}{between}{LIB}." for between in ("", "=", ".", ":", "-javaagent:", ",", "/", "?", "é")]


@dataclass
class SourceStores:
    """The same three paths in a binary cache and in a Nix store on disk."""

    cache: Cache
    disk: FakeStore
    folder: Path


class MinimalStore:
    """A store with only the two methods that every store has."""

    def __init__(self, store: FakeStore) -> None:
        self._store = LocalStore(store.root)
        self._infos = dict(self._store.query(store.numbers))

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        return {path: self._infos[path] for path in paths if path in self._infos}

    def nodes(self, path: StorePath) -> tuple[Node, ...]:
        return tuple(self._store.nodes(path))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> SourceStores:
    folder = tmp_path_factory.mktemp("world")
    cache = Cache(folder / "cache")
    cache.add("app-1.0", {b"file": factories.File(b"app\n")})
    cache.add("lib_a+b?-2", {b"file": factories.File(b"lib\n")})
    cache.add("agent-1.0.jar", factories.File(b"agent\n"))
    return SourceStores(cache, cache.on_disk(folder / "disk"), folder)


def make_access(folder: Path, stack: ExitStack) -> StoreAccess:
    return StoreAccess(embedded_store=folder / "kept", trust=lambda: Trust((KEY.public,)), resources=stack)


def _database(sources: SourceStores, folder: Path, stack: ExitStack) -> Any:
    return [str(sources.disk.root)]


def _graph(sources: SourceStores, folder: Path, stack: ExitStack) -> Any:
    return [str(write_graph(sources.disk, folder / "graph.json")), str(sources.disk.root)]


def _cache(sources: SourceStores, folder: Path, stack: ExitStack) -> Any:
    return [sources.cache.url]


def _cache_over_http(sources: SourceStores, folder: Path, stack: ExitStack) -> Any:
    return [stack.enter_context(serve_cache(sources.cache.folder)).url]


def _embedded(sources: SourceStores, folder: Path, stack: ExitStack) -> Any:
    mentions = [str(path) for path in (LIB, AGENT)]
    stream = lamina.stream_layered_image(
        contents=[str(APP)], closure=mentions, store=[sources.cache.url], **common_options(folder, "embedded")
    )
    stream.write_to(io.BytesIO())
    return [folder / "embedded"]


def _minimal_store(sources: SourceStores, folder: Path, stack: ExitStack) -> Any:
    return MinimalStore(sources.disk)


def _empty_store_then_cache(sources: SourceStores, folder: Path, stack: ExitStack) -> Any:
    return [str(FakeStore(folder / "empty").root), sources.cache.url]


def _empty_cache_then_embedded(sources: SourceStores, folder: Path, stack: ExitStack) -> Any:
    return [Cache(folder / "nothing").url, *_embedded(sources, folder, stack)]


def _minimal_store_then_cache(sources: SourceStores, folder: Path, stack: ExitStack) -> Any:
    empty = FakeStore(folder / "empty")
    return ChainedStore(
        [
            adapt_store(MinimalStore(empty)),
            open_stores([sources.cache.url], make_access(folder, stack)),
        ]
    )


def _minimal_cache(sources: SourceStores, folder: Path, stack: ExitStack) -> Any:
    inner = open_stores([sources.cache.url], make_access(folder, stack))

    class MinimalCache:
        query = staticmethod(inner.query)
        nodes = staticmethod(inner.nodes)

    return MinimalCache()


KINDS: list[Callable[[SourceStores, Path, ExitStack], Any]] = [
    _database,
    _graph,
    _cache,
    _cache_over_http,
    _embedded,
    _minimal_store,
    _empty_store_then_cache,
    _empty_cache_then_embedded,
    _minimal_store_then_cache,
    _minimal_cache,
]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__[1:].replace("_", " "))
def store(request: pytest.FixtureRequest, sources: SourceStores, tmp_path: Path) -> Iterator[Any]:
    with ExitStack() as stack:
        yield request.param(sources, tmp_path, stack)


def common_options(folder: Path, embedded: str = "own") -> dict[str, Any]:
    return {"embedded_store": folder / embedded, "trusted_keys": [str(KEY.public)]}


def plan_paths(store: Any, folder: Path, *texts: str) -> tuple[set[StorePath], tuple[str, ...]]:
    """Return the paths of an image whose config has ``texts``, and the warnings."""
    config = {"Env": [f"A{number}={text}" for number, text in enumerate(texts)]}
    found = lamina.plan_layered_image(contents=[str(APP)], store=store, config=config, **common_options(folder))
    return {path for plan in found.layers for path in plan.paths}, found.warnings


def test_a_mention_is_found_whatever_text_follows(store: Any, tmp_path: Path) -> None:
    for following_text in FOLLOWING_TEXTS:
        assert plan_paths(store, tmp_path, f"-javaagent:{AGENT}{following_text}") == ({APP, AGENT}, ()), following_text
    assert plan_paths(store, tmp_path, *(f"{LIB}{following_text}" for following_text in FOLLOWING_TEXTS)) == (
        {APP, LIB},
        (),
    )


def test_mentions_in_a_row_are_all_found(store: Any, tmp_path: Path) -> None:
    for row in ADJACENT_MENTIONS:
        assert plan_paths(store, tmp_path, row) == ({APP, AGENT, LIB}, ()), row


def test_a_mention_that_no_store_has_is_a_warning(store: Any, tmp_path: Path) -> None:
    paths, warnings = plan_paths(store, tmp_path, f"{MISSING}=1", f"{AGENT}=1")
    assert paths == {APP, AGENT}
    assert warnings == (f"{MISSING}=1: mentioned by the config or the root, but not valid in the store; left out",)


def test_a_mention_that_a_script_wrote_is_found_whatever_text_follows(store: Any, tmp_path: Path) -> None:
    script = f"printf '%s' '{AGENT}=9404:/config {LIB}.{MISSING}' > options; ln -s {LIB}/file link"
    image = lamina.stream_layered_image(
        contents=[str(APP)], store=store, extra_commands=script, **common_options(tmp_path)
    )
    assert {path for plan in image.draft.plans for path in plan.paths} == {APP, AGENT, LIB}
    assert image.warnings == (f"{MISSING}: mentioned by the config or the root, but not valid in the store; left out",)
    image.write_to(io.BytesIO())


def test_a_cache_is_queried_once_per_mention_and_by_hash(sources: SourceStores, tmp_path: Path) -> None:
    with serve_cache(sources.cache.folder) as server:
        paths, _ = plan_paths([server.url], tmp_path, f"{AGENT}=1", f"{AGENT}.2", f"{MISSING}=")
    assert paths == {APP, AGENT}
    assert sorted(server.asked) == sorted(
        ["nix-cache-info", *(f"{path.hash}.narinfo" for path in (APP, AGENT, MISSING))]
    )


def test_a_mention_that_the_first_cache_lacks_is_found_in_the_second(sources: SourceStores, tmp_path: Path) -> None:
    with serve_cache(sources.cache.folder, {f"{AGENT.hash}.narinfo": answer_404}) as first:
        paths, warnings = plan_paths([first.url, sources.cache.url], tmp_path, f"{AGENT}=1")
    assert (paths, warnings) == ({APP, AGENT}, ())


def test_a_mention_without_a_trusted_signature_is_refused(tmp_path: Path) -> None:
    """If it were left out, the path would be missing in the container."""
    cache = Cache(tmp_path / "cache")
    cache.add("app-1.0", {b"file": factories.File(b"app\n")})
    cache.sign(cache.add("agent-1.0.jar", factories.File(b"agent\n")), OTHER)
    with pytest.raises(IntegrityError, match=str(AGENT)):
        plan_paths([cache.url], tmp_path, f"{AGENT}=1")


def test_a_damaged_narinfo_of_a_mention_in_the_embedded_store_is_replaced_by_the_caches(
    sources: SourceStores, tmp_path: Path
) -> None:
    folder = tmp_path / "own"
    EmbeddedStore.open_or_create(folder)
    for path, text in ((AGENT, "damaged"), (LIB, sources.cache.narinfo_of(APP).read_text())):
        (folder / f"{path.hash}.narinfo").write_text(text)
    assert plan_paths([sources.cache.url], tmp_path, f"{AGENT}=1", f"{LIB}=1", AGENT.hash)[0] == {APP, AGENT, LIB}
    with pytest.raises(FormatError, match=AGENT.hash):
        EmbeddedStore(folder).resolve_mentions([AGENT])
    assert EmbeddedStore(folder).with_hashes([LIB.hash]) == ()
    assert EmbeddedStore(folder).find("app") == ()


def test_garbage_collection_keeps_the_paths_that_an_image_of_the_spec_would_contain(
    sources: SourceStores, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        (folder,) = _embedded(sources, tmp_path, stack)
    spec = tmp_path / "lamina.toml"
    spec.write_text(f'[x]\nname = "x"\nconfig.Env = ["A=-javaagent:{AGENT}=9404", "B={APP.hash}"]\n')
    ran = run("store", "gc", spec, "--store", folder)
    assert ran.code == 0, ran.stderr
    assert {known.info.path for known in EmbeddedStore(folder).narinfos()} == {APP, AGENT}


def test_a_store_without_an_index_is_queried_for_all_prefixes(sources: SourceStores) -> None:
    asked: list[Collection[StorePath]] = []

    class RecordingStore(MinimalStore):
        def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
            asked.append(paths)
            return super().query(paths)

    mention = StorePath(f"{AGENT.base}=9404")
    assert adapt_store(RecordingStore(sources.disk)).resolve_mentions([mention]) == {mention: AGENT}
    assert len(asked) == 1
    assert set(asked[0]) == {StorePath(mention.base[:end]) for end in range(34, len(mention.base) + 1)}


def test_without_mentions_the_store_is_not_queried(sources: SourceStores) -> None:
    class FailingStore(MinimalStore):
        def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
            raise AssertionError

    assert adapt_store(FailingStore(sources.disk)).resolve_mentions([]) == {}
