"""The embedded store: a binary cache in a folder, from which only the contents of its NARs get into images."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support import factories
from tests.support.binary_cache import Cache, Machine, check_store, dump_nar, example, read_files
from tests.support.fake_nix_store import as_nobody, public_folder, run

from lamina.core.names import StorePath
from lamina.errors import FormatError, NotFound, Unavailable
from lamina.formats import narinfo
from lamina.formats.cache_info import CacheInfo
from lamina.stores.embedded.store import EmbeddedStore, is_store, nar_name

TREE: factories.Item = {b"x": factories.File(b"x" * 1000)}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "machine").mkdir()
    return Machine(tmp_path / "machine")


@pytest.fixture
def filled(cache: Cache, machine: Machine) -> tuple[StorePath, EmbeddedStore]:
    """A store with the example in it, and the example's root."""
    root = example(cache)
    ran = machine.build(cache.url, root)
    assert ran.code == 0, ran.stderr
    machine.image.rename(machine.folder / "fetched.tar")
    return root, EmbeddedStore(machine.store)


Filled = tuple[StorePath, EmbeddedStore]


# --- contents


def test_the_store_is_a_binary_cache_with_uncompressed_nars(filled: Filled, cache: Cache, machine: Machine) -> None:
    info = CacheInfo.parse((machine.store / "nix-cache-info").read_bytes())
    assert info == CacheInfo("/nix/store", want_mass_query=True, priority=30)
    assert check_store(machine.store) == set(cache.trees)
    for path, tree in cache.trees.items():
        found = narinfo.parse((machine.store / f"{path.hash}.narinfo").read_text())
        was = cache.narinfos[path]
        assert (found.info, found.signatures, found.compression) == (was.info, was.signatures, "none")
        assert (found.url, found.file_size) == (nar_name(was.info.nar_hash), was.info.nar_size)
        assert (machine.store / found.url).read_bytes() == dump_nar(tree)


def test_another_machine_can_fetch_from_it(filled: Filled, machine: Machine, tmp_path: Path) -> None:
    root, _ = filled
    other = Machine(tmp_path / "other")
    other.folder.mkdir()
    ran = other.build(f"file://{machine.store}", root)
    assert ran.code == 0, ran.stderr
    assert other.image.read_bytes() == (machine.folder / "fetched.tar").read_bytes()
    assert read_files(other.store) == read_files(machine.store)


def test_the_store_answers_queries(filled: Filled, cache: Cache) -> None:
    root, store = filled
    missing = factories.path("nothing")
    assert set(store.query([*cache.trees, missing])) == set(cache.trees)
    assert store.find("hello") == (root,)
    assert store.find("nothing") == ()
    assert store.hashes() == {path.hash for path in cache.trees}
    assert store.names() == {path.name for path in cache.trees}
    assert store.with_hashes([root.hash, missing.hash]) == (root,)
    assert [known.info.path for known in store.narinfos()] == sorted(cache.trees)
    assert [node.path for node in store.nodes(root)] == [b"", b"bin", b"bin/hello", b"share"]
    assert store.query([StorePath(root.base + "x")]) == {}
    with pytest.raises(NotFound, match=f"^{missing}: got no such valid path in {store.folder}, expected one$"):
        store.location(missing)


def test_a_removed_path_is_not_valid(filled: Filled, cache: Cache) -> None:
    root, store = filled
    store.remove([root, factories.path("nothing")])
    assert store.query([root]) == {}
    assert EmbeddedStore(store.folder).hashes() == store.hashes() == {path.hash for path in cache.trees} - {root.hash}


# --- damage


def test_a_folder_that_is_not_a_store_is_refused(tmp_path: Path) -> None:
    assert not is_store(tmp_path)
    with pytest.raises(Unavailable, match="got none there, expected an embedded store"):
        EmbeddedStore(tmp_path)
    (tmp_path / "nix-cache-info").write_text("StoreDir: /gnu/store\n")
    with pytest.raises(Unavailable, match="got a cache for /gnu/store, expected one for /nix/store"):
        EmbeddedStore(tmp_path)
    (tmp_path / "nix-cache-info").write_bytes(b"\xff")
    with pytest.raises(FormatError, match=r"nix-cache-info: got .*, expected UTF-8"):
        EmbeddedStore(tmp_path)


@pytest.mark.parametrize("content", [b"", b"noise", b"StorePath: \xff\n", b"StorePath: /nix/store/x\n"])
def test_an_invalid_narinfo_is_named_in_the_error(content: bytes, filled: Filled) -> None:
    root, store = filled
    file = store.folder / f"{root.hash}.narinfo"
    file.chmod(0o644)
    file.write_bytes(content)
    again = EmbeddedStore(store.folder)
    with pytest.raises(FormatError, match=f"^{file}: ") as caught:
        again.query([root])
    assert "--repair" in caught.value.hint
    # A path with an invalid narinfo has no name and does not prevent finding others.
    assert root not in again.find("hello")
    with pytest.raises(FormatError):
        again.narinfos()


@pytest.mark.parametrize("change", ["gone", "shorter", "longer", "a folder"])
def test_a_damaged_nar_does_not_get_into_an_image(change: str, filled: Filled, cache: Cache, machine: Machine) -> None:
    root, store = filled
    file = store.folder / nar_name(cache.narinfos[root].info.nar_hash)
    file.chmod(0o644)
    match change:
        case "gone":
            file.unlink()
        case "shorter":
            os.truncate(file, 100)
        case "longer":
            os.truncate(file, 100_000)
        case _:
            file.unlink()
            file.mkdir()
    ran = machine.build(str(store.folder), root, key=None)
    assert ran.code in (5, 6), ran.stderr
    assert str(file) in ran.stderr
    assert not machine.image.exists()


def test_a_missing_nar_is_fetched_again(filled: Filled, cache: Cache, machine: Machine) -> None:
    """The path is not valid any more either, so it is fetched like a new one."""
    root, store = filled
    store.remove([root])
    (store.folder / nar_name(cache.narinfos[root].info.nar_hash)).unlink()
    assert machine.build(cache.url, root).code == 0
    assert check_store(store.folder) == set(cache.trees)


def test_a_compressed_cache_must_be_named_by_its_url(cache: Cache, machine: Machine) -> None:
    root = example(cache)
    ran = machine.build(str(cache.folder), root, key=None)
    assert ran.code == 5, ran.stderr
    assert f"hint: use the folder as a binary cache: --store file://{cache.folder}" in ran.stderr


# --- permissions


def test_a_read_only_store_can_be_read(cache: Cache) -> None:
    root = example(cache)
    with public_folder() as folder:
        machine = Machine(folder)
        ran = machine.build(cache.url, root)
        assert ran.code == 0, ran.stderr
        wanted = machine.image.read_bytes()
        before = read_files(machine.store)
        # The other user's process has the modules of a build imported already, and a folder of its own.
        user_folder = folder / "his"
        user_folder.mkdir()
        user_folder.chmod(0o777)
        for location in (machine.store, *machine.store.parents[:2], *machine.store.rglob("*")):
            location.chmod(0o555 if location.is_dir() else 0o444)
        arguments = ("build", "-o", user_folder / "image.tar", "--no-layer-cache", "--store", machine.store, str(root))
        ran = as_nobody(lambda: run(*arguments))
        after = read_files(machine.store)
        for location in (machine.store, *machine.store.parents[:2], *machine.store.rglob("*/")):
            location.chmod(0o755)  # so that the folder can be removed
        assert ran.code == 0, ran.stderr
        assert (user_folder / "image.tar").read_bytes() == wanted
        assert after == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a user who may not write")
def test_fetching_into_a_read_only_store_is_an_error(cache: Cache) -> None:
    root = example(cache)
    with public_folder() as folder:
        shutil.copytree(cache.folder, folder / "cache")
        top = cache.add("top-1", TREE, [root])
        machine = Machine(folder / "machine")
        machine.folder.mkdir()
        assert machine.build(f"file://{folder}/cache", root).code == 0
        shutil.copytree(cache.folder, folder / "cache", dirs_exist_ok=True)
        machine.image.unlink()
        other_user = Machine(folder / "machine")
        before = read_files(machine.store)
        ran = as_nobody(lambda: other_user.build(f"file://{folder}/cache", top))
        assert ran.code == 10, ran.stderr
        assert re.search(rf"store {machine.store}: got Permission denied.*, expected a writable store", ran.stderr)
        assert read_files(machine.store) == before


# --- independence from this machine's file system

ODD: Mapping[bytes, factories.Item] = {
    b"README": factories.File(b"upper"),
    b"Readme": factories.File(b"mixed", executable=True),
    b"readme": factories.Link(b"README"),
    b"Dir": {b"a": factories.File(b"1"), b"A": factories.File(b"2")},
    b"dir": {b"a": factories.File(b"3")},
    b"name~nix~case~hack~1": factories.File(b"hack"),
    b"Name~nix~case~hack~2": {b"x~nix~case~hack~1": factories.Link(b"y")},
    b"CON": factories.File(b"con"),
    b"con.txt": factories.File(b"con"),
    b"AUX": {b"NUL": factories.File(b"nul"), b"COM1.": factories.File(b"com")},
    b"trailing.": factories.File(b"dot"),
    b"trailing ": factories.File(b"space"),
    b"a:b": factories.File(b"stream"),
    b'a*b?<>|"': factories.File(b"wild"),
    b"back\\slash": factories.File(b"back"),
    b"\xff\xfe": factories.File(b"bytes"),
    "é".encode(): factories.File(b"composed"),
    "e\u0301".encode(): factories.File(b"decomposed"),
    b"new\nline": factories.File(b"line"),
    b".lamina": {b"arriving": factories.File(b"not this one")},
    b"up": factories.Link(b"../../../etc/passwd"),
    b"n" * 255: factories.File(b"long"),
    b"n" * 300: factories.File(b"longer than any system takes"),
}


@pytest.fixture
def unusual_names(cache: Cache) -> StorePath:
    return cache.add("odd-1", {name: item for name, item in ODD.items() if len(name) < 256})


_listening: list[list[str]] = []


def _record_event(event: str, arguments: tuple[object, ...]) -> None:
    """Record a file system operation of this process, within `record_events`."""
    if _listening and event in _EVENTS:
        names = [os.fsdecode(name) for name in arguments[:2] if isinstance(name, str | bytes)]
        _listening[0].extend(f"{event} {name}" for name in names)


# An audit hook cannot be removed, so a single one is installed.
sys.addaudithook(_record_event)
_EVENTS = {"open", "os.mkdir", "os.rename", "os.link", "os.symlink", "os.chmod", "os.utime", "os.truncate"}


@contextmanager
def record_events() -> Iterator[list[str]]:
    """Record the names that are passed to the file system within the block."""
    found: list[str] = []
    _listening.append(found)
    try:
        yield found
    finally:
        _listening.clear()


def test_no_file_name_of_a_store_path_is_created_on_this_machine(
    unusual_names: StorePath, cache: Cache, machine: Machine
) -> None:
    with record_events() as found:
        ran = machine.build(cache.url, unusual_names)
    assert ran.code == 0, ran.stderr
    inside = [name for name in found if str(machine.store) in name]
    assert len(inside) > 5
    assert not [name for name in found if name.startswith(("os.symlink", "os.link"))]
    # File names of the store are lower case letters, digits, dots and dashes: distinct and valid on every system.
    for name in inside:
        rest = name.partition(str(machine.store))[2]
        assert re.fullmatch(r"(/[a-z0-9._-]+)*", rest), name
        assert not re.search(r"(?i)/(con|prn|aux|nul|com\d|lpt\d)(\.|/|$)|[. ](/|$)", rest), name


def test_file_names_differ_in_more_than_case(unusual_names: StorePath, cache: Cache, machine: Machine) -> None:
    assert machine.build(cache.url, unusual_names, example(cache)).code == 0
    names = [str(location.relative_to(machine.store)) for location in machine.store.rglob("*")]
    assert len({name.casefold() for name in names}) == len(names)
    assert not [location for location in machine.store.rglob("*") if location.is_symlink()]


def test_the_image_of_unusual_names_is_the_one_from_disk(
    unusual_names: StorePath, cache: Cache, machine: Machine, tmp_path: Path
) -> None:
    assert machine.build(cache.url, unusual_names).code == 0
    fetched = machine.image.read_bytes()
    machine.image.unlink()
    ran = machine.build(str(cache.on_disk(tmp_path / "disk").root), unusual_names, key=None)
    assert ran.code == 0, ran.stderr
    assert machine.image.read_bytes() == fetched


def test_names_that_no_disk_takes_get_into_an_image(cache: Cache, machine: Machine) -> None:
    path = cache.add("odd-1", ODD)
    assert machine.build(cache.url, path).code == 0
    assert b"n" * 300 in machine.image.read_bytes()


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o777])
def test_no_permission_of_the_store_gets_into_an_image(mode: int, filled: Filled, machine: Machine) -> None:
    root, store = filled
    for location in store.folder.rglob("*"):
        location.chmod(mode | stat.S_IXUSR if location.is_dir() else mode)
        os.utime(location, (mode, mode))
    ran = machine.build(str(store.folder), root, key=None)
    assert ran.code == 0, ran.stderr
    assert machine.image.read_bytes() == (machine.folder / "fetched.tar").read_bytes()


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_no_umask_gets_into_a_store(mask: int, cache: Cache, machine: Machine) -> None:
    root = example(cache)
    before = os.umask(mask)
    try:
        ran = machine.build(cache.url, root)
    finally:
        os.umask(before)
    assert ran.code == 0, ran.stderr
    files = [
        location for location in machine.store.rglob("*") if location.is_file() and ".lamina" not in location.parts
    ]
    assert {stat.S_IMODE(location.stat().st_mode) for location in files} == {0o444}


def test_a_folder_of_any_name_will_do(cache: Cache, tmp_path: Path) -> None:
    root = example(cache)
    for name in ("a: b", "späce é", os.fsdecode(b"\xff\xfe"), "100%"):
        machine = Machine(tmp_path / name)
        machine.folder.mkdir()
        ran = machine.build(cache.url, root)
        assert ran.code == 0, ran.stderr
        assert len(check_store(machine.store)) == 4


def test_errors_in_a_folder_of_any_name_are_reported(cache: Cache, tmp_path: Path) -> None:
    path = cache.add("bad-1", {}, archive=b"no archive at all")
    for name in ("a: b", os.fsdecode(b"\xff\xfe")):
        machine = Machine(tmp_path / name)
        machine.folder.mkdir()
        ran = machine.build(cache.url, path)
        assert ran.code == 3, ran.stderr
        assert re.search(rf"lamina: {path} in {cache.url}: NAR at byte \d+: got", ran.stderr)
