"""Store paths in a config or in what a script wrote: each kind of store finds them, whatever text follows."""

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
from lamina.stores.mention_lookup import resolve_mentions
from lamina.stores.open import StoreAccess, open_stores

APP, LIB, AGENT = factories.path("app-1.0"), factories.path("lib_a+b?-2"), factories.path("agent-1.0.jar")
GONE = factories.path("gone-1")
BEHIND = [
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
ROWS = [f"{AGENT}{between}{LIB}." for between in ("", "=", ".", ":", "-javaagent:", ",", "/", "?", "é")]


@dataclass
class World:
    """The same three paths in a binary cache and on disk, and a folder for what a test writes."""

    cache: Cache
    disk: FakeStore
    folder: Path


class Memory:
    """A store with the two methods that every store has."""

    def __init__(self, store: FakeStore) -> None:
        self._store = LocalStore(store.root)
        self._infos = dict(self._store.query(store.numbers))

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        return {path: self._infos[path] for path in paths if path in self._infos}

    def nodes(self, path: StorePath) -> tuple[Node, ...]:
        return tuple(self._store.nodes(path))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    cache = Cache(folder / "cache")
    cache.add("app-1.0", {b"file": factories.File(b"app\n")})
    cache.add("lib_a+b?-2", {b"file": factories.File(b"lib\n")})
    cache.add("agent-1.0.jar", factories.File(b"agent\n"))
    return World(cache, cache.on_disk(folder / "disk"), folder)


def trusting() -> Trust:
    return Trust((KEY.public,))


def _database(world: World, folder: Path, stack: ExitStack) -> Any:
    return [str(world.disk.root)]


def _graph(world: World, folder: Path, stack: ExitStack) -> Any:
    return [str(write_graph(world.disk, folder / "graph.json")), str(world.disk.root)]


def _cache(world: World, folder: Path, stack: ExitStack) -> Any:
    return [world.cache.url]


def _cache_over_http(world: World, folder: Path, stack: ExitStack) -> Any:
    return [stack.enter_context(serve_cache(world.cache.folder)).url]


def _embedded(world: World, folder: Path, stack: ExitStack) -> Any:
    mentions = [str(path) for path in (LIB, AGENT)]
    stream = lamina.stream_layered_image(
        contents=[str(APP)], closure=mentions, store=[world.cache.url], **common(folder, "embedded")
    )
    stream.write_to(io.BytesIO())
    return [folder / "embedded"]


def _memory(world: World, folder: Path, stack: ExitStack) -> Any:
    return Memory(world.disk)


def _empty_store_then_cache(world: World, folder: Path, stack: ExitStack) -> Any:
    return [str(FakeStore(folder / "empty").root), world.cache.url]


def _empty_cache_then_embedded(world: World, folder: Path, stack: ExitStack) -> Any:
    return [Cache(folder / "nothing").url, *_embedded(world, folder, stack)]


def _memory_then_cache(world: World, folder: Path, stack: ExitStack) -> Any:
    empty = FakeStore(folder / "empty")
    return ChainedStore(
        [Memory(empty), open_stores([world.cache.url], StoreAccess(embedded_store=folder / "kept", trust=trusting))]
    )


def _cache_of_two_methods(world: World, folder: Path, stack: ExitStack) -> Any:
    inner = open_stores([world.cache.url], StoreAccess(embedded_store=folder / "kept", trust=trusting))

    class Wrapped:
        query = staticmethod(inner.query)
        nodes = staticmethod(inner.nodes)

    return Wrapped()


KINDS: list[Callable[[World, Path, ExitStack], Any]] = [
    _database,
    _graph,
    _cache,
    _cache_over_http,
    _embedded,
    _memory,
    _empty_store_then_cache,
    _empty_cache_then_embedded,
    _memory_then_cache,
    _cache_of_two_methods,
]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__[1:].replace("_", " "))
def store(request: pytest.FixtureRequest, world: World, tmp_path: Path) -> Iterator[Any]:
    with ExitStack() as stack:
        yield request.param(world, tmp_path, stack)


def common(folder: Path, embedded: str = "own") -> dict[str, Any]:
    return {"embedded_store": folder / embedded, "trusted_keys": [str(KEY.public)]}


def planned(store: Any, folder: Path, *texts: str) -> tuple[set[StorePath], tuple[str, ...]]:
    """The paths of an image whose config has ``texts``, and the warnings."""
    config = {"Env": [f"A{number}={text}" for number, text in enumerate(texts)]}
    found = lamina.plan_layered_image(contents=[str(APP)], store=store, config=config, **common(folder))
    return {path for plan in found.layers for path in plan.paths}, found.warnings


def test_a_mention_is_found_whatever_text_follows(store: Any, tmp_path: Path) -> None:
    for behind in BEHIND:
        assert planned(store, tmp_path, f"-javaagent:{AGENT}{behind}") == ({APP, AGENT}, ()), behind
    assert planned(store, tmp_path, *(f"{LIB}{behind}" for behind in BEHIND)) == ({APP, LIB}, ())


def test_mentions_in_a_row_are_all_found(store: Any, tmp_path: Path) -> None:
    for row in ROWS:
        assert planned(store, tmp_path, row) == ({APP, AGENT, LIB}, ()), row


def test_what_no_store_knows_is_a_warning(store: Any, tmp_path: Path) -> None:
    paths, warnings = planned(store, tmp_path, f"{GONE}=1", f"{AGENT}=1")
    assert paths == {APP, AGENT}
    assert warnings == (f"{GONE}=1: mentioned by the config or the root, but not valid in the store; left out",)


def test_a_mention_that_a_script_wrote_is_found_whatever_text_follows(store: Any, tmp_path: Path) -> None:
    script = f"printf '%s' '{AGENT}=9404:/config {LIB}.{GONE}' > options; ln -s {LIB}/file link"
    made = lamina.stream_layered_image(contents=[str(APP)], store=store, extra_commands=script, **common(tmp_path))
    assert {path for plan in made.draft.plans for path in plan.paths} == {APP, AGENT, LIB}
    assert made.warnings == (f"{GONE}: mentioned by the config or the root, but not valid in the store; left out",)
    made.write_to(io.BytesIO())


def test_a_mention_is_asked_of_a_cache_once_and_by_its_hash(world: World, tmp_path: Path) -> None:
    with serve_cache(world.cache.folder) as server:
        paths, _ = planned([server.url], tmp_path, f"{AGENT}=1", f"{AGENT}.2", f"{GONE}=")
    assert paths == {APP, AGENT}
    assert sorted(server.asked) == sorted(["nix-cache-info", *(f"{path.hash}.narinfo" for path in (APP, AGENT, GONE))])


def test_a_cache_that_knows_nothing_of_a_mention_is_asked_no_more(world: World, tmp_path: Path) -> None:
    with serve_cache(world.cache.folder, {f"{AGENT.hash}.narinfo": answer_404}) as first:
        paths, warnings = planned([first.url, world.cache.url], tmp_path, f"{AGENT}=1")
    assert (paths, warnings) == ({APP, AGENT}, ())


def test_a_mention_that_a_cache_has_and_nobody_signed_is_refused(tmp_path: Path) -> None:
    """Left out, it would be missing in the container."""
    cache = Cache(tmp_path / "cache")
    cache.add("app-1.0", {b"file": factories.File(b"app\n")})
    cache.sign(cache.add("agent-1.0.jar", factories.File(b"agent\n")), OTHER)
    with pytest.raises(IntegrityError, match=str(AGENT)):
        planned([cache.url], tmp_path, f"{AGENT}=1")


def test_a_damaged_narinfo_of_a_mention_in_the_embedded_store_is_replaced_by_the_caches(
    world: World, tmp_path: Path
) -> None:
    folder = tmp_path / "own"
    EmbeddedStore.open_or_create(folder)
    for path, text in ((AGENT, "damaged"), (LIB, world.cache.narinfo_of(APP).read_text())):
        (folder / f"{path.hash}.narinfo").write_text(text)
    assert planned([world.cache.url], tmp_path, f"{AGENT}=1", f"{LIB}=1", AGENT.hash)[0] == {APP, AGENT, LIB}
    with pytest.raises(FormatError, match=AGENT.hash):
        resolve_mentions(EmbeddedStore(folder), [AGENT])
    assert EmbeddedStore(folder).with_hashes([LIB.hash]) == ()
    assert EmbeddedStore(folder).find("app") == ()


def test_garbage_collection_keeps_what_an_image_of_the_spec_would_hold(world: World, tmp_path: Path) -> None:
    with ExitStack() as stack:
        (folder,) = _embedded(world, tmp_path, stack)
    spec = tmp_path / "lamina.toml"
    spec.write_text(f'[x]\nname = "x"\nconfig.Env = ["A=-javaagent:{AGENT}=9404", "B={APP.hash}"]\n')
    ran = run("store", "gc", spec, "--store", folder)
    assert ran.code == 0, ran.stderr
    assert {known.info.path for known in EmbeddedStore(folder).narinfos()} == {APP, AGENT}


def test_a_store_of_two_methods_is_asked_for_the_longest_name_first(world: World) -> None:
    asked: list[Collection[StorePath]] = []

    class Asked(Memory):
        def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
            asked.append(paths)
            return super().query(paths)

    spelt = StorePath(f"{AGENT.base}=9404")
    assert resolve_mentions(Asked(world.disk), [spelt]) == {spelt: AGENT}
    assert len(asked) == 1
    assert set(asked[0]) == {StorePath(spelt.base[:end]) for end in range(34, len(spelt.base) + 1)}


def test_no_mention_asks_nothing(world: World) -> None:
    class Unasked(Memory):
        def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
            raise AssertionError

    assert resolve_mentions(Unasked(world.disk), []) == {}
