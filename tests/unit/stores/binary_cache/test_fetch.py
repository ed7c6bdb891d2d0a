"""Fetching store paths: by two processes at once, by one that is killed, and onto a full disk."""

from __future__ import annotations

import os
import random
import re
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.support import factories
from tests.support.binary_cache import (
    KEY,
    Cache,
    CacheRequest,
    CacheServer,
    Machine,
    Script,
    answer_404,
    check_store,
    example,
    list_leftovers,
    read_files,
    serve_cache,
)
from tests.support.examples import mark_rest
from tests.support.fake_nix_store import MODULE, in_mount_namespace
from tests.support.processes import wait_until

from lamina.core.names import Digest, StorePath
from lamina.errors import NotFound, OutputError
from lamina.stores.binary_cache.cache import BinaryCache
from lamina.stores.binary_cache.fetch import Fetcher
from lamina.stores.binary_cache.substituter import SubstitutingStore
from lamina.stores.binary_cache.trust import Trust
from lamina.stores.embedded.store import EmbeddedStore
from lamina.transports.open import open_transport

TRUST = Trust((KEY.public,))
TREE: factories.Item = {b"x": factories.File(b"x" * 1000)}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", compression="none")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "machine").mkdir()
    return Machine(tmp_path / "machine")


def add_chain(cache: Cache, count: int, size: int = 1000) -> list[StorePath]:
    """Add ``count`` paths of ``size`` bytes, each of which refers to the two before it."""
    paths: list[StorePath] = []
    for number in range(count):
        content = random.Random(number).randbytes(size)
        paths.append(cache.add(f"link-{number}", {b"x": factories.File(content)}, paths[-2:]))
    return paths


@contextmanager
def open_substituter(server: CacheServer, folder: Path, threads: int = 0) -> Iterator[SubstitutingStore]:
    with (
        closing(BinaryCache(lambda: open_transport(server.url), TRUST)) as cache,
        closing(Fetcher(EmbeddedStore.open_or_create(folder), threads)) as fetcher,
    ):
        yield SubstitutingStore(fetcher, cache, TRUST)


def is_receiving(store: Path) -> bool:
    """Return whether a part of a NAR is in the store."""
    return any(file.stat().st_size for file in (store / ".lamina/arriving").glob("*"))


def requested_nars(server: CacheServer) -> list[str]:
    return [name for name in server.asked if name.startswith("nar/")]


# --- concurrency


@pytest.mark.integration
def test_two_processes_fetch_each_nar_once(cache: Cache, machine: Machine) -> None:
    root = add_chain(cache, 12, 50_000)[-1]
    others = [Machine(machine.folder / name) for name in ("one", "two", "three")]
    with serve_cache(cache.folder, latency=0.02) as server:
        running = []
        for other in others:
            other.folder.mkdir()
            command = [*MODULE, *map(str, other.arguments(server.url, root))]
            # Each process writes its own image, and all share one store.
            running.append(subprocess.Popen(command, env=machine.environment, stderr=subprocess.PIPE))
        for one in running:
            _, stderr = one.communicate(timeout=60)
            assert one.returncode == 0, stderr.decode()
        assert set(Counter(requested_nars(server)).values()) == {1}
        assert len(requested_nars(server)) == 12
    assert len(check_store(machine.store)) == 12
    assert not list_leftovers(machine.store)
    assert len({other.image.read_bytes() for other in others}) == 1


def test_nars_of_the_same_content_are_one_file(cache: Cache, machine: Machine) -> None:
    paths = [cache.add(f"twin-{number}", TREE) for number in range(5)]
    with serve_cache(cache.folder) as server:
        ran = machine.build(server.url, paths[0], flags=[f"--closure={path}" for path in paths[1:]])
        assert ran.code == 0, ran.stderr
    assert check_store(machine.store) == set(paths)
    assert len(os.listdir(machine.store / "nar")) == 1


def test_a_path_becomes_valid_after_its_references(cache: Cache, tmp_path: Path) -> None:
    paths = add_chain(cache, 10)
    gate = threading.Event()

    def answer_late(asked: CacheRequest) -> None:
        gate.wait(60)
        asked.answer(200, (cache.folder / asked.path.lstrip("/")).read_bytes())

    scripts: dict[str, Script] = {cache.narinfos[paths[0]].url: answer_late}
    store = tmp_path / "store"
    with serve_cache(cache.folder, scripts) as server, open_substituter(server, store, threads=3) as found:
        assert set(found.query(paths)) == set(paths)
        found.prefetch(paths)
        for path in paths[1:]:
            # Their NARs are here, but they are not valid yet.
            assert found.location(path).length == cache.narinfos[path].info.nar_size
        assert check_store(store) == set()
        gate.set()
        found.location(paths[0])
    assert check_store(store) == set(paths)


def test_a_path_that_is_waited_for_is_fetched_first(cache: Cache, tmp_path: Path) -> None:
    paths = add_chain(cache, 20)
    with (
        serve_cache(cache.folder, latency=0.01) as server,
        open_substituter(server, tmp_path / "store", threads=1) as found,
    ):
        found.query(paths)
        found.prefetch(paths)
        found.location(paths[-1])
        assert requested_nars(server).index(cache.narinfos[paths[-1]].url) <= 2
        assert not found.is_local(paths[-2])
        for path in paths:
            found.location(path)
            assert found.is_local(path)


def test_a_failed_fetch_is_raised_only_where_its_path_is_waited_for(cache: Cache, tmp_path: Path) -> None:
    good, bad = cache.add("good-1", TREE), cache.add("bad-1", {b"y": factories.File(b"y")})
    with (
        serve_cache(cache.folder, {cache.narinfos[bad].url: answer_404}) as server,
        open_substituter(server, tmp_path / "store") as found,
    ):
        found.query([good, bad])
        found.prefetch([bad, good])
        found.location(good)
        for _ in range(2):
            with pytest.raises(NotFound, match=f"{bad} in {server.url}"):
                found.location(bad)
    assert check_store(tmp_path / "store") == {good}


def test_a_closed_fetcher_ends_its_threads(cache: Cache, tmp_path: Path) -> None:
    paths = add_chain(cache, 5)
    before = set(threading.enumerate())
    with serve_cache(cache.folder) as server, open_substituter(server, tmp_path / "store") as found:
        found.query(paths)
        found.prefetch(paths)
        found.location(paths[0])
        fetching = [thread for thread in set(threading.enumerate()) - before if thread.name == "lamina-fetch"]
        assert fetching
        found._fetcher.close()
    for thread in fetching:
        thread.join(60)
        assert not thread.is_alive()


# --- killed processes


@pytest.mark.integration
def test_a_process_that_is_killed_at_any_moment_leaves_the_store_whole(cache: Cache, machine: Machine) -> None:
    source = random.Random(5)
    paths = add_chain(cache, 10, 100_000)
    all_paths = set(paths)
    command = [*MODULE, *map(str, machine.arguments("URL", paths[-1]))]
    grown = 0
    with serve_cache(cache.folder, latency=0.002) as server:
        command[command.index("URL")] = server.url
        for number in range(30):
            if machine.store.exists() and check_store(machine.store) == all_paths:
                shutil.rmtree(machine.store)
            asked = len(server.asked)
            # The moments range from the first request to after the last.
            wanted = source.randrange(1, 23)
            with subprocess.Popen(command, env=machine.environment, stderr=subprocess.DEVNULL) as running:
                moment = asked + wanted
                wait_until(lambda: len(server.asked) >= moment or running.poll() is not None)  # noqa: B023 - called here
                running.kill()
                assert running.wait() in (0, -signal.SIGKILL)
            valid = check_store(machine.store) if machine.store.exists() else set()
            grown += 0 < len(valid) < len(all_paths)
            if number % 6 == 5:
                assert machine.build(server.url, paths[-1]).code == 0
                assert check_store(machine.store) == all_paths
    # Otherwise no process was killed in the middle of its work.
    assert grown >= 3


def test_a_process_that_is_killed_before_there_is_a_store_leaves_a_folder_for_the_next(
    cache: Cache, machine: Machine
) -> None:
    root = example(cache)
    (machine.store / ".lamina/arriving").mkdir(parents=True)
    (machine.store / ".lamina/arriving/tmpabcdefgh").write_bytes(b"StoreDir: /ni")
    assert machine.build(cache.url, root).code == 0
    assert len(check_store(machine.store)) == 4


def test_temporary_files_are_removed_when_a_day_old(cache: Cache, machine: Machine) -> None:
    root = example(cache)
    waiting = machine.store / ".lamina/arriving"
    waiting.mkdir(parents=True)
    old, new = waiting / "old", waiting / "new"
    for file, age in ((old, 90_000), (new, 80_000)):
        file.write_bytes(b"x")
        os.utime(file, (time.time() - age,) * 2)
    assert machine.build(cache.url, root).code == 0
    assert list_leftovers(machine.store) == ["new"]


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_nothing_behind(number: int, cache: Cache, machine: Machine) -> None:
    paths = add_chain(cache, 4, 3_000_000)
    gate = threading.Event()

    def send_half(asked: CacheRequest) -> None:
        content = (cache.folder / asked.path.lstrip("/")).read_bytes()
        asked.begin(length=len(content))
        asked.wfile.write(content[:1_000_000])
        asked.wfile.flush()
        gate.wait(60)

    with serve_cache(cache.folder, {cache.narinfos[paths[0]].url: send_half}) as server:
        command = [*MODULE, *map(str, machine.arguments(server.url, paths[-1]))]
        with subprocess.Popen(command, env=machine.environment, stderr=subprocess.PIPE) as running:
            wait_until(lambda: len(requested_nars(server)) == 4 and is_receiving(machine.store))
            running.send_signal(number)
            assert running.wait(60) in (130, 143)
            assert running.stderr is not None
            assert b"Traceback" not in running.stderr.read()
        gate.set()
    assert not machine.image.exists()
    assert check_store(machine.store) == set()
    assert not list_leftovers(machine.store)


# --- full disks

_FULL_DISK_SCRIPT = """
mount -t tmpfs -o size=2m tmpfs "$1"
cp -a "$2"/. "$1"
shift 2
code=0
XDG_DATA_HOME=$MOUNT "$@" || code=$?
cp -a "$MOUNT"/. "$AFTER"
exit "$code"
"""


def test_a_full_disk_names_the_folder_and_loses_nothing(
    cache: Cache, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert machine.build(cache.url, example(cache)).code == 0
    machine.image.unlink()
    before = read_files(machine.store)
    root = add_chain(cache, 6, 700_000)[-1]
    mounted, after = tmp_path / "mounted", tmp_path / "after"
    mounted.mkdir()
    after.mkdir()
    for name, value in {**machine.environment, "MOUNT": str(mounted), "AFTER": str(after)}.items():
        monkeypatch.setenv(name, value)
    command = [*MODULE, *machine.arguments(cache.url, root)]
    ran = in_mount_namespace(_FULL_DISK_SCRIPT, [mounted, machine.store.parent.parent, *command])
    stderr = ran.stderr.decode()
    assert ran.returncode == 10, stderr
    folder = mounted / "lamina/store"
    assert f"lamina: store {folder}: got No space left on device, expected a writable store\n" in stderr
    assert not machine.image.exists()
    store = after / "lamina/store"
    now = read_files(store)
    # Paths that were complete before the disk was full may stay; nothing is lost, and nothing is incomplete.
    assert {name: now.get(name) for name in before} == before
    check_store(store)
    assert not list_leftovers(store)


def _limit_file_size(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("size", mark_rest([0, 50, 100_000], 1))
def test_a_file_size_limit_is_an_error_and_leaves_nothing(size: int, cache: Cache, machine: Machine) -> None:
    root = cache.add("big-1", {b"x": factories.File(bytes(1_000_000))})
    ran = machine.call(cache.url, root, preexec_fn=lambda: _limit_file_size(size))
    assert ran.code == 10, ran.stderr
    assert re.search(rf"store {machine.store}.*: got File too large, expected a writable store", ran.stderr)
    assert not machine.image.exists()
    if machine.store.exists():
        assert check_store(machine.store) == set()
        assert not list_leftovers(machine.store)
    assert machine.build(cache.url, root).code == 0
    assert check_store(machine.store) == {root}


# --- folders that cannot be a store


def test_a_folder_of_something_else_is_left_alone(cache: Cache, machine: Machine) -> None:
    root = example(cache)
    machine.store.mkdir(parents=True)
    (machine.store / "diary.txt").write_text("dear diary")
    ran = machine.build(cache.url, root)
    assert ran.code == 5
    assert f"store {machine.store}: got something else, expected an empty folder or an embedded store" in ran.stderr
    assert read_files(machine.store) == {"diary.txt": b"dear diary"}


def test_a_file_in_place_of_the_store_is_left_alone(cache: Cache, machine: Machine) -> None:
    root = example(cache)
    machine.store.parent.mkdir(parents=True)
    machine.store.write_text("x")
    ran = machine.build(cache.url, root)
    assert ran.code == 5, ran.stderr
    assert machine.store.read_text() == "x"


def test_a_store_that_another_process_is_creating_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    EmbeddedStore.open_or_create(store)
    asked = iter([False])
    monkeypatch.setattr("lamina.stores.embedded.store.is_store", lambda folder: next(asked, True))
    assert EmbeddedStore.open_or_create(store).narinfos() == []


def test_the_nar_that_several_paths_share_is_fetched_once_and_its_file_stays(cache: Cache, tmp_path: Path) -> None:
    paths = [cache.add(f"p{number}-1", TREE) for number in range(8)]
    with serve_cache(cache.folder) as server, open_substituter(server, tmp_path / "store", 4) as store:
        assert len(store.query(paths)) == 8
        store.prefetch(paths)
        files = [os.stat(store.location(path).file) for path in paths]
        files += [os.stat(file) for file in (tmp_path / "store/nar").iterdir()]
        assert len({(file.st_ino, file.st_mtime_ns) for file in files}) == 1
        assert len(requested_nars(server)) == 1


def test_only_a_collection_insists_on_its_lock(tmp_path: Path) -> None:
    store = EmbeddedStore.open_or_create(tmp_path / "store")
    (tmp_path / "store/.lamina/fetching").write_text("no folder")
    (tmp_path / "store/.lamina/store.lock").symlink_to("missing/folder")
    with store.locks.lock_nar(Digest(bytes(32))) as lock:
        assert not lock.is_held
    with pytest.raises(OutputError, match="got no lock"), store.locks.hold_exclusive():
        pass
    store.locks.hold_shared()
