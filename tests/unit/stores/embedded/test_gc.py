"""``lamina store gc``: what is kept, what is removed, in which order, and what prevents it."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from tests.support.binary_cache import check_store
from tests.support.embedded_store import CLOSURE, HELLO, ROOT, fetch_example, narinfos_by_package, run_and_kill
from tests.support.factories import graphs, path
from tests.support.fake_nix_store import CompletedRun, call, run
from tests.support.image_files import docker_archive
from tests.support.paths import EXAMPLES

import lamina
from lamina.core.names import Digest, StorePath
from lamina.core.pathinfo import PathInfo
from lamina.errors import InvalidArgument, NotFound, Unavailable
from lamina.formats.narinfo import NarInfo
from lamina.images.readers import unpack
from lamina.messages.sizes import format_size
from lamina.stores.embedded.gc import sort_referrers_first
from lamina.stores.embedded.store import EmbeddedStore

NO_HASH = Digest(bytes(32))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    fetch_example(tmp_path / "store")
    return tmp_path / "store"


def run_gc(store: Path, *arguments: str | Path) -> CompletedRun:
    return run("store", "gc", *arguments, "--store", store)


def names(store: Path) -> set[str]:
    return {found.name for found in check_store(store)}


def size(store: Path) -> int:
    return sum(file.stat().st_size for file in store.rglob("*") if file.is_file() and ".lamina" not in file.parts)


def test_paths_that_a_root_reaches_are_kept(store: Path) -> None:
    before = size(store)
    ran = run_gc(store, "greeting")
    *lines, summary = ran.stdout.decode().splitlines()
    assert (ran.code, ran.stderr) == (0, "")
    assert names(store) == {"greeting-1.0", "phrases-1.0", "languages-1.0", "licence-1.0"}
    assert [line.split()[-1] for line in lines] == [ROOT, str(find_path(lines, "manual-1.0"))]
    assert summary == f"2 paths, {format_size(before - size(store))} removed, 4 paths kept"


def find_path(lines: list[str], name: str) -> str:
    (found,) = [line.split()[-1] for line in lines if line.endswith(f"-{name}")]
    return found


def test_a_dry_run_lists_the_garbage(store: Path) -> None:
    before = {file: file.read_bytes() for file in store.rglob("*") if file.is_file()}
    dry = run_gc(store, "greeting", "--dry-run")
    assert {file: file.read_bytes() for file in store.rglob("*") if file.is_file()} == before
    wet = run_gc(store, "greeting")
    assert dry.stdout.replace(b" would be removed", b" removed") == wet.stdout


def test_everything_is_removed_on_request(store: Path) -> None:
    ran = run_gc(store, "--all", "--json")
    document = json.loads(ran.stdout)
    assert (ran.code, len(document["paths"]), document["kept"], document["dry_run"]) == (0, CLOSURE, 0, False)
    assert document["size"] == sum(found["size"] for found in document["paths"])
    assert document["paths"][0]["path"] == ROOT
    assert sorted(file.name for file in store.rglob("*") if file.is_file()) == ["nix-cache-info", "store.lock"]
    assert run("store", "verify", "--store", store).stdout.startswith(b"0 paths, 0 B: 0 intact, 0 damaged;")


def test_no_root_is_an_error(store: Path) -> None:
    ran = run_gc(store)
    assert (ran.code, ran.error) == (2, "ROOT: got none, expected at least one")
    assert "--all" in ran.stderr.splitlines()[-1]
    assert run_gc(store, "hello", "--all").code == 2
    assert len(names(store)) == CLOSURE


@pytest.mark.parametrize("root", ["nosuch", str(path("A")), "./nothing.tar", "/etc/passwd"])
def test_a_missing_root_is_an_error_and_nothing_is_removed(store: Path, root: str) -> None:
    ran = run_gc(store, "licence", root)
    assert ran.code in (3, 5)
    assert len(names(store)) == CLOSURE


def test_an_image_keeps_the_paths_in_its_layers(store: Path) -> None:
    run("build", "greeting", "--store", store, "-o", "greeting.tar", "--no-layer-cache")
    run("build", "manual", "--store", store, "-o", "manual/", "--no-layer-cache")
    assert run_gc(store, "greeting.tar", "--dry-run").stdout.endswith(b"4 paths kept\n")
    assert run_gc(store, "manual/", "greeting.tar").code == 0
    assert "hello-1.0" not in names(store)
    assert len(names(store)) == CLOSURE - 1


def test_an_image_of_other_stores_keeps_nothing_and_is_an_error(store: Path) -> None:
    run("build", "greeting", "--store", store, "-o", "greeting.tar", "--no-layer-cache")
    run_gc(store, "licence")
    ran = run_gc(store, "greeting.tar")
    assert ran.code == 0  # the licence is in it
    run_gc(store, "--all")
    ran = run_gc(store, "greeting.tar")
    assert (ran.code, ran.error) == (
        5,
        f"greeting.tar: got 4 store paths, none of them in {store}, expected at least one",
    )


def test_a_spec_file_keeps_the_paths_that_its_tables_mention(store: Path) -> None:
    phrases = narinfos_by_package(store)["phrases"].info.path
    Path("lamina.toml").write_text(
        f'[one]\ncontents = ["languages"]\n[two]\nname = "x"\nconfig.Cmd = ["{phrases}/bin/x"]\n'
        '[three]\nclosure = ["manual", "nosuch"]\n'
    )
    assert run_gc(store, "lamina.toml#one", "--dry-run").stdout.endswith(b"2 paths kept\n")
    assert run_gc(store, "lamina.toml#two", "--dry-run").stdout.endswith(b"3 paths kept\n")
    assert run_gc(store, "lamina.toml").code == 0
    assert names(store) == {"languages-1.0", "licence-1.0", "phrases-1.0", "manual-1.0"}
    assert run_gc(store, "lamina.toml#four").code == 2
    Path("empty.json").write_text('{"none": {"contents": ["nosuch"]}}')
    assert run_gc(store, "empty.json").code == 5


def test_a_link_into_the_store_keeps_its_target(store: Path) -> None:
    Path("result").symlink_to(str(narinfos_by_package(store)["licence"].info.path))
    assert run_gc(store, "./result").code == 0
    assert names(store) == {"licence-1.0"}


def test_orphaned_nars_and_stray_files_are_removed_too(store: Path) -> None:
    (store / "nar/0000.nar").write_bytes(b"x" * 10)
    (store / "nar/.lamina.77.part").write_bytes(b"x" * 20)
    (store / f"{path('A').hash}.ls").write_bytes(b"{}")
    (store / ".lamina/arriving/tmpx").write_bytes(b"x" * 30)
    (store / "README").write_text("mine")
    verified = run("store", "verify", "--store", store)
    assert verified.stdout.splitlines()[0].endswith(b"; 1 unused NAR, 3 leftover files")
    ran = run_gc(store, "hello", "--json")
    document = json.loads(ran.stdout)
    assert document["paths"] == []
    assert {found["name"]: found["size"] for found in document["files"]} == {
        "nar/0000.nar": 10,
        "nar/.lamina.77.part": 20,
        f"{path('A').hash}.ls": 2,
        ".lamina/arriving/tmpx": 30,
    }
    assert (document["size"], document["kept"]) == (62, CLOSURE)
    assert not list((store / ".lamina/fetching").iterdir())
    assert not list((store / ".lamina/arriving").iterdir())
    assert (store / "README").exists()
    assert len(names(store)) == CLOSURE


def test_a_nar_that_two_paths_share_is_removed_with_the_last(store: Path) -> None:
    known = narinfos_by_package(store)["licence"]
    info = PathInfo(path("twin-1"), known.info.nar_hash, known.info.nar_size, frozenset())
    EmbeddedStore(store).publish(NarInfo(info, "", "none", ()))
    assert run_gc(store, "licence").code == 0
    assert names(store) == {"licence-1.0"}
    EmbeddedStore(store).publish(NarInfo(info, "", "none", ()))
    ran = run_gc(store, "--all", "--json")
    assert [found["size"] > known.info.nar_size for found in json.loads(ran.stdout)["paths"]].count(True) == 1
    assert not list((store / "nar").iterdir())


def test_an_invalid_narinfo_that_a_root_needs_is_an_error_and_nothing_is_removed(store: Path) -> None:
    broken = store / f"{narinfos_by_package(store)['licence'].info.path.hash}.narinfo"
    broken.chmod(0o644)
    broken.write_bytes(b"garbage")
    ran = run_gc(store, str(HELLO))
    assert (ran.code, ran.error.partition(": ")[0]) == (3, str(broken))
    assert len(list(store.glob("*.narinfo"))) == CLOSURE
    assert run_gc(store, "--all").code == 0
    assert not list(store.glob("*.narinfo"))


def test_a_file_outside_the_folder_of_nars_is_not_removed(store: Path) -> None:
    info = PathInfo(path("A"), narinfos_by_package(store)["licence"].info.nar_hash, 1, frozenset())
    (store / f"{path('A').hash}.narinfo").write_text(NarInfo(info, "nix-cache-info", "none", ()).dump())
    assert run_gc(store, "--all").code == 0
    assert (store / "nix-cache-info").exists()


def test_nothing_is_removed_while_another_process_uses_the_store(store: Path) -> None:
    user = EmbeddedStore(store)
    user.location(HELLO)
    ran = call("store", "gc", "--all", "--store", store)
    assert (ran.code, ran.error) == (
        5,
        f"store {store}: got another process that uses it, expected no other process",
    )
    assert len(names(store)) == CLOSURE


LOOKS: dict[str, Callable[[EmbeddedStore], object]] = {
    "by path": lambda opened: opened.query([HELLO]),
    "by path, as one store of several": lambda opened: list(opened.query_each([HELLO])),
    "by name": lambda opened: opened.find("hello"),
    "by hash": lambda opened: opened.with_hashes([HELLO.hash]),
    "at all hashes": lambda opened: opened.hashes(),
    "at all paths": lambda opened: opened.narinfos(),
}


@pytest.mark.parametrize("look", LOOKS)
def test_nothing_is_removed_after_another_user_read_a_narinfo(look: str, store: Path) -> None:
    opened = EmbeddedStore(store)
    assert LOOKS[look](opened)
    with pytest.raises(Unavailable, match="got another process that uses it"):
        lamina.collect_garbage(all_paths=True, embedded_store=store)
    del opened
    assert lamina.collect_garbage(all_paths=True, embedded_store=store).kept == 0


@pytest.mark.parametrize("is_cache", [False, True])
def test_nothing_is_removed_between_planning_and_writing_an_image(is_cache: bool, store: Path) -> None:
    where = f"file://{EXAMPLES}/cache" if is_cache else store
    ready = lamina.stream_layered_image(
        contents=[ROOT], store=where, embedded_store=store, verify_signatures=False, layer_cache=None
    )
    ran = call("store", "gc", "--all", "--store", store)
    assert (ran.code, "got another process that uses it" in ran.stderr) == (5, True)
    ready.build(store.parent / "image.tar")
    del ready
    assert run_gc(store, "--all").code == 0


@pytest.mark.integration
def test_a_collection_killed_at_any_moment_leaves_a_complete_store(store: Path, tmp_path: Path) -> None:
    steps, was_killed = 0, True
    while was_killed:
        folder = tmp_path / f"copy-{steps}"
        shutil.copytree(store, folder)
        was_killed = run_and_kill(steps, "store", "gc", "licence", "--store", folder)
        left = check_store(folder)
        assert narinfos_by_package(store)["licence"].info.path in left
        ran = run("store", "verify", "--store", folder)
        assert (ran.code, b" 0 damaged;" in ran.stdout) == (0, True)
        assert run_gc(folder, "licence").code == 0
        assert names(folder) == {"licence-1.0"}
        assert len(list((folder / "nar").iterdir())) == 1
        steps += 4
    assert steps > CLOSURE


def test_the_python_api_collects_garbage_too(store: Path) -> None:
    with pytest.raises(InvalidArgument):
        lamina.collect_garbage(embedded_store=store)
    with pytest.raises(NotFound):
        lamina.collect_garbage("nosuch", embedded_store=store)
    with pytest.raises(Unavailable):
        lamina.collect_garbage(all_paths=True, embedded_store=EXAMPLES)
    found = lamina.collect_garbage("licence", embedded_store=store, dry_run=True)
    assert (len(found.paths), found.kept) == (CLOSURE - 1, 1)
    assert found == lamina.collect_garbage("licence", embedded_store=store)


@given(graphs())
def test_referrers_come_before_their_references(infos: tuple[PathInfo, ...]) -> None:
    order = [known.info for known in sort_referrers_first([NarInfo(info, "x", "none", ()) for info in infos])]
    assert sorted(order, key=lambda info: info.path) == sorted(infos, key=lambda info: info.path)
    gone: set[StorePath] = set()
    for info in order:
        assert not info.references & gone
        gone.add(info.path)


def test_a_cycle_is_removed_too() -> None:
    first = PathInfo(path("A"), NO_HASH, 1, frozenset({path("B")}))
    second = PathInfo(path("B"), NO_HASH, 1, frozenset({path("A")}))
    known = [NarInfo(info, "x", "none", ()) for info in (first, second)]
    assert len(sort_referrers_first(known)) == 2


def test_a_pipe_is_not_a_root_and_is_not_waited_for(store: Path) -> None:
    os.mkfifo("pipe")
    ran = run("store", "gc", "./pipe", "--store", store)
    assert (ran.code, "got neither a file nor a folder" in ran.stderr) == (2, True)


def test_an_image_that_is_too_large_gets_a_hint_for_this_command(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "DEFAULT_UNPACKED_SIZE", 1 << 10)
    Path("large.tar.gz").write_bytes(gzip.compress(docker_archive({"layer.tar": bytes(1 << 20)})))
    ran = run_gc(store, "large.tar.gz")
    assert (ran.code, "when decompressed" in ran.error) == (3, True)
    assert ran.stderr.endswith("hint: name the store paths of the image instead\n")
