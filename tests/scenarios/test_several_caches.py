"""If one store cannot provide a path, for whatever reason, every verb asks the next store for it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.support import factories
from tests.support.binary_cache import (
    CACHE_INFO,
    KEY,
    OTHER,
    Cache,
    CacheRequest,
    Machine,
    Script,
    answer_404,
    check_store,
    cut_short,
    example,
    send_nothing,
    serve_cache,
)
from tests.support.fake_nix_store import CompletedRun, run

import lamina
from lamina.core.names import StorePath
from lamina.stores.embedded.store import EmbeddedStore
from lamina.transports import open as opening
from lamina.transports.retry import RetryPolicy

QUICK = RetryPolicy(
    connect_timeout=2, read_timeout=0.3, rate_window=0.6, attempts=2, initial_delay=0.01, max_delay=0.05
)
STORE, INTEGRITY = 5, 6
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening.open_transport, "__defaults__", (QUICK,))


@dataclass
class World:
    """Two caches of the same paths, and a machine."""

    first: Cache
    second: Cache
    machine: Machine
    root: StorePath

    @property
    def words(self) -> StorePath:
        """A path that another path refers to."""
        return next(path for path in self.first.narinfos if path.name.startswith("words"))

    def nar(self, path: StorePath) -> Path:
        return self.first.folder / self.first.narinfos[path].url


@pytest.fixture
def world(tmp_path: Path) -> World:
    first, second = Cache(tmp_path / "first"), Cache(tmp_path / "second")
    (tmp_path / "machine").mkdir()
    root = example(first)
    example(second)
    return World(first, second, Machine(tmp_path / "machine"), root)


# --- faults of the first cache with one path


def unsigned(world: World) -> None:
    world.first.change(world.words, signatures=())


def signed_by_another(world: World) -> None:
    world.first.sign(world.words, OTHER)


def wrongly_signed(world: World) -> None:
    world.first.change(world.words, signatures=(KEY.sign("something else"),))


def damaged(world: World) -> None:
    data = bytearray(world.nar(world.words).read_bytes())
    data[len(data) // 2] ^= 1
    world.nar(world.words).write_bytes(data)


def truncated(world: World) -> None:
    os.truncate(world.nar(world.words), 20)


def empty(world: World) -> None:
    os.truncate(world.nar(world.words), 0)


def no_nar(world: World) -> None:
    world.nar(world.words).unlink()


def nar_of_another(world: World) -> None:
    os.replace(world.nar(world.root), world.nar(world.words))


def broken_narinfo(world: World) -> None:
    world.first.narinfo_of(world.words).write_text("junk")


def no_text(world: World) -> None:
    world.first.narinfo_of(world.words).write_bytes(b"\xff")


def narinfo_of_another(world: World) -> None:
    os.replace(world.first.narinfo_of(world.root), world.first.narinfo_of(world.words))


def no_narinfo(world: World) -> None:
    world.first.narinfo_of(world.words).unlink()


def unknown_compression(world: World) -> None:
    world.first.change(world.words, compression="rar")


def another_size(world: World) -> None:
    info = world.first.narinfos[world.words].info
    world.first.change(world.words, info=replace(info, nar_size=info.nar_size + 1))
    world.first.sign(world.words, KEY)


def a_url_elsewhere(world: World) -> None:
    world.first.change(world.words, url="file:///etc/passwd")


def no_cache_info(world: World) -> None:
    (world.first.folder / CACHE_INFO).unlink()


def another_store_dir(world: World) -> None:
    (world.first.folder / CACHE_INFO).write_text("StoreDir: /gnu/store\n")


def broken_cache_info(world: World) -> None:
    (world.first.folder / CACHE_INFO).write_bytes(b"\xff")


FAULTS = [
    unsigned,
    signed_by_another,
    wrongly_signed,
    damaged,
    truncated,
    empty,
    no_nar,
    nar_of_another,
    broken_narinfo,
    no_text,
    narinfo_of_another,
    no_narinfo,
    unknown_compression,
    another_size,
    a_url_elsewhere,
    no_cache_info,
    another_store_dir,
    broken_cache_info,
]
PATHS = 4


def answer_with(status: int, **headers: str) -> Script:
    return lambda asked: asked.answer(status, b"no", **headers)


def hang_up(asked: CacheRequest) -> None:
    asked.close_connection = True


ANSWERS: dict[str, Script] = {
    "400": answer_with(400),
    "401": answer_with(401, WWW_Authenticate="Basic"),
    "403": answer_with(403),
    "403 with a wish": answer_with(403, WWW_Authenticate="Basic"),
    "404": answer_404,
    "429": answer_with(429),
    "500": answer_with(500),
    "501": answer_with(501),
    "503": answer_with(503),
    "a redirect to nowhere": answer_with(302),
    "a redirect to a file": answer_with(302, Location="file:///etc/passwd"),
    "no answer": hang_up,
    "silence": send_nothing,
    "half of it": cut_short(b"x", 100),
    "another coding": answer_with(200, Content_Encoding="rot13"),
}


def flags(first: str, second: str) -> tuple[str, ...]:
    return "--store", first, "--store", second, "--trusted-key", str(KEY.public)


def fetch(world: World, first: str, second: str) -> CompletedRun:
    ran = run("store", "fetch", str(world.root), *flags(first, second), "--store", world.machine.store)
    if ran.code == 0:
        assert len(check_store(world.machine.store)) == PATHS
    return ran


def build(world: World, first: str, second: str) -> CompletedRun:
    return world.machine.build(first, world.root, flags=["--store", second])


def stream(world: World, first: str, second: str) -> CompletedRun:
    return run("stream", str(world.root), *flags(first, second), "--no-layer-cache")


def plan(world: World, first: str, second: str) -> CompletedRun:
    """Plan the image, which reads only narinfos."""
    ran = run("plan", str(world.root), *flags(first, second), "--json")
    if ran.code:
        return ran
    document = json.loads(ran.stdout)
    assert sum(len(layer["paths"]) for layer in document["layers"]) == PATHS
    return replace(ran, stderr="\n".join(document["warnings"]))


def script(world: World, first: str, second: str) -> CompletedRun:
    return run("script", str(world.root), "-o", world.machine.folder / "script", *flags(first, second))


VERBS = [fetch, build, stream, plan, script]
NAR_FAULTS = {damaged, truncated, empty, no_nar, nar_of_another, unknown_compression, another_size, a_url_elsewhere}


@pytest.fixture(autouse=True)
def home(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in world.machine.environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_the_next_cache_makes_up_for_a_fault(
    fault: Callable[[World], None], verb: Callable[[World, str, str], CompletedRun], world: World
) -> None:
    fault(world)
    ran = verb(world, world.first.url, world.second.url)
    assert ran.code == 0, ran.stderr
    is_seen = fault is not no_narinfo and not (verb is plan and fault in NAR_FAULTS - {a_url_elsewhere})
    assert ("; the next store is asked" in ran.stderr) == is_seen


@pytest.mark.parametrize("verb", [fetch, stream], ids=lambda verb: verb.__name__)
@pytest.mark.parametrize("pattern", [CACHE_INFO, ".*narinfo", "nar/.*"])
@pytest.mark.parametrize("name", ANSWERS)
def test_the_next_cache_makes_up_for_a_bad_response(
    name: str, pattern: str, verb: Callable[[World, str, str], CompletedRun], world: World
) -> None:
    with serve_cache(world.first.folder, {pattern: ANSWERS[name]}) as server:
        ran = verb(world, server.url, world.second.url)
    assert ran.code == 0, ran.stderr


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
def test_the_next_cache_makes_up_for_a_server_that_is_down(
    verb: Callable[[World, str, str], CompletedRun], world: World
) -> None:
    ran = verb(world, NOWHERE, world.second.url)
    assert ran.code == 0, ran.stderr
    assert ran.stderr.count("got Connection refused") == 1


def test_the_image_is_the_one_of_an_honest_cache(world: World) -> None:
    assert build(world, world.second.url, world.second.url).code == 0
    honest = world.machine.image.read_bytes()
    for fault in (damaged, unsigned):
        fault(world)
    world.machine.image.unlink()
    other = Machine(world.machine.folder / "other")
    other.folder.mkdir()
    ran = other.build(world.first.url, world.root, flags=["--store", world.second.url])
    assert ran.code == 0, ran.stderr
    assert other.image.read_bytes() == honest


# --- repairs


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault is not no_narinfo], ids=lambda one: one.__name__)
def test_a_repair_asks_the_next_cache_too(fault: Callable[[World], None], world: World) -> None:
    assert fetch(world, world.second.url, world.second.url).code == 0
    store = EmbeddedStore(world.machine.store)
    file = store.file(next(known for known in store.narinfos() if known.info.path == world.words))
    file.chmod(0o644)
    file.write_bytes(bytes(file.stat().st_size))
    fault(world)
    arguments = flags(world.first.url, world.second.url)
    ran = run("store", "verify", "--repair", "--store", world.machine.store, *arguments)
    assert ran.code == 0, ran.stderr
    assert "; the next store is asked" in ran.stderr
    assert len(check_store(world.machine.store)) == PATHS


# --- paths that no store has


@pytest.mark.parametrize("verb", [fetch, build, stream], ids=lambda verb: verb.__name__)
@pytest.mark.parametrize(
    ("fault", "code"),
    [(fault, INTEGRITY) for fault in (unsigned, wrongly_signed, damaged, truncated, nar_of_another, another_size)]
    + [(fault, STORE) for fault in (no_nar, broken_narinfo, no_cache_info, a_url_elsewhere)],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_one_error_has_the_reason_of_each_store(
    fault: Callable[[World], None], code: int, verb: Callable[[World, str, str], CompletedRun], world: World
) -> None:
    fault(world)
    world.second.narinfo_of(world.words).unlink()
    world.second.narinfo_of(world.root).unlink()
    ran = verb(world, world.first.url, world.second.url)
    assert ran.code == code, ran.stderr
    (error,) = [line for line in ran.stderr.splitlines() if line.startswith("lamina: /nix")]
    assert re.search(r"^lamina: \S+: got it from none of 2 stores, expected one that has it: ", error)
    assert world.first.url in error
    assert f"{world.second.url}: no such path" in error
    assert not world.machine.image.exists()


def test_two_reasons_are_both_named(world: World) -> None:
    unsigned(world)
    ran = fetch(world, NOWHERE, world.first.url)
    assert ran.code == INTEGRITY
    assert "127.0.0.1:1/nix-cache-info: got Connection refused" in ran.error
    assert f"{world.words} in {world.first.url}: got no signature" in ran.error
    assert "hint: --trusted-key" in ran.stderr
    ran = fetch(world, NOWHERE, "http://127.0.0.1:2")
    assert ran.code == STORE
    assert ran.error.count("Connection refused") == 2


def test_three_caches_each_have_one_path(world: World, tmp_path: Path) -> None:
    third = Cache(tmp_path / "third")
    example(third)
    caches = [world.first, world.second, third]
    for number, path in enumerate(sorted(world.first.narinfos)):
        for cache in caches[:number] + caches[number + 1 :] if number < len(caches) else ():
            (cache.folder / cache.narinfos[path].url).unlink()
    arguments = [part for cache in caches for part in ("--store", cache.url)]
    ran = world.machine.build(world.first.url, world.root, flags=arguments)
    assert ran.code == 0, ran.stderr
    assert len(check_store(world.machine.store)) == PATHS


# --- which servers are asked


def test_a_server_that_is_down_is_asked_once(world: World) -> None:
    with serve_cache(world.first.folder, {".*": send_nothing}) as server:
        assert build(world, server.url, world.second.url).code == 0
        assert server.asked == [CACHE_INFO] * QUICK.attempts


def test_a_server_that_goes_down_is_not_asked_again(world: World) -> None:
    with serve_cache(world.first.folder, {"nar/.*": send_nothing}) as server:
        ran = build(world, server.url, world.second.url)
        assert ran.code == 0, ran.stderr
        asked = [name for name in server.asked if name.startswith("nar/")]
    # Requests that were under way when the first one was given up are finished.
    assert len(set(asked)) <= PATHS
    assert len(asked) <= PATHS * QUICK.attempts


def test_a_server_that_is_not_a_cache_is_asked_once(world: World) -> None:
    with serve_cache(world.first.folder, {CACHE_INFO: answer_404}) as server:
        assert build(world, server.url, world.second.url).code == 0
        assert server.asked == [CACHE_INFO]


def test_a_cache_is_still_asked_after_one_path_failed(world: World) -> None:
    for path in set(world.second.narinfos) - {world.words}:
        world.second.narinfo_of(path).unlink()
    scripts: dict[str, Script] = {f"{world.words.hash}.narinfo": answer_with(500)}
    with serve_cache(world.first.folder, scripts) as server:
        ran = build(world, server.url, world.second.url)
    assert ran.code == 0, ran.stderr


# --- two builds of one path


def rebuild_in_second(world: World) -> StorePath:
    """Give the second cache another build of a path, with one more reference; remove the NAR from the first cache.

    Return the added reference.
    """
    extra = world.second.add("extra-1", {b"extra": factories.File(b"extra")})
    info = world.second.narinfos[world.words].info
    other = Cache(world.machine.folder / "other-cache")
    other.add("words-2.1", {b"share": {b"hello.txt": factories.File(f"hi {extra}\n".encode())}}, [extra])
    known = other.narinfos[info.path]
    (world.second.folder / known.url).write_bytes((other.folder / known.url).read_bytes())
    world.second.change(info.path, **{name: getattr(known, name) for name in ("info", "url", "signatures")})
    world.nar(world.words).unlink()
    return extra


@pytest.mark.parametrize("verb", [fetch, build, stream, script], ids=lambda verb: verb.__name__)
def test_the_references_belong_to_the_build_that_was_fetched(
    verb: Callable[[World, str, str], CompletedRun], world: World
) -> None:
    extra = rebuild_in_second(world)
    if verb is fetch:
        ran = run("store", "fetch", str(world.root), *flags(world.first.url, world.second.url))
    else:
        ran = verb(world, world.first.url, world.second.url)
    assert ran.code == 0, ran.stderr
    valid = check_store(world.machine.store)
    assert extra in valid
    assert len(valid) == PATHS + 1
    known = EmbeddedStore(world.machine.store).narinfo(world.words)
    assert known
    assert known.info == world.second.narinfos[world.words].info


def test_the_layers_belong_to_the_build_that_was_fetched(world: World) -> None:
    extra = rebuild_in_second(world)
    ran = build(world, world.first.url, world.second.url)
    assert ran.code == 0, ran.stderr
    (image,) = lamina.inspect(world.machine.image)
    assert extra in {path for layer in image.layers for path in layer.paths}


# --- stores of other kinds


def test_a_machines_store_makes_up_for_a_cache(world: World, tmp_path: Path) -> None:
    machine = world.second.on_disk(tmp_path / "disk")
    damaged(world)
    for verb in (fetch, build, stream):
        ran = verb(world, world.first.url, str(machine.root))
        assert ran.code == 0, ran.stderr


def test_a_cache_makes_up_for_a_machines_store(world: World, tmp_path: Path) -> None:
    machine = world.second.on_disk(tmp_path / "disk")
    location = machine.location(world.words)
    location.rename(location.with_name("gone"))
    for verb in (build, stream):
        ran = verb(world, str(machine.root), world.first.url)
        assert ran.code == 0, ran.stderr
    ran = run("store", "fetch", str(world.root), *flags(str(machine.root), world.first.url))
    assert ran.code == 0, ran.stderr


def write_graph(cache: Cache, file: Path) -> Path:
    infos = [known.info for known in cache.narinfos.values()]
    document = [
        {
            "path": str(info.path),
            "narHash": str(info.nar_hash),
            "narSize": info.nar_size,
            "references": sorted(map(str, info.references)),
        }
        for info in infos
    ]
    file.write_text(json.dumps(document))
    return file


def test_a_cache_provides_the_contents_of_a_graph(world: World, tmp_path: Path) -> None:
    graph = write_graph(world.first, tmp_path / "graph.json")
    ran = build(world, str(graph), world.second.url)
    assert ran.code == 0, ran.stderr


def test_the_next_cache_provides_the_contents_of_a_graph(world: World, tmp_path: Path) -> None:
    graph = write_graph(world.first, tmp_path / "graph.json")
    damaged(world)
    ran = world.machine.build(str(graph), world.root, flags=["--store", world.first.url, "--store", world.second.url])
    assert ran.code == 0, ran.stderr


def test_another_build_of_a_path_than_that_of_the_graph_is_refused(world: World, tmp_path: Path) -> None:
    rebuild_in_second(world)
    graph = write_graph(world.first, tmp_path / "graph.json")
    ran = build(world, str(graph), world.second.url)
    assert ran.code == INTEGRITY, ran.stderr
    assert "as the closure graph has it" in ran.stderr


@pytest.mark.parametrize("how", ["gone", "short", "narinfo"])
def test_a_cache_makes_up_for_a_damaged_embedded_store(how: str, world: World) -> None:
    assert fetch(world, world.first.url, world.first.url).code == 0
    store = EmbeddedStore(world.machine.store)
    known = store.narinfo(world.words)
    assert known
    file = store.file(known) if how != "narinfo" else world.machine.store / f"{world.words.hash}.narinfo"
    file.chmod(0o644)
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(b"x")
    for verb in (build, stream):
        ran = verb(world, NOWHERE, world.second.url)
        assert ran.code == 0, ran.stderr
    assert len(check_store(world.machine.store)) == PATHS
    named = run("stream", "hello", *flags(NOWHERE, world.second.url), "--no-layer-cache")
    assert named.code == 0, named.stderr


def test_offline_a_folder_is_asked_and_a_server_is_not(world: World) -> None:
    with serve_cache(world.first.folder) as server:
        ran = world.machine.build(server.url, world.root, flags=["--store", world.second.url, "--offline"])
        assert ran.code == 0, ran.stderr
        assert server.asked == []


@pytest.mark.parametrize(("third", "code"), [("", 0), (NOWHERE, STORE)])
def test_a_mentioned_path_that_no_store_has_is_left_out_if_all_could_be_asked(
    third: str, code: int, world: World
) -> None:
    nothing = factories.path("nothing")
    arguments = ["--store", world.first.url, "--env", f"X={nothing}/x", *(["--store", third] if third else [])]
    ran = world.machine.build(world.second.url, world.root, flags=arguments)
    assert ran.code == code, ran.stderr
    assert f"{nothing}: {'got it from none of 3' if third else 'mentioned by the config'}" in ran.stderr


def test_there_is_one_warning_for_each_path(world: World) -> None:
    for path in world.first.narinfos:
        world.first.change(path, signatures=())
    ran = fetch(world, world.first.url, world.second.url)
    lines = [line for line in ran.stderr.splitlines() if "the next store is asked" in line]
    assert ran.code == 0
    assert len(lines) == PATHS
    named = [sum(str(path) in line for line in lines) for path in world.first.narinfos]
    assert named == [1] * PATHS


@pytest.mark.parametrize("fault", [unsigned, damaged, no_nar, broken_narinfo], ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("verb", ["push", "export"])
def test_push_and_export_read_from_the_next_cache(fault: Callable[[World], None], verb: str, world: World) -> None:
    fault(world)
    target = world.machine.folder / "target"
    to = ("--to", f"file://{target}") if verb == "push" else ("-o", target)
    ran = run("store", verb, str(world.root), *to, *flags(world.first.url, world.second.url))
    assert ran.code == 0, ran.stderr
    if verb == "push":
        assert len(list(target.glob("*.narinfo"))) == PATHS


@pytest.mark.parametrize("how", ["gone", "short", "narinfo"])
def test_a_cache_makes_up_for_a_damaged_folder_that_is_a_cache(how: str, world: World) -> None:
    assert fetch(world, world.first.url, world.first.url).code == 0
    store = EmbeddedStore(world.machine.store)
    known = store.narinfo(world.words)
    assert known
    file = store.file(known) if how != "narinfo" else world.machine.store / f"{world.words.hash}.narinfo"
    file.chmod(0o644)
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(b"x")
    for verb in (build, stream):
        ran = verb(world, str(world.machine.store), world.second.url)
        assert ran.code == 0, ran.stderr
    assert len(check_store(world.machine.store)) == PATHS


@pytest.mark.parametrize(("second", "code"), [(True, 0), (False, STORE)])
def test_a_name_is_found_in_the_next_store_if_the_first_cannot_be_read(
    second: bool, code: int, world: World, tmp_path: Path
) -> None:
    machine = world.second.on_disk(tmp_path / "disk")
    (machine.root / "nix/var/nix/db/db.sqlite").write_bytes(b"junk")
    other = Cache(tmp_path / "plain", compression="none")
    example(other)
    stores = [str(machine.root), *([str(other.folder)] if second else [])]
    ran = run("stream", "hello", *(part for store in stores for part in ("--store", store)), "--no-layer-cache")
    assert ran.code == code, ran.stderr
    assert "db.sqlite: got " in ran.stderr
