"""Binary caches: how they are queried, and their NARs with every compression."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.support import factories
from tests.support.binary_cache import (
    COMPRESSORS,
    KEY,
    Cache,
    CacheRequest,
    CacheServer,
    Machine,
    answer_404,
    check_store,
    dump_nar,
    example,
    send_forever,
    serve_cache,
    zstd_frames,
)
from tests.support.examples import mark_rest
from tests.support.fake_nix_store import MODULE, run

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.errors import Error, FormatError, NotFound
from lamina.formats.narinfo import NarInfo
from lamina.messages.sizes import format_size
from lamina.stores.binary_cache.cache import BinaryCache
from lamina.stores.binary_cache.fetch import Fetcher
from lamina.stores.binary_cache.substituter import SubstitutingStore
from lamina.stores.binary_cache.trust import Trust
from lamina.stores.embedded.store import EmbeddedStore
from lamina.transports.open import open_transport
from lamina.transports.retry import MAX_CONNECTIONS

TRUST = Trust((KEY.public,))
TREE: factories.Item = {b"x": factories.File(b"x" * 1000)}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "machine").mkdir()
    return Machine(tmp_path / "machine")


def open_cache(server: CacheServer) -> BinaryCache:
    return BinaryCache(lambda: open_transport(server.url), TRUST)


def query_narinfos(asked: BinaryCache, paths: Collection[StorePath]) -> dict[StorePath, NarInfo]:
    """Return the narinfos that a cache has of ``paths``; raise an error that it answers."""
    found = {}
    for path, answer in asked.query_each(paths):
        if isinstance(answer, Error):
            raise answer
        if answer:
            found[path] = answer
    return found


@contextmanager
def open_substituter(server: CacheServer, folder: Path) -> Iterator[SubstitutingStore]:
    with closing(open_cache(server)) as cache, closing(Fetcher(EmbeddedStore.open_or_create(folder))) as fetcher:
        yield SubstitutingStore(fetcher, cache, TRUST)


# --- queries

LEAF_COUNT = 282


@pytest.fixture
def wide_closure(cache: Cache) -> list[set[StorePath]]:
    """Add a closure of 300 paths; return its levels."""
    leaves = [cache.add(f"leaf-{number}", {}, compression="none") for number in range(LEAF_COUNT)]
    middles = [cache.add(f"middle-{number}", {}, leaves[number::17], compression="none") for number in range(17)]
    return [{cache.add("root-1", {}, [*middles, leaves[0]])}, {*middles, leaves[0]}, set(leaves[1:])]


def test_the_paths_of_a_level_are_queried_concurrently_and_once(
    wide_closure: list[set[StorePath]], cache: Cache, tmp_path: Path
) -> None:
    with serve_cache(cache.folder, latency=0.05) as server, open_substituter(server, tmp_path / "store") as store:
        found = Closure.resolve(wide_closure[0], store.query)
        asked = server.asked
    assert {info.path for info in found} == set.union(*wide_closure)
    assert asked[0] == "nix-cache-info"
    assert len(asked) == 1 + 300
    # There are three rounds, one for each level, and the queries of a round overlap.
    start = 1
    for level in wide_closure:
        assert set(asked[start : start + len(level)]) == {f"{path.hash}.narinfo" for path in level}
        start += len(level)
    assert 10 <= server.max_concurrent <= MAX_CONNECTIONS
    # Connections are kept and used again for the next level.
    assert len(server.ports) <= MAX_CONNECTIONS


def test_no_more_queries_run_at_once_than_there_are_connections(cache: Cache) -> None:
    paths = [cache.add(f"x-{number}", {}, compression="none") for number in range(100)]
    with serve_cache(cache.folder, latency=0.01) as server:
        assert set(query_narinfos(open_cache(server), paths)) == set(paths)
        assert server.max_concurrent <= MAX_CONNECTIONS


def test_a_missing_path_is_left_out(cache: Cache) -> None:
    path = cache.add("x-1", TREE)
    with serve_cache(cache.folder) as server:
        asked = open_cache(server)
        assert query_narinfos(asked, []) == {}
        assert server.asked == []
        assert set(query_narinfos(asked, [path])) == {path}
        assert query_narinfos(asked, [factories.path("nothing")]) == {}
        assert set(query_narinfos(asked, [factories.path("nothing"), path, factories.path("void")])) == {path}


def test_the_cache_info_is_read_once(cache: Cache) -> None:
    paths = [cache.add(f"x-{number}", {}) for number in range(20)]
    with serve_cache(cache.folder, latency=0.01) as server:
        asked = open_cache(server)
        threads = [threading.Thread(target=query_narinfos, args=(asked, [path])) for path in paths]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.asked.count("nix-cache-info") == 1
        assert len(server.asked) == 21


def test_query_threads_end_after_the_last_answer(cache: Cache) -> None:
    paths = [cache.add(f"x-{number}", {}) for number in range(20)]
    with serve_cache(cache.folder) as server:
        query_narinfos(open_cache(server), paths)
    for thread in threading.enumerate():
        if thread.name == "lamina-narinfo":
            thread.join(60)
            assert not thread.is_alive()


# --- NARs


def read_nar(cache: Cache, path: StorePath) -> bytes:
    with serve_cache(cache.folder) as server:
        asked = open_cache(server)
        known = query_narinfos(asked, [path])[path]
        pieces = list(asked.stream_nar(known))
    assert max(map(len, pieces)) <= 1 << 18
    return b"".join(pieces)


@pytest.mark.parametrize("compression", COMPRESSORS)
def test_a_nar_is_decompressed(compression: str, cache: Cache) -> None:
    tree: factories.Item = {b"big": factories.File(os.urandom(300_000)), b"zeros": factories.File(bytes(1_000_000))}
    path = cache.add("x-1", tree, compression=compression)
    assert read_nar(cache, path) == dump_nar(tree)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_zstd_may_come_in_any_number_of_frames(size: int, cache: Cache) -> None:
    path = cache.add("x-1", TREE, compression="zstd", file=zstd_frames(dump_nar(TREE), size))
    # The file size is not signed, so a wrong one does not matter; Nix 2.35 has a fixed limit of 16 MiB.
    cache.change(path, file_size=None if size > 7 else 60_000, file_hash=None)
    assert read_nar(cache, path) == dump_nar(TREE)


def test_a_narinfo_may_lack_the_compression_hash_and_size_of_the_file(cache: Cache) -> None:
    path = cache.add("x-1", TREE, compression="bzip2", narinfo_fields={"file_hash": None, "file_size": None})
    narinfo = cache.narinfo_of(path)
    narinfo.write_text(narinfo.read_text().replace("Compression: bzip2\n", ""))
    assert read_nar(cache, path) == dump_nar(TREE)


def test_the_download_is_limited_by_the_nar_size(cache: Cache) -> None:
    path = cache.add("x-1", TREE, compression="none")
    with serve_cache(cache.folder, {"nar/.*": send_forever()}) as server:
        asked = open_cache(server)
        known = query_narinfos(asked, [path])[path]
        bound = known.info.nar_size + known.info.nar_size // 16 + (1 << 16)
        with pytest.raises(
            FormatError,
            match=rf"^{path} in {server.url}: .* got more than {format_size(bound)}, expected a smaller file",
        ):
            list(asked.stream_nar(known))


def test_a_missing_nar_is_named_in_the_error(cache: Cache) -> None:
    path = cache.add("x-1", TREE)
    with serve_cache(cache.folder, {"nar/.*": answer_404}) as server:
        asked = open_cache(server)
        known = query_narinfos(asked, [path])[path]
        with pytest.raises(NotFound, match=f"^{path} in {server.url}: "):
            list(asked.stream_nar(known))


# --- images


@pytest.fixture
def disk_image(tmp_path: Path) -> str:
    """Build an image of the example from a Nix store on disk; return its ID."""
    cache = Cache(tmp_path / "model")
    root = example(cache)
    (tmp_path / "disk-machine").mkdir()
    machine = Machine(tmp_path / "disk-machine")
    ran = machine.build(str(cache.on_disk(tmp_path / "disk").root), root, key=None)
    assert ran.code == 0, ran.stderr
    return machine.image_id()


@pytest.mark.parametrize("compression", COMPRESSORS)
@pytest.mark.parametrize("scheme", mark_rest(["http", "file"], 1))
def test_the_image_is_the_one_from_disk(
    scheme: str, compression: str, machine: Machine, disk_image: str, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "cache", compression=compression)
    root = example(cache)
    with serve_cache(cache.folder) as server:
        ran = machine.build(server.url if scheme == "http" else cache.url, root)
    assert ran.code == 0, ran.stderr
    assert machine.image_id() == disk_image
    assert len(check_store(machine.store)) == 4


def test_a_second_run_sends_no_requests(cache: Cache, machine: Machine, disk_image: str) -> None:
    root = example(cache)
    with serve_cache(cache.folder) as server:
        assert machine.build(server.url, root).code == 0
        count = len(server.asked)
        machine.image.unlink()
        assert machine.build(server.url, root).code == 0
        assert len(server.asked) == count
        machine.image.unlink()
    # The server is not running any more.
    assert machine.build(server.url, root).code == 0
    assert machine.image_id() == disk_image


@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")
def test_a_second_run_needs_no_network(cache: Cache, machine: Machine) -> None:
    root = example(cache)
    with serve_cache(cache.folder) as server:
        assert machine.build(server.url, root).code == 0
    machine.image.unlink()
    if subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True).returncode:
        pytest.skip("a network namespace is not allowed here")
    command = ["unshare", "-n", *MODULE, *map(str, machine.arguments(server.url, root))]
    assert subprocess.run(command, env=machine.environment, check=False, stderr=subprocess.DEVNULL).returncode == 0
    assert machine.image.exists()


def test_a_path_comes_from_the_first_cache_that_has_it(cache: Cache, machine: Machine, tmp_path: Path) -> None:
    second = Cache(tmp_path / "second")
    lib = second.add("lib-1", TREE)
    second.trees.clear()
    root = cache.add("root-1", {b"y": factories.File(b"y")}, [lib])
    with serve_cache(cache.folder) as one, serve_cache(second.folder) as two:
        ran = machine.build(one.url, root, flags=["--store", two.url])
        assert ran.code == 0, ran.stderr
        assert [name for name in two.asked if name.startswith("nar/")] == [second.narinfos[lib].url]
    assert check_store(machine.store) == {lib, root}


# --- URLs of NARs


@pytest.mark.parametrize("start", ["/", "./", "././", "/./"])
@pytest.mark.parametrize("scheme", ["http", "file"])
def test_a_nars_url_may_have_a_slash_or_dots_in_front(scheme: str, start: str, cache: Cache, machine: Machine) -> None:
    path = cache.add("x-1", TREE)
    cache.change(path, url=f"{start}{cache.narinfos[path].url}")
    with serve_cache(cache.folder) as server:
        ran = machine.build(server.url if scheme == "http" else cache.url, path)
    assert ran.code == 0, ran.stderr


def test_a_nars_url_may_be_of_another_host_which_gets_no_password(cache: Cache, machine: Machine) -> None:
    path, seen = cache.add("x-1", TREE), list[str | None]()

    def record_authorization(asked: CacheRequest) -> None:
        seen.append(asked.headers["Authorization"])
        asked.answer(200, (cache.folder / asked.path.lstrip("/")).read_bytes())

    with (
        serve_cache(cache.folder, {".*": record_authorization}) as other,
        serve_cache(cache.folder, {".*": record_authorization}) as server,
    ):
        cache.change(path, url=f"{other.url}/{cache.narinfos[path].url}")
        ran = machine.build(server.url.replace("//", "//user:hunter2@"), path)
        assert ran.code == 0, ran.stderr
        assert [name for name in other.asked if name.startswith("nar/")] == other.asked
    assert [bool(header) for header in seen] == [True, True, False]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "https://127.0.0.1:1/x", "s3://bucket/x", "//127.0.0.1:1/x"])
@pytest.mark.parametrize("scheme", ["http", "file"])
def test_a_nars_url_has_the_scheme_of_its_cache(scheme: str, url: str, cache: Cache, machine: Machine) -> None:
    path = cache.add("x-1", TREE)
    cache.change(path, url=url)
    with serve_cache(cache.folder) as server:
        ran = machine.build(server.url if scheme == "http" else cache.url, path)
    assert ran.code == 3, ran.stderr


@pytest.mark.parametrize("url", ["/{}", "http://127.0.0.1:1/{}", "/etc/passwd", "https:///etc/passwd"])
def test_a_folder_that_is_a_cache_has_its_nars_below_it(url: str, tmp_path: Path, machine: Machine) -> None:
    cache = Cache(tmp_path / "plain", compression="none")
    path = cache.add("x-1", TREE)
    cache.change(path, url=url.format(cache.narinfos[path].url))
    ran = machine.build(str(cache.folder), path)
    assert ran.code == (0 if url == "/{}" else 3 if ":" in url else 6), ran.stderr


@pytest.mark.parametrize("start", ["/", "./"])
def test_a_nar_belongs_to_its_path_however_its_url_begins(tmp_path: Path, start: str) -> None:
    cache = Cache(tmp_path / "plain", compression="none")
    path = cache.add("x-1", TREE)
    cache.change(path, url=f"{start}{cache.narinfos[path].url}")
    assert run("store", "gc", str(path), "--store", cache.folder).code == 0
    assert len(list((cache.folder / "nar").iterdir())) == 1
