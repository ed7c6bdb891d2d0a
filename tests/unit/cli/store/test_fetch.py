"""``lamina store fetch`` as its users see it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.support.embedded_store import CLOSURE, KEY, ROOT, check
from tests.support.fake_nix_store import CompletedRun, FakeStore, example, run
from tests.support.paths import EXAMPLES

import lamina
from lamina.core.names import StorePath
from lamina.formats import narinfo
from lamina.stores.embedded.store import EmbeddedStore


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of its own for each test."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A signed binary cache that a test may spoil."""
    return Path(shutil.copytree(EXAMPLES / "cache", tmp_path / "cache"))


def fetch(*arguments: str | Path, store: str | Path) -> CompletedRun:
    return run("store", "fetch", *arguments, "--to", store)


def url(cache: Path) -> str:
    return f"file://{cache}"


def narinfo_of(cache: Path, name: str) -> Path:
    (file,) = (file for file in cache.glob("*.narinfo") if narinfo.parse(file.read_text()).info.path.name == name)
    return file


def test_a_closure_comes_from_a_cache(cache: Path, tmp_path: Path) -> None:
    ran = fetch(ROOT, "--store", url(cache), "--trusted-key", KEY, store=tmp_path / "store")
    lines = ran.stdout.decode().splitlines()
    assert (ran.code, len(lines), lines[-1]) == (0, CLOSURE, ROOT)
    assert check(tmp_path / "store") == set(lines)
    first, *lines, last = ran.stderr.splitlines()
    assert first == "Fetching 6 of 6 store paths, 14.5 KiB"
    assert [line.split()[1] for line in lines] == [f"{number}/6" for number in range(1, 7)]
    assert {line.split()[-1] for line in lines} == {"fetched"}
    assert last == f"{tmp_path}/store  6 of 6 paths fetched, 14.5 KiB"
    expected = narinfo.parse((cache / f"{StorePath.parse(ROOT).hash}.narinfo").read_text())
    kept = EmbeddedStore(tmp_path / "store").narinfo(expected.info.path)
    assert kept
    assert (kept.info, kept.signatures, kept.deriver) == (expected.info, expected.signatures, expected.deriver)


def test_fetched_paths_make_the_same_image(cache: Path, tmp_path: Path) -> None:
    flags = ("--trusted-key", KEY, "--no-layer-cache", "--quiet")
    fetch(ROOT, "--store", url(cache), "--trusted-key", KEY, store=tmp_path / "store")
    direct = run("stream", ROOT, "--store", url(cache), *flags)
    fetched = run("stream", "hello", "--store", tmp_path / "store", *flags)
    assert (fetched.code, direct.code) == (0, 0), fetched.stderr + direct.stderr
    assert fetched.stdout == direct.stdout


def test_valid_paths_are_not_fetched_again(cache: Path, tmp_path: Path) -> None:
    flags = ("--store", url(cache), "--trusted-key", KEY)
    first = fetch(ROOT, *flags, store=tmp_path / "store")
    shutil.rmtree(cache / "nar")
    again = fetch("hello", *flags, store=tmp_path / "store")
    assert (again.code, again.stdout) == (0, first.stdout)
    assert again.stderr == f"{tmp_path}/store  0 of 6 paths fetched\n"


def test_offline_no_server_is_asked(cache: Path, tmp_path: Path) -> None:
    unreachable = ("--store", "http://127.0.0.1:9", "--trusted-key", KEY, "--offline")
    assert fetch(ROOT, *unreachable, store=tmp_path / "store").code == 5
    first = fetch(ROOT, "--store", url(cache), "--trusted-key", KEY, store=tmp_path / "store")
    ran = fetch(ROOT, *unreachable, store=tmp_path / "store")
    assert (ran.code, ran.stdout) == (0, first.stdout), ran.stderr


def test_a_cache_without_a_trusted_signature_is_refused(cache: Path, tmp_path: Path) -> None:
    ran = fetch(ROOT, "--store", url(cache), store=tmp_path / "store")
    assert (ran.code, ran.stdout) == (6, b"")
    assert ran.error.startswith(
        f"{ROOT} in {url(cache)}: got only signatures of lamina-example-1, expected a signature of "
    )
    assert check(tmp_path / "store") == set()
    ran = fetch(ROOT, "--store", url(cache), "--no-verify-signatures", store=tmp_path / "store")
    assert ran.code == 0
    assert len(check(tmp_path / "store")) == CLOSURE


def test_a_damaged_nar_leaves_a_whole_store(cache: Path, tmp_path: Path) -> None:
    nar = cache / narinfo.parse(narinfo_of(cache, "languages-1.0").read_text()).url
    data = bytearray(nar.read_bytes())
    data[len(data) // 2] ^= 1
    nar.write_bytes(data)
    ran = fetch(ROOT, "--store", url(cache), "--trusted-key", KEY, store=tmp_path / "store")
    assert ran.code in (3, 6)
    assert "-languages-1.0 in file://" in ran.error
    valid = check(tmp_path / "store")
    assert ROOT not in valid
    assert not list((tmp_path / "store/.lamina/arriving").iterdir())
    shutil.copytree(EXAMPLES / "cache", cache, dirs_exist_ok=True)
    assert fetch(ROOT, "--store", url(cache), "--trusted-key", KEY, store=tmp_path / "store").code == 0
    assert len(check(tmp_path / "store")) == CLOSURE


def test_a_path_that_the_cache_lacks_is_named(cache: Path, tmp_path: Path) -> None:
    narinfo_of(cache, "languages-1.0").unlink()
    ran = fetch(ROOT, "--store", url(cache), "--trusted-key", KEY, store=tmp_path / "store")
    assert (ran.code, ran.stdout) == (5, b"")
    assert "-languages-1.0: got no such valid path in the store, expected it, because " in ran.error
    assert check(tmp_path / "store") == set()


def test_the_second_cache_provides_what_the_first_lacks(cache: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(cache, tmp_path / "other"))
    narinfo_of(cache, "languages-1.0").unlink()
    flags = ("--store", url(cache), "--store", url(other), "--trusted-key", KEY)
    assert fetch(ROOT, *flags, store=tmp_path / "store").code == 0
    assert len(check(tmp_path / "store")) == CLOSURE


def test_the_store_in_the_data_folder_is_the_default(cache: Path, data: Path) -> None:
    ran = run("store", "fetch", ROOT, "--store", url(cache), "--trusted-key", KEY, "--quiet")
    assert (ran.code, ran.stderr) == (0, "")
    assert len(check(data / "lamina/store")) == CLOSURE


def test_the_machines_own_store_is_no_source_until_it_is_named(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, hello = example(tmp_path / "machine")
    monkeypatch.setattr("lamina.stores.open.MACHINE", machine.root)
    flags = ("--store", url(cache), "--trusted-key", KEY)
    assert fetch(str(hello), *flags, store=tmp_path / "store").code == 5
    assert fetch(str(hello), *flags, "--store", machine.root, store=tmp_path / "store").code == 0
    assert str(hello) in check(tmp_path / "store")


@pytest.fixture
def machine(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "machine")[0]


def test_a_nix_store_on_this_machine_is_copied(machine: FakeStore, tmp_path: Path) -> None:
    ran = fetch("hello", "--store", machine.root, store=tmp_path / "store")
    assert (ran.code, len(ran.stdout.splitlines())) == (0, 4)
    assert check(tmp_path / "store") == set(ran.stdout.decode().splitlines())
    flags = ("--no-layer-cache", "--quiet")
    image = run("stream", "hello", "--store", tmp_path / "store", *flags)
    assert image.code == 0
    assert image.stdout == run("stream", "hello", "--store", machine.root, *flags).stdout


def test_the_deriver_and_signatures_of_a_nix_store_are_copied_too(machine: FakeStore, tmp_path: Path) -> None:
    deriver = f"/nix/store/{'a' * 32}-words.drv"
    with machine.writing() as database:
        database.execute(
            "UPDATE ValidPaths SET deriver = ?, sigs = 'a:YQ== b:Yg==' WHERE path LIKE '%words%'", (deriver,)
        )
    fetch("words", "--store", machine.root, store=tmp_path / "store")
    (found,) = lamina.list_paths(embedded_store=tmp_path / "store")
    assert (found.signatures, found.deriver) == (("a:YQ==", "b:Yg=="), deriver.rpartition("/")[2])


def test_a_damaged_path_of_a_nix_store_is_refused(machine: FakeStore, tmp_path: Path) -> None:
    words = next(path for path in machine.numbers if path.name.startswith("words"))
    file = machine.location(words) / "share/hello.txt"
    file.chmod(0o644)
    file.write_bytes(b"jello\n")
    ran = fetch("hello", "--store", machine.root, store=tmp_path / "store")
    assert ran.code == 6
    assert f"{words} in the store that has it: got a NAR with hash " in ran.error
    assert not {str(words), ROOT} & check(tmp_path / "store")


def test_the_result_is_readable_for_machines(cache: Path, tmp_path: Path) -> None:
    flags = ("--store", url(cache), "--trusted-key", KEY, "--json")
    ran = fetch(ROOT, *flags, store=tmp_path / "store")
    document = json.loads(ran.stdout)
    assert (document["version"], document["store"], document["warnings"]) == (1, str(tmp_path / "store"), [])
    assert [path["fetched"] for path in document["paths"]] == [True] * CLOSURE
    last = document["paths"][-1]
    assert (last["path"], last["narSize"], last["narHash"][:7]) == (ROOT, 3480, "sha256-")
    again = json.loads(fetch(ROOT, *flags, store=tmp_path / "store").stdout)
    assert [path["fetched"] for path in again["paths"]] == [False] * CLOSURE
    assert again["paths"][-1] == {**last, "reused": True, "fetched": False}
    assert [[one[key] for key in ("path_count", "fetched_count", "fetched_nar_size")] for one in (document, again)] == [
        [CLOSURE, CLOSURE, 14800],
        [CLOSURE, 0, 0],
    ]


def test_a_source_in_the_place_of_a_destination_is_refused(tmp_path: Path) -> None:
    ran = run("store", "fetch", ROOT, "--store", tmp_path / "new")
    assert (ran.code, ran.stdout) == (2, b"")
    assert ran.stderr.splitlines()[-1] == f"hint: --to {tmp_path / 'new'} writes to it"
    assert not (tmp_path / "new").exists()


def test_another_embedded_store_is_a_source_beside_a_destination(cache: Path, tmp_path: Path) -> None:
    first = fetch(ROOT, "--store", url(cache), "--trusted-key", KEY, store=tmp_path / "one")
    ran = fetch("hello", "--store", tmp_path / "one", store=tmp_path / "two")
    assert (ran.code, ran.stdout) == (0, first.stdout), ran.stderr
    assert len(check(tmp_path / "two")) == CLOSURE
    kept = lamina.list_paths("hello", embedded_store=tmp_path / "two")
    assert kept == lamina.list_paths("hello", embedded_store=tmp_path / "one")


def test_a_destination_is_a_folder(tmp_path: Path) -> None:
    ran = fetch(ROOT, store="https://cache.example.org")
    assert (ran.code, ran.error) == (2, "to: got 'https://cache.example.org', expected a folder")
    assert "lamina store push" in ran.stderr


def test_a_folder_of_something_else_is_no_store(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter").write_text("dear")
    ran = fetch(ROOT, "--store", url(cache), store=tmp_path / "mine")
    assert ran.code == 5
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["letter"]


def test_python_fetches_too(cache: Path, tmp_path: Path) -> None:
    fetched = lamina.fetch_paths([ROOT], embedded_store=tmp_path / "store", store=url(cache), trusted_keys=KEY)
    assert [str(known.info.path) for known in fetched.paths][-1] == ROOT
    assert fetched.new == {known.info.path for known in fetched.paths}
    with pytest.raises(lamina.InvalidArgument, match="embedded_store"):
        lamina.fetch_paths([ROOT], embedded_store="", store=url(cache))


def test_a_nar_without_its_narinfo_is_fetched_again(cache: Path, tmp_path: Path) -> None:
    flags = ("--store", url(cache), "--trusted-key", KEY)
    fetch(ROOT, *flags, store=tmp_path / "store")
    known = next(known for known in EmbeddedStore(tmp_path / "store").narinfos() if not known.info.references)
    file = tmp_path / "store" / known.url
    file.chmod(0o644)
    spoilt = bytearray(file.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    file.write_bytes(spoilt)
    (tmp_path / "store" / f"{known.info.path.hash}.narinfo").unlink()
    assert fetch(ROOT, *flags, store=tmp_path / "store").code == 0
    assert len(check(tmp_path / "store")) == CLOSURE


def test_a_nar_that_was_there_is_not_reported_as_fetched(cache: Path, tmp_path: Path) -> None:
    """This also holds for a path that is no longer valid, or that another process has added."""
    flags = ("--store", url(cache), "--trusted-key", KEY, "--json")
    first = json.loads(fetch(ROOT, *flags, store=tmp_path / "store").stdout)
    assert all(path["fetched"] for path in first["paths"])
    (tmp_path / "store" / f"{StorePath.parse(ROOT).hash}.narinfo").unlink()
    second = json.loads(fetch(ROOT, *flags, store=tmp_path / "store").stdout)
    assert not any(path["fetched"] for path in second["paths"])
    assert len(check(tmp_path / "store")) == CLOSURE


@pytest.mark.parametrize("was_there", [False, True])
def test_a_failed_fetch_makes_no_store(was_there: bool, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    if was_there:
        folder.mkdir()
    ran = fetch(ROOT, "--store", url(tmp_path / "nothing"), store=folder)
    assert ran.code == 5
    assert folder.exists() is was_there
    assert not was_there or not list(folder.iterdir())


def test_a_damaged_narinfo_affects_only_its_own_path(cache: Path, tmp_path: Path) -> None:
    flags = ("--store", url(cache), "--trusted-key", KEY)
    fetch(ROOT, *flags, store=tmp_path / "store")
    file = tmp_path / "store" / f"{StorePath.parse(ROOT).hash}.narinfo"
    file.chmod(0o644)
    file.write_text("junk")
    assert run("store", "info", "phrases", "--store", tmp_path / "store").code == 0
    spoilt = run("store", "info", ROOT, "--store", tmp_path / "store")
    assert (spoilt.code, "--repair --store URL" in spoilt.stderr) == (3, True)
    assert fetch(ROOT, *flags, store=tmp_path / "store").code == 0
    assert len(check(tmp_path / "store")) == CLOSURE


def test_an_image_of_nars_that_were_fetched_again_is_the_same(cache: Path, tmp_path: Path) -> None:
    """The layer cache records the dates of the files that it has listed; a file of the same hash may replace one."""
    flags = (ROOT, "--store", url(cache), "--trusted-key", KEY, "--layer-cache", tmp_path / "layer_cache", "--quiet")
    first = run("stream", *flags)
    shutil.rmtree(tmp_path / "data")
    for file in cache.glob("nar/*"):
        file.touch()
    again = [run("stream", *flags) for _ in range(2)]
    assert [(ran.code, ran.stderr) for ran in (first, *again)] == [(0, "")] * 3
    assert {ran.stdout for ran in again} == {first.stdout}
    assert run("stream", *flags, "--architecture", "arm64").code == 0


def test_the_error_for_a_missing_store_says_how_to_make_one(tmp_path: Path) -> None:
    for command in (("info", "hello"), ("gc", "hello"), ("export", "hello", "-o", "x")):
        ran = run("store", *command)
        assert ran.code == 5
        assert "got none there, expected an embedded store\nhint: lamina store fetch, add and import make" in ran.stderr
