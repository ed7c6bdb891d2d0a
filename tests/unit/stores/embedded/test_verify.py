"""``lamina store verify`` of the embedded store: every kind of damage is found and repaired from a cache."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from tests.support import factories
from tests.support.binary_cache import KEY as CACHE_KEY
from tests.support.binary_cache import METHODS, SELF, Cache, check_store, dump_nar
from tests.support.embedded_store import CLOSURE, KEY, ROOT, fetch_example, narinfos_by_package
from tests.support.fake_nix_store import CompletedRun, run
from tests.support.paths import EXAMPLES

import lamina
from lamina.core.names import Digest
from lamina.core.pathinfo import PathInfo
from lamina.errors import InvalidArgument, Unavailable
from lamina.formats import narinfo
from lamina.formats.content_address import NAR, TEXT
from lamina.formats.narinfo import NarInfo
from lamina.stores.embedded.store import EmbeddedStore, nar_name

CACHE = f"file://{EXAMPLES}/cache"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    fetch_example(tmp_path / "store")
    return tmp_path / "store"


def verify(store: Path, *arguments: str | Path) -> CompletedRun:
    return run("store", "verify", "--store", store, "--layer-cache", store.parent / "layer_cache", *arguments)


def run_repair(store: Path, *arguments: str | Path) -> CompletedRun:
    return verify(store, "--repair", "--store", CACHE, "--trusted-key", KEY, *arguments)


class DamagedStorePath:
    """The files of one path in a store, made writable so that a test can damage them."""

    def __init__(self, store: Path, package: str = "phrases") -> None:
        self.known = narinfos_by_package(store)[package]
        self.path = self.known.info.path
        self.nar = store / self.known.url
        self.narinfo = store / f"{self.path.hash}.narinfo"
        for file in (self.nar, self.narinfo):
            file.chmod(0o644)

    def write(self, known: NarInfo) -> None:
        self.narinfo.write_text(known.dump())


def change_a_byte(found: DamagedStorePath) -> str:
    data = bytearray(found.nar.read_bytes())
    offset = data.index(b"Hello")
    data[offset] ^= 1
    found.nar.write_bytes(data)
    return f"{found.path}: got NAR hash sha256:"


def truncate_nar(found: DamagedStorePath) -> str:
    found.nar.write_bytes(found.nar.read_bytes()[:-8])
    return f"{found.path}: {found.nar}: got {found.known.info.nar_size - 8} bytes, expected "


def empty_nar(found: DamagedStorePath) -> str:
    found.nar.write_bytes(b"")
    return f"{found.path}: {found.nar}: got 0 bytes, expected "


def remove_nar(found: DamagedStorePath) -> str:
    found.nar.unlink()
    return f"{found.path}: {found.nar}: got nothing there, expected a NAR"


def replace_nar_by_a_folder(found: DamagedStorePath) -> str:
    found.nar.unlink()
    found.nar.mkdir()
    return f"{found.path}: "


def write_an_invalid_nar(found: DamagedStorePath) -> str:
    data = b"not an archive".ljust(found.known.info.nar_size, b".")
    found.nar.write_bytes(data)
    nar_hash = Digest(sha256(data).digest())
    found.write(replace(found.known, info=replace(found.known.info, nar_hash=nar_hash)))
    return f"{found.path}: {found.nar}: NAR at byte 8: got "


def remove_narinfo(found: DamagedStorePath) -> str:
    found.narinfo.unlink()
    return f"{found.path}: got no such valid path, expected it, because "


def empty_narinfo(found: DamagedStorePath) -> str:
    found.narinfo.write_bytes(b"")
    return f"{found.narinfo}: narinfo: got no StorePath, expected one"


def write_a_binary_narinfo(found: DamagedStorePath) -> str:
    found.narinfo.write_bytes(b"\xff\xfe")
    return f"{found.narinfo}: narinfo: got b'\\xff', expected UTF-8"


def change_path(found: DamagedStorePath) -> str:
    found.write(replace(found.known, info=replace(found.known.info, path=factories.path("A"))))
    return f"{found.narinfo}: got the narinfo of {factories.path('A')}, expected one of {found.path.hash}"


def change_nar_hash(found: DamagedStorePath) -> str:
    found.write(replace(found.known, info=replace(found.known.info, nar_hash=Digest(bytes(32)))))
    return f"{found.path}: got NAR hash sha256:"


def change_nar_size(found: DamagedStorePath) -> str:
    found.write(replace(found.known, info=replace(found.known.info, nar_size=8)))
    return f"{found.path}: {found.nar}: got {found.known.info.nar_size} bytes, expected 8"


def change_compression(found: DamagedStorePath) -> str:
    found.write(replace(found.known, compression="xz"))
    return f"{found.path}: {found.nar}: got a NAR compressed with xz, expected an uncompressed NAR"


DAMAGES = [
    change_a_byte,
    truncate_nar,
    empty_nar,
    remove_nar,
    write_an_invalid_nar,
    remove_narinfo,
    empty_narinfo,
    write_a_binary_narinfo,
    change_path,
    change_nar_hash,
    change_nar_size,
    change_compression,
]


def test_an_intact_store_is_reported_as_intact(store: Path) -> None:
    ran = verify(store)
    first, *lines = ran.stderr.splitlines()
    assert (ran.code, first) == (0, "Verifying 6 store paths, 14.5 KiB")
    assert len(lines) == CLOSURE
    assert all(re.fullmatch(r"path \d/6  \S+ +[0-9.]+ (KiB|B)  intact", line) for line in lines)
    assert ran.stdout.decode() == (
        "6 paths, 14.5 KiB: 6 intact, 0 damaged; 0 unused NARs, 0 leftover files\n"
        f"no layer cache at {store.parent}/layer_cache\n"
    )


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_named_and_repaired_from_a_cache(store: Path, damage: Callable[[DamagedStorePath], str]) -> None:
    found = DamagedStorePath(store)
    start = damage(found)
    ran = verify(store)
    lines = ran.stdout.decode().splitlines()
    assert (ran.code, len(lines)) == (6, 3), ran.stdout
    assert lines[0].startswith(start)
    assert lines[1].startswith(f"{CLOSURE} paths, ")
    assert f": {CLOSURE - 1} intact, 1 damaged; " in lines[1]
    assert ran.error == lines[0]
    assert ran.stderr.splitlines()[-1].startswith("hint: lamina store verify --repair ")
    ran = run_repair(store)
    lines = ran.stdout.decode().splitlines()
    assert (ran.code, "warning" in ran.stderr) == (0, False), ran.stderr
    assert lines[0].startswith(f"repaired: {start}")
    assert f": {CLOSURE - 1} intact, 1 repaired, 0 damaged; " in lines[1]
    assert verify(store).code == 0
    assert len(check_store(store)) == CLOSURE
    assert replace(narinfos_by_package(store)["phrases"], extra_fields=()) == replace(found.known, extra_fields=())


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_that_no_cache_can_repair_stays(
    store: Path, tmp_path: Path, damage: Callable[[DamagedStorePath], str]
) -> None:
    damage(DamagedStorePath(store))
    before = {file: file.read_bytes() for file in store.rglob("*") if file.is_file() and ".lamina" not in file.parts}
    empty_nar = Cache(tmp_path / "empty")
    ran = verify(store, "--repair", "--store", empty_nar.url, "--no-verify-signatures")
    assert (ran.code, b", 1 damaged; " in ran.stdout) == (6, True)
    after = {file: file.read_bytes() for file in store.rglob("*") if file.is_file() and ".lamina" not in file.parts}
    assert after == before


def test_all_damage_is_repaired_from_the_first_cache_that_has_each_path(store: Path, tmp_path: Path) -> None:
    for file in (*store.glob("*.narinfo"), *store.glob("nar/*")):
        file.chmod(0o644)
        file.write_bytes(b"x" * file.stat().st_size)
    first = Path(shutil.copytree(EXAMPLES / "cache", tmp_path / "first"))
    for file in list(first.glob("*.narinfo"))[:3]:
        file.unlink()
    ran = verify(
        store, "--repair", "--store", f"file://{first}", "--store", CACHE, "--trusted-key", KEY, "--offline", "--quiet"
    )
    assert ran.code == 0, ran.stdout + ran.stderr.encode()
    assert len(ran.stdout.splitlines()) == CLOSURE + 2
    assert len(check_store(store)) == CLOSURE


def test_an_untrusted_cache_repairs_nothing(store: Path) -> None:
    found = DamagedStorePath(store)
    change_a_byte(found)
    spoilt = found.nar.read_bytes()
    ran = verify(store, "--repair", "--store", CACHE)
    assert ran.code == 6
    assert f"lamina: warning: {found.path} in {CACHE}: got only signatures of lamina-example-1, expected " in ran.stderr
    assert found.nar.read_bytes() == spoilt


def test_a_damaged_cache_repairs_nothing(store: Path, tmp_path: Path) -> None:
    found = DamagedStorePath(store)
    change_a_byte(found)
    spoilt = found.nar.read_bytes()
    cache = Path(shutil.copytree(EXAMPLES / "cache", tmp_path / "cache"))
    cached = narinfo.parse((cache / f"{found.path.hash}.narinfo").read_text())
    (cache / cached.url).write_bytes(b"x")
    ran = verify(store, "--repair", "--store", f"file://{cache}", "--trusted-key", KEY)
    assert ran.code == 6
    assert f"lamina: warning: {found.path} in file://{cache}: xz at byte 0: got " in ran.stderr
    assert found.nar.read_bytes() == spoilt


def test_repair_requires_a_cache(store: Path) -> None:
    for arguments in ((), ("--store", "https://127.0.0.1:9", "--offline"), ("--store", f"file://{store}", "--x")):
        ran = verify(store, "--repair", *arguments)
        assert ran.code == 2
    assert verify(store, "--repair").error.startswith("repair: got no binary cache, expected one ")


def test_another_cache_folder_repairs_when_named_by_its_url(store: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(store, other)
    change_a_byte(DamagedStorePath(store))
    assert verify(store, "--repair", "--store", f"file://{other}", "--trusted-key", KEY).code == 0
    assert lamina.verify_store(embedded_store=store, repair=True, store=[other], trusted_keys=KEY).intact == CLOSURE


@pytest.mark.parametrize("method", METHODS)
def test_a_content_address_is_checked_against_the_content(tmp_path: Path, method: str) -> None:
    cache = Cache(tmp_path / "cache", key=None)
    self_reference = method == NAR
    item: factories.Item = {b"a": factories.File(b"me: " + SELF)} if self_reference else factories.File(b"some text\n")
    path = cache.add("addressed-1", item, method=method, self_reference=self_reference)
    store = tmp_path / "store"
    lamina.fetch_paths([str(path)], embedded_store=store, store=cache.url)
    assert verify(store).code == 0
    data = (
        (store / EmbeddedStore(store).narinfos()[0].url)
        .read_bytes()
        .replace(b"me: ", b"Me: ")
        .replace(b"some", b"Some")
    )
    known = EmbeddedStore(store).narinfos()[0]
    digest = Digest(sha256(data).digest())
    (store / nar_name(digest)).write_bytes(data)
    EmbeddedStore(store).publish(replace(known, info=replace(known.info, nar_hash=digest)))
    ran = verify(store)
    assert (ran.code, ran.error) == (6, f"{path}: got other content, expected content that matches {known.address}")
    assert verify(store, "--repair", "--store", cache.url).code == 0
    assert EmbeddedStore(store).narinfos()[0].info == known.info


@pytest.mark.parametrize("address", ["fixed:r:sha256:nonsense", "x", f"fixed:r:sha256:{'0' * 52}"])
def test_an_address_that_does_not_result_in_the_path_is_ignored(store: Path, address: str) -> None:
    """Signatures do not cover the address."""
    for known in EmbeddedStore(store).narinfos():
        EmbeddedStore(store).publish(replace(known, address=address))
    ran = verify(store)
    assert (ran.code, "damaged" in ran.stderr) == (0, False)


def test_a_wrong_address_of_a_signed_path_is_ignored(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", key=None)
    path = cache.add("addressed-1", factories.File(b"some text\n"), method=TEXT)
    cache.add("other-1", factories.File(b"other text\n"))
    other = next(known for known in cache.narinfos.values() if known.info.path != path)
    info = replace(other.info, path=path)
    cache.change(path, info=info, url=other.url, file_hash=None, file_size=None)
    cache.sign(path, CACHE_KEY)
    store = tmp_path / "store"
    lamina.fetch_paths([str(path)], embedded_store=store, store=cache.url, trusted_keys=str(CACHE_KEY.public))
    assert EmbeddedStore(store).narinfos()[0].address == ""
    EmbeddedStore(store).publish(replace(cache.narinfos[path], url="x"))
    assert verify(store).code == 0


def test_signatures_are_not_checked(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", key=None)
    path = cache.add("a", {})
    lamina.fetch_paths([str(path)], embedded_store=tmp_path / "store", store=cache.url, verify_signatures=False)
    assert verify(tmp_path / "store").code == 0


def test_a_missing_reference_is_fetched_with_its_closure(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    low = cache.add("low", {})
    middle = cache.add("middle", {}, [low])
    top = cache.add("top", {}, [middle])
    store = EmbeddedStore.open_or_create(tmp_path / "store")
    data = dump_nar({})
    with store.create_incoming() as incoming:
        incoming.write(data)
        incoming.commit(nar_name(incoming.blob_info.digest))
        info = PathInfo(top, incoming.blob_info.digest, len(data), frozenset({middle}))
    store.publish(NarInfo(info, "", "none", ()))
    ran = verify(store.folder)
    assert (ran.code, ran.error) == (6, f"{middle}: got no such valid path, expected it, because {top} refers to it")
    flags = ("--repair", "--store", cache.url, "--trusted-key", str(CACHE_KEY.public))
    assert verify(store.folder, *flags).code == 0
    assert check_store(store.folder) == {low, middle, top}


def test_the_layers_of_the_layer_cache_are_looked_for_in_the_store(store: Path) -> None:
    assert run("stream", "hello", "--store", store, "--layer-cache", store.parent / "layer_cache").code == 0
    ran = verify(store)
    assert ran.stdout.splitlines()[1].startswith(b"6 layers: 6 intact, 0 damaged, 0 absent"), ran.stdout
    change_a_byte(DamagedStorePath(store))
    ran = verify(store)
    assert (ran.code, len(ran.stdout.splitlines())) == (6, 4)
    assert ran.stdout.splitlines()[2].startswith(b"layer sha256:")


def test_the_store_in_the_data_folder_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder = tmp_path / "lamina/store"
    monkeypatch.setattr("lamina.stores.open.MACHINE", tmp_path)
    ran = run("store", "verify", "--layer-cache", tmp_path / "layer_cache")
    assert (ran.code, ran.stderr) == (0, f"no embedded store at {folder}\n")
    fetch_example(folder)
    assert run("stream", "hello", "--layer-cache", tmp_path / "layer_cache").code == 0
    ran = run("store", "verify", "--layer-cache", tmp_path / "layer_cache")
    first, second = ran.stdout.decode().splitlines()
    assert (ran.code, first[:9], second[:10]) == (0, "6 paths, ", "6 layers: ")


def test_a_missing_store_is_an_error(tmp_path: Path) -> None:
    assert verify(tmp_path / "nothing").code == 5
    with pytest.raises(Unavailable):
        lamina.verify_store(embedded_store=tmp_path)
    with pytest.raises(InvalidArgument):
        lamina.verify_store(embedded_store="")


def test_the_result_can_be_printed_as_json(store: Path) -> None:
    found = DamagedStorePath(store)
    start = change_a_byte(found)
    whole = json.loads(verify(store, "--json").stdout)
    document, old = whole["store_check"], whole["store"]
    (damaged,) = document.pop("damaged")
    assert (damaged["hash"], damaged["reason"][: len(start)]) == (found.path.hash, start)
    assert document == {
        "store": str(store),
        "path_count": CLOSURE,
        "nar_size": sum(known.info.nar_size for known in narinfos_by_package(store).values()),
        "intact": CLOSURE - 1,
        "repaired": [],
        "orphans": 0,
        "leftovers": 0,
        "warnings": [],
    }
    assert (old["folder"], old["paths"], old["size"]) == (str(store), CLOSURE, document["nar_size"])
    assert (old["damaged"], old["mended"]) == ([damaged], [])
    repaired = json.loads(run_repair(store, "--json").stdout)
    assert (repaired["store_check"]["repaired"], repaired["store_check"]["damaged"]) == ([damaged], [])
    assert repaired["store"]["mended"] == [damaged]


def test_a_repaired_store_makes_the_same_image(store: Path) -> None:
    flags = ("--store", store, "--no-layer-cache", "--quiet")
    before = run("stream", ROOT, *flags).stdout
    change_a_byte(DamagedStorePath(store))
    run_repair(store)
    assert run("stream", ROOT, *flags).stdout == before


def test_a_cache_without_repair_is_a_usage_error() -> None:
    ran = run("store", "verify", "--store", "https://cache.example")
    assert (ran.code, "without --repair" in ran.stderr) == (2, True)
