"""If one store cannot provide a path, for whatever reason, every verb asks the next store for it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
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
from tests.support.examples import mark_rest
from tests.support.fake_nix_store import CompletedRun, run

import lamina
from lamina.core.names import StorePath
from lamina.stores.embedded.store import EmbeddedStore
from lamina.transports.retry import RetryPolicy, use_policy

# One attack in many forms; the unit tests of each room have the rules.
pytestmark = pytest.mark.integration

QUICK = RetryPolicy(
    connect_timeout=2, read_timeout=0.3, rate_window=0.6, attempts=2, initial_delay=0.01, max_delay=0.05
)
STORE, INTEGRITY = 5, 6
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with use_policy(QUICK):
        yield


@dataclass
class TwoCaches:
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
def caches(tmp_path: Path) -> TwoCaches:
    first, second = Cache(tmp_path / "first"), Cache(tmp_path / "second")
    (tmp_path / "machine").mkdir()
    root = example(first)
    example(second)
    return TwoCaches(first, second, Machine(tmp_path / "machine"), root)


# --- faults of the first cache with one path


def unsigned(caches: TwoCaches) -> None:
    caches.first.change(caches.words, signatures=())


def signed_by_another(caches: TwoCaches) -> None:
    caches.first.sign(caches.words, OTHER)


def wrongly_signed(caches: TwoCaches) -> None:
    caches.first.change(caches.words, signatures=(KEY.sign("something else"),))


def damaged(caches: TwoCaches) -> None:
    data = bytearray(caches.nar(caches.words).read_bytes())
    data[len(data) // 2] ^= 1
    caches.nar(caches.words).write_bytes(data)


def truncated(caches: TwoCaches) -> None:
    os.truncate(caches.nar(caches.words), 20)


def empty(caches: TwoCaches) -> None:
    os.truncate(caches.nar(caches.words), 0)


def no_nar(caches: TwoCaches) -> None:
    caches.nar(caches.words).unlink()


def nar_of_another(caches: TwoCaches) -> None:
    os.replace(caches.nar(caches.root), caches.nar(caches.words))


def broken_narinfo(caches: TwoCaches) -> None:
    caches.first.narinfo_of(caches.words).write_text("junk")


def no_text(caches: TwoCaches) -> None:
    caches.first.narinfo_of(caches.words).write_bytes(b"\xff")


def narinfo_of_another(caches: TwoCaches) -> None:
    os.replace(caches.first.narinfo_of(caches.root), caches.first.narinfo_of(caches.words))


def no_narinfo(caches: TwoCaches) -> None:
    caches.first.narinfo_of(caches.words).unlink()


def unknown_compression(caches: TwoCaches) -> None:
    caches.first.change(caches.words, compression="rar")


def another_size(caches: TwoCaches) -> None:
    info = caches.first.narinfos[caches.words].info
    caches.first.change(caches.words, info=replace(info, nar_size=info.nar_size + 1))
    caches.first.sign(caches.words, KEY)


def a_url_elsewhere(caches: TwoCaches) -> None:
    caches.first.change(caches.words, url="file:///etc/passwd")


def no_cache_info(caches: TwoCaches) -> None:
    (caches.first.folder / CACHE_INFO).unlink()


def another_store_dir(caches: TwoCaches) -> None:
    (caches.first.folder / CACHE_INFO).write_text("StoreDir: /gnu/store\n")


def broken_cache_info(caches: TwoCaches) -> None:
    (caches.first.folder / CACHE_INFO).write_bytes(b"\xff")


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


def fetch(caches: TwoCaches, first: str, second: str) -> CompletedRun:
    ran = run("store", "fetch", str(caches.root), *flags(first, second), "--to", caches.machine.store)
    if ran.code == 0:
        assert len(check_store(caches.machine.store)) == PATHS
    return ran


def build(caches: TwoCaches, first: str, second: str) -> CompletedRun:
    return caches.machine.build(first, caches.root, flags=["--store", second])


def stream(caches: TwoCaches, first: str, second: str) -> CompletedRun:
    return run("stream", str(caches.root), *flags(first, second), "--no-layer-cache")


def plan(caches: TwoCaches, first: str, second: str) -> CompletedRun:
    """Plan the image, which reads only narinfos."""
    ran = run("plan", str(caches.root), *flags(first, second), "--json")
    if ran.code:
        return ran
    document = json.loads(ran.stdout)
    assert sum(len(layer["paths"]) for layer in document["layers"]) == PATHS
    return replace(ran, stderr="\n".join(document["warnings"]))


def script(caches: TwoCaches, first: str, second: str) -> CompletedRun:
    return run("script", str(caches.root), "-o", caches.machine.folder / "script", *flags(first, second))


VERBS = [fetch, build, stream, plan, script]
NAR_FAULTS = {damaged, truncated, empty, no_nar, nar_of_another, unknown_compression, another_size, a_url_elsewhere}


@pytest.fixture(autouse=True)
def home(caches: TwoCaches, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in caches.machine.environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("verb", mark_rest(VERBS, 1), ids=lambda verb: verb.__name__)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_the_next_cache_makes_up_for_a_fault(
    fault: Callable[[TwoCaches], None], verb: Callable[[TwoCaches, str, str], CompletedRun], caches: TwoCaches
) -> None:
    fault(caches)
    ran = verb(caches, caches.first.url, caches.second.url)
    assert ran.code == 0, ran.stderr
    is_seen = fault is not no_narinfo and not (verb is plan and fault in NAR_FAULTS - {a_url_elsewhere})
    assert ("; the next store is asked" in ran.stderr) == is_seen


@pytest.mark.parametrize("verb", mark_rest([fetch, stream], 1), ids=lambda verb: verb.__name__)
@pytest.mark.parametrize("pattern", mark_rest([".*narinfo", CACHE_INFO, "nar/.*"], 1))
@pytest.mark.parametrize("name", ANSWERS)
def test_the_next_cache_makes_up_for_a_bad_response(
    name: str, pattern: str, verb: Callable[[TwoCaches, str, str], CompletedRun], caches: TwoCaches
) -> None:
    with serve_cache(caches.first.folder, {pattern: ANSWERS[name]}) as server:
        ran = verb(caches, server.url, caches.second.url)
    assert ran.code == 0, ran.stderr


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
def test_the_next_cache_makes_up_for_a_server_that_is_down(
    verb: Callable[[TwoCaches, str, str], CompletedRun], caches: TwoCaches
) -> None:
    ran = verb(caches, NOWHERE, caches.second.url)
    assert ran.code == 0, ran.stderr
    assert ran.stderr.count("got Connection refused") == 1


def test_the_image_is_the_one_of_an_honest_cache(caches: TwoCaches) -> None:
    assert build(caches, caches.second.url, caches.second.url).code == 0
    honest = caches.machine.image.read_bytes()
    for fault in (damaged, unsigned):
        fault(caches)
    caches.machine.image.unlink()
    other = Machine(caches.machine.folder / "other")
    other.folder.mkdir()
    ran = other.build(caches.first.url, caches.root, flags=["--store", caches.second.url])
    assert ran.code == 0, ran.stderr
    assert other.image.read_bytes() == honest


# --- repairs


@pytest.mark.parametrize(
    "fault", mark_rest([fault for fault in FAULTS if fault is not no_narinfo], 9), ids=lambda one: one.__name__
)
def test_a_repair_asks_the_next_cache_too(fault: Callable[[TwoCaches], None], caches: TwoCaches) -> None:
    assert fetch(caches, caches.second.url, caches.second.url).code == 0
    store = EmbeddedStore(caches.machine.store)
    file = store.file(next(known for known in store.narinfos() if known.info.path == caches.words))
    file.chmod(0o644)
    file.write_bytes(bytes(file.stat().st_size))
    fault(caches)
    arguments = flags(caches.first.url, caches.second.url)
    ran = run("store", "verify", "--repair", "--store", caches.machine.store, *arguments)
    assert ran.code == 0, ran.stderr
    assert "; the next store is asked" in ran.stderr
    assert len(check_store(caches.machine.store)) == PATHS


# --- paths that no store has


@pytest.mark.parametrize("verb", mark_rest([fetch, build, stream], 1), ids=lambda verb: verb.__name__)
@pytest.mark.parametrize(
    ("fault", "code"),
    [(fault, INTEGRITY) for fault in (unsigned, wrongly_signed, damaged, truncated, nar_of_another, another_size)]
    + [(fault, STORE) for fault in (no_nar, broken_narinfo, no_cache_info, a_url_elsewhere)],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_one_error_has_the_reason_of_each_store(
    fault: Callable[[TwoCaches], None],
    code: int,
    verb: Callable[[TwoCaches, str, str], CompletedRun],
    caches: TwoCaches,
) -> None:
    fault(caches)
    caches.second.narinfo_of(caches.words).unlink()
    caches.second.narinfo_of(caches.root).unlink()
    ran = verb(caches, caches.first.url, caches.second.url)
    assert ran.code == code, ran.stderr
    (error,) = [line for line in ran.stderr.splitlines() if line.startswith("lamina: /nix")]
    assert re.search(r"^lamina: \S+: got no usable copy in 2 stores, expected one: ", error)
    assert caches.first.url in error
    assert f"{caches.second.url}: no such path" in error
    assert not caches.machine.image.exists()


def test_two_reasons_are_both_named(caches: TwoCaches) -> None:
    unsigned(caches)
    ran = fetch(caches, NOWHERE, caches.first.url)
    assert ran.code == INTEGRITY
    assert "127.0.0.1:1/nix-cache-info: got Connection refused" in ran.error
    assert f"{caches.words} in {caches.first.url}: got no signature" in ran.error
    assert "hint: --trusted-key" in ran.stderr
    ran = fetch(caches, NOWHERE, "http://127.0.0.1:2")
    assert ran.code == STORE
    assert ran.error.count("Connection refused") == 2


def test_three_caches_each_have_one_path(caches: TwoCaches, tmp_path: Path) -> None:
    third = Cache(tmp_path / "third")
    example(third)
    all_caches = [caches.first, caches.second, third]
    for number, path in enumerate(sorted(caches.first.narinfos)):
        for cache in all_caches[:number] + all_caches[number + 1 :] if number < len(all_caches) else ():
            (cache.folder / cache.narinfos[path].url).unlink()
    arguments = [part for cache in all_caches for part in ("--store", cache.url)]
    ran = caches.machine.build(caches.first.url, caches.root, flags=arguments)
    assert ran.code == 0, ran.stderr
    assert len(check_store(caches.machine.store)) == PATHS


# --- which servers are asked


def test_a_server_that_is_down_is_asked_once(caches: TwoCaches) -> None:
    with serve_cache(caches.first.folder, {".*": send_nothing}) as server:
        assert build(caches, server.url, caches.second.url).code == 0
        assert server.asked == [CACHE_INFO] * QUICK.attempts


def test_a_server_that_goes_down_is_not_asked_again(caches: TwoCaches) -> None:
    with serve_cache(caches.first.folder, {"nar/.*": send_nothing}) as server:
        ran = build(caches, server.url, caches.second.url)
        assert ran.code == 0, ran.stderr
        asked = [name for name in server.asked if name.startswith("nar/")]
    # Requests that were under way when the first one was given up are finished.
    assert len(set(asked)) <= PATHS
    assert len(asked) <= PATHS * QUICK.attempts


def test_a_server_that_is_not_a_cache_is_asked_once(caches: TwoCaches) -> None:
    with serve_cache(caches.first.folder, {CACHE_INFO: answer_404}) as server:
        assert build(caches, server.url, caches.second.url).code == 0
        assert server.asked == [CACHE_INFO]


def test_a_cache_is_still_asked_after_one_path_failed(caches: TwoCaches) -> None:
    for path in set(caches.second.narinfos) - {caches.words}:
        caches.second.narinfo_of(path).unlink()
    scripts: dict[str, Script] = {f"{caches.words.hash}.narinfo": answer_with(500)}
    with serve_cache(caches.first.folder, scripts) as server:
        ran = build(caches, server.url, caches.second.url)
    assert ran.code == 0, ran.stderr


# --- two builds of one path


def rebuild_in_second(caches: TwoCaches) -> StorePath:
    """Give the second cache another build of a path, with one more reference; remove the NAR from the first cache.

    Return the added reference.
    """
    extra = caches.second.add("extra-1", {b"extra": factories.File(b"extra")})
    info = caches.second.narinfos[caches.words].info
    other = Cache(caches.machine.folder / "other-cache")
    other.add("words-2.1", {b"share": {b"hello.txt": factories.File(f"hi {extra}\n".encode())}}, [extra])
    known = other.narinfos[info.path]
    (caches.second.folder / known.url).write_bytes((other.folder / known.url).read_bytes())
    caches.second.change(info.path, **{name: getattr(known, name) for name in ("info", "url", "signatures")})
    caches.nar(caches.words).unlink()
    return extra


@pytest.mark.parametrize("verb", [fetch, build, stream, script], ids=lambda verb: verb.__name__)
def test_the_references_belong_to_the_build_that_was_fetched(
    verb: Callable[[TwoCaches, str, str], CompletedRun], caches: TwoCaches
) -> None:
    extra = rebuild_in_second(caches)
    if verb is fetch:
        ran = run("store", "fetch", str(caches.root), *flags(caches.first.url, caches.second.url))
    else:
        ran = verb(caches, caches.first.url, caches.second.url)
    assert ran.code == 0, ran.stderr
    valid = check_store(caches.machine.store)
    assert extra in valid
    assert len(valid) == PATHS + 1
    known = EmbeddedStore(caches.machine.store).narinfo(caches.words)
    assert known
    assert known.info == caches.second.narinfos[caches.words].info


def test_the_layers_belong_to_the_build_that_was_fetched(caches: TwoCaches) -> None:
    extra = rebuild_in_second(caches)
    ran = build(caches, caches.first.url, caches.second.url)
    assert ran.code == 0, ran.stderr
    (image,) = lamina.inspect(caches.machine.image)
    assert extra in {path for layer in image.layers for path in layer.paths}


# --- stores of other kinds


def test_a_machines_store_makes_up_for_a_cache(caches: TwoCaches, tmp_path: Path) -> None:
    machine = caches.second.on_disk(tmp_path / "disk")
    damaged(caches)
    for verb in (fetch, build, stream):
        ran = verb(caches, caches.first.url, str(machine.root))
        assert ran.code == 0, ran.stderr


def test_a_cache_makes_up_for_a_machines_store(caches: TwoCaches, tmp_path: Path) -> None:
    machine = caches.second.on_disk(tmp_path / "disk")
    location = machine.location(caches.words)
    location.rename(location.with_name("gone"))
    for verb in (build, stream):
        ran = verb(caches, str(machine.root), caches.first.url)
        assert ran.code == 0, ran.stderr
    ran = run("store", "fetch", str(caches.root), *flags(str(machine.root), caches.first.url))
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


def test_a_cache_provides_the_contents_of_a_graph(caches: TwoCaches, tmp_path: Path) -> None:
    graph = write_graph(caches.first, tmp_path / "graph.json")
    ran = build(caches, str(graph), caches.second.url)
    assert ran.code == 0, ran.stderr


def test_the_next_cache_provides_the_contents_of_a_graph(caches: TwoCaches, tmp_path: Path) -> None:
    graph = write_graph(caches.first, tmp_path / "graph.json")
    damaged(caches)
    ran = caches.machine.build(
        str(graph), caches.root, flags=["--store", caches.first.url, "--store", caches.second.url]
    )
    assert ran.code == 0, ran.stderr


def test_another_build_of_a_path_than_that_of_the_graph_is_refused(caches: TwoCaches, tmp_path: Path) -> None:
    rebuild_in_second(caches)
    graph = write_graph(caches.first, tmp_path / "graph.json")
    ran = build(caches, str(graph), caches.second.url)
    assert ran.code == INTEGRITY, ran.stderr
    assert "the hash in the closure graph" in ran.stderr


@pytest.mark.parametrize("how", ["gone", "short", "narinfo"])
def test_a_cache_makes_up_for_a_damaged_embedded_store(how: str, caches: TwoCaches) -> None:
    assert fetch(caches, caches.first.url, caches.first.url).code == 0
    store = EmbeddedStore(caches.machine.store)
    known = store.narinfo(caches.words)
    assert known
    file = store.file(known) if how != "narinfo" else caches.machine.store / f"{caches.words.hash}.narinfo"
    file.chmod(0o644)
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(b"x")
    for verb in (build, stream):
        ran = verb(caches, NOWHERE, caches.second.url)
        assert ran.code == 0, ran.stderr
    assert len(check_store(caches.machine.store)) == PATHS
    named = run("stream", "hello", *flags(NOWHERE, caches.second.url), "--no-layer-cache")
    assert named.code == 0, named.stderr


def test_offline_a_folder_is_asked_and_a_server_is_not(caches: TwoCaches) -> None:
    with serve_cache(caches.first.folder) as server:
        ran = caches.machine.build(server.url, caches.root, flags=["--store", caches.second.url, "--offline"])
        assert ran.code == 0, ran.stderr
        assert server.asked == []


@pytest.mark.parametrize(("third", "code"), [("", 0), (NOWHERE, STORE)])
def test_a_mentioned_path_that_no_store_has_is_left_out_if_all_could_be_asked(
    third: str, code: int, caches: TwoCaches
) -> None:
    nothing = factories.path("nothing")
    arguments = ["--store", caches.first.url, "--env", f"X={nothing}/x", *(["--store", third] if third else [])]
    ran = caches.machine.build(caches.second.url, caches.root, flags=arguments)
    assert ran.code == code, ran.stderr
    assert f"{nothing}: {'got no usable copy in 3' if third else 'mentioned by the config'}" in ran.stderr


def test_there_is_one_warning_for_each_path(caches: TwoCaches) -> None:
    for path in caches.first.narinfos:
        caches.first.change(path, signatures=())
    ran = fetch(caches, caches.first.url, caches.second.url)
    lines = [line for line in ran.stderr.splitlines() if "the next store is asked" in line]
    assert ran.code == 0
    assert len(lines) == PATHS
    named = [sum(str(path) in line for line in lines) for path in caches.first.narinfos]
    assert named == [1] * PATHS


@pytest.mark.parametrize("fault", [unsigned, damaged, no_nar, broken_narinfo], ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("verb", ["push", "export"])
def test_push_and_export_read_from_the_next_cache(
    fault: Callable[[TwoCaches], None], verb: str, caches: TwoCaches
) -> None:
    fault(caches)
    target = caches.machine.folder / "target"
    to = ("--to", f"file://{target}") if verb == "push" else ("-o", target)
    ran = run("store", verb, str(caches.root), *to, *flags(caches.first.url, caches.second.url))
    assert ran.code == 0, ran.stderr
    if verb == "push":
        assert len(list(target.glob("*.narinfo"))) == PATHS


@pytest.mark.parametrize("how", ["gone", "short", "narinfo"])
def test_a_cache_makes_up_for_a_damaged_folder_that_is_a_cache(how: str, caches: TwoCaches) -> None:
    assert fetch(caches, caches.first.url, caches.first.url).code == 0
    store = EmbeddedStore(caches.machine.store)
    known = store.narinfo(caches.words)
    assert known
    file = store.file(known) if how != "narinfo" else caches.machine.store / f"{caches.words.hash}.narinfo"
    file.chmod(0o644)
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(b"x")
    for verb in (build, stream):
        ran = verb(caches, str(caches.machine.store), caches.second.url)
        assert ran.code == 0, ran.stderr
    assert len(check_store(caches.machine.store)) == PATHS


@pytest.mark.parametrize(("second", "code"), [(True, 0), (False, STORE)])
def test_a_name_is_found_in_the_next_store_if_the_first_cannot_be_read(
    second: bool, code: int, caches: TwoCaches, tmp_path: Path
) -> None:
    machine = caches.second.on_disk(tmp_path / "disk")
    (machine.root / "nix/var/nix/db/db.sqlite").write_bytes(b"junk")
    other = Cache(tmp_path / "plain", compression="none")
    example(other)
    stores = [str(machine.root), *([str(other.folder)] if second else [])]
    ran = run("stream", "hello", *(part for store in stores for part in ("--store", store)), "--no-layer-cache")
    assert ran.code == code, ran.stderr
    assert "db.sqlite: got " in ran.stderr
