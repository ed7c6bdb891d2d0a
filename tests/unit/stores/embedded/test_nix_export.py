"""``lamina store export`` and ``import``: round trips, and streams that end early."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from tests.support import factories
from tests.support.binary_cache import SELF, Cache, check_store, dump_nar, list_leftovers
from tests.support.embedded_store import CLOSURE, HELLO, ROOT, fetch_example, narinfos_by_package, run_and_kill
from tests.support.fake_nix_store import (
    CompletedRun,
    FakeStore,
    Item,
    Program,
    SymlinkTo,
    call,
    example,
    in_mount_namespace,
    run,
)

import lamina
from lamina.core.names import StorePath
from lamina.errors import FormatError, InputError, InvalidArgument
from lamina.formats import nix_export
from lamina.formats.content_address import NAR
from lamina.formats.nix_export import END, NEXT, ExportedPath
from lamina.stores.embedded.store import EmbeddedStore, nar_name
from lamina.stores.local.database import LocalStore


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    fetch_example(tmp_path / "store")
    return tmp_path / "store"


def export_store(store: Path, *arguments: str | Path) -> bytes:
    ran = run("store", "export", "--store", store, "--quiet", *arguments)
    assert ran.code == 0, ran.stderr
    return ran.stdout


def import_export(data: bytes, store: Path) -> CompletedRun:
    file = store.parent / "export"
    file.write_bytes(data)
    return run("store", "import", file, "--to", store)


def parse_export(data: bytes) -> list[ExportedPath]:
    stream = io.BytesIO(data)
    found = list(nix_export.parse(stream.read, len))
    assert not stream.read()
    return found


def dump_exports(*paths: tuple[factories.Item, ExportedPath]) -> bytes:
    return b"".join(NEXT + dump_nar(item) + found.dump() for item, found in paths) + END


A, B, C = map(factories.path, "ABC")


def test_an_exported_closure_can_be_imported(store: Path, tmp_path: Path) -> None:
    data = export_store(store, "hello")
    paths = parse_export(data)
    assert (len(paths), paths[-1].path) == (CLOSURE, HELLO)
    seen: set[StorePath] = set()
    for found in paths:
        assert found.references - {found.path} <= seen
        seen.add(found.path)
    ran = import_export(data, tmp_path / "other")
    assert (ran.code, ran.stdout.decode().split()) == (0, [str(found.path) for found in paths])
    assert ran.stderr == f"{tmp_path}/other  {CLOSURE} paths  {CLOSURE} new\n"
    assert len(check_store(tmp_path / "other")) == CLOSURE
    before, after = narinfos_by_package(store), narinfos_by_package(tmp_path / "other")
    assert {known.info for known in after.values()} == {known.info for known in before.values()}
    assert {known.deriver for known in after.values()} == {known.deriver for known in before.values()}
    assert export_store(tmp_path / "other", "--all") == export_store(store, "--all")


def test_an_export_goes_through_a_pipe_in_one_pass(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "export"
    with file.open("wb") as out:
        assert call("store", "export", ROOT, "--store", store, stdout=out).code == 0
    assert file.read_bytes() == export_store(store, ROOT)
    with file.open("rb") as source:
        ran = call("store", "import", "--to", tmp_path / "other", "--json", stdin=source)
    document = json.loads(ran.stdout)
    assert (ran.code, len(document["paths"]), document["store"]) == (0, CLOSURE, str(tmp_path / "other"))
    assert all(found["new"] and found["narSize"] for found in document["paths"])


def test_a_file_is_written_whole_or_not_at_all(store: Path, tmp_path: Path) -> None:
    ran = run("store", "export", "licence", "-o", "x.export", "--store", store, "--json")
    assert (ran.code, json.loads(ran.stdout)["paths"]) == (0, [str(narinfos_by_package(store)["licence"].info.path)])
    assert Path("x.export").read_bytes() == export_store(store, "licence")
    known = narinfos_by_package(store)["licence"]
    (store / known.url).chmod(0o644)
    data = (store / known.url).read_bytes()
    (store / known.url).write_bytes(data[:-20] + b"?" + data[-19:])
    ran = run("store", "export", "hello", "-o", "y.export", "--store", store)
    assert (ran.code, ran.error.partition(": ")[0]) == (6, str(known.info.path))
    assert not Path("y.export").exists()


def test_a_store_of_nix_can_be_exported_from(tmp_path: Path) -> None:
    disk, hello = example(tmp_path / "root")
    ran = run("store", "export", str(hello), "--store", disk.root, "--quiet")
    assert ran.code == 0, ran.stderr
    assert import_export(ran.stdout, tmp_path / "other").code == 0
    assert run("store", "verify", "--store", tmp_path / "other").code == 0
    assert hello in check_store(tmp_path / "other")


def test_a_cache_can_be_exported_from(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    path = cache.add("b", {b"x": factories.File(b"1")}, [cache.add("a", {})])
    flags = ("--store", cache.url, "--store", tmp_path / "store", "--no-verify-signatures")
    ran = run("store", "export", str(path), *flags)
    assert ran.code == 0, ran.stderr
    assert [found.path.name for found in parse_export(ran.stdout)] == ["a", "b"]


def test_the_paths_to_export_are_named_in_exactly_one_way(store: Path) -> None:
    for arguments in ([], ["hello", "--all"], ["--all", "--store", "file:///nowhere"]):
        assert run("store", "export", *arguments, "--store", store).code == 2
    assert run("store", "export", "nosuch", "--store", store).code == 5


def test_a_valid_path_stays_unchanged(store: Path) -> None:
    before = {file: file.stat().st_ino for file in store.glob("*.narinfo")}
    ran = run("store", "import", "--to", store, "--json", _write_export(export_store(store, "--all"), store))
    assert [found["new"] for found in json.loads(ran.stdout)["paths"]] == [False] * CLOSURE
    assert {file: file.stat().st_ino for file in store.glob("*.narinfo")} == before
    other = dump_exports(({b"other": factories.File(b"!")}, ExportedPath(HELLO, frozenset())))
    assert import_export(other, store).code == 0
    assert narinfos_by_package(store)["hello"].info.references
    check_store(store)
    assert not list_leftovers(store)


def _write_export(data: bytes, store: Path) -> Path:
    file = store.parent / "some.export"
    file.write_bytes(data)
    return file


def test_a_damaged_nar_is_repaired_by_importing_the_same_content(store: Path) -> None:
    data = export_store(store, "licence")
    file = store / narinfos_by_package(store)["licence"].url
    file.chmod(0o644)
    file.write_bytes(b"x" * file.stat().st_size)
    assert import_export(data, store).code == 0
    check_store(store)


def test_a_missing_reference_is_refused(tmp_path: Path) -> None:
    data = dump_exports(({}, ExportedPath(A, frozenset())), ({}, ExportedPath(B, frozenset({A, B, C}))))
    ran = import_export(data, tmp_path / "store")
    assert (ran.code, ran.stdout) == (5, f"{A}\n".encode())
    assert (
        ran.error == f"export of {B}: got a reference to {C}, expected that path in the store or earlier in the export"
    )
    assert check_store(tmp_path / "store") == {A}


def test_a_later_import_may_refer_to_an_earlier_one(tmp_path: Path) -> None:
    assert import_export(dump_exports(({}, ExportedPath(A, frozenset()))), tmp_path / "store").code == 0
    assert import_export(dump_exports(({}, ExportedPath(B, frozenset({A, B})))), tmp_path / "store").code == 0
    assert check_store(tmp_path / "store") == {A, B}


WHOLE = dump_exports(
    ({}, ExportedPath(A, frozenset())),
    ({b"x": factories.File(b"x" * 5000)}, ExportedPath(B, frozenset({A}))),
    (factories.Link(b"y"), ExportedPath(C, frozenset({B}))),
)


@pytest.mark.parametrize("size", [0, 7, 8, 100, 250, 300, 1000, len(WHOLE) - 100, len(WHOLE) - 8, len(WHOLE) - 1])
def test_a_stream_that_ends_early_leaves_the_complete_paths(tmp_path: Path, size: int) -> None:
    ran = import_export(WHOLE[:size], tmp_path / "store")
    assert ran.code == 3
    valid = check_store(tmp_path / "store")
    assert ran.stdout.decode() == "".join(f"{path}\n" for path in sorted(valid))
    assert valid in (set(), {A}, {A, B}, {A, B, C})
    assert len(list((tmp_path / "store").glob("nar/*"))) == len(valid)
    assert not list_leftovers(tmp_path / "store")


@pytest.mark.parametrize("offset", range(0, 700, 24))
def test_a_spoilt_stream_never_spoils_the_store(tmp_path: Path, offset: int) -> None:
    data = bytearray(WHOLE)
    data[offset] ^= 0x41
    ran = import_export(bytes(data), tmp_path / "store")
    assert ran.code in (0, 3, 5)
    check_store(tmp_path / "store")
    assert run("store", "verify", "--store", tmp_path / "store").code == 0
    assert not list_leftovers(tmp_path / "store")


@pytest.mark.integration
def test_an_import_killed_at_any_moment_leaves_a_complete_store(store: Path, tmp_path: Path) -> None:
    file = _write_export(export_store(store, "hello"), store)
    steps, was_killed, most = 0, True, set()
    while was_killed:
        folder = tmp_path / f"into-{steps}"
        was_killed = run_and_kill(steps, "store", "import", "--to", folder, stdin=file)
        most.add(len(check_store(folder)) if (folder / "nix-cache-info").exists() else 0)
        if folder.exists():
            assert run("store", "import", file, "--to", folder).code == 0
            assert len(check_store(folder)) == CLOSURE
        steps += 5
    assert {0, CLOSURE} < most


def test_a_content_addressed_path_keeps_its_address(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", key=None)
    low = cache.add("low-1", {b"a": factories.File(b"a")}, method=NAR)
    self_reference = cache.add("self-1", {b"me": factories.File(SELF)}, method=NAR, self_reference=True)
    lamina.fetch_paths([str(low), str(self_reference)], embedded_store=tmp_path / "store", store=cache.url)
    assert import_export(export_store(tmp_path / "store", "--all"), tmp_path / "other").code == 0
    assert (
        narinfos_by_package(tmp_path / "other")["low"].address
        == narinfos_by_package(tmp_path / "store")["low"].address
        != ""
    )
    assert not narinfos_by_package(tmp_path / "other")["self"].address  # which would have to be imported_paths


def test_nothing_goes_to_a_terminal_or_comes_from_one(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(io.BytesIO()))
    ran = run("store", "import", "--to", store)
    assert (ran.code, ran.error) == (2, "stdin: got a terminal, expected an export")


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        lamina.import_paths(tmp_path / "none", embedded_store=tmp_path / "store")
    with pytest.raises(InputError):
        lamina.import_paths(tmp_path, embedded_store=tmp_path / "store")
    with pytest.raises(FormatError):
        lamina.import_paths(io.BytesIO(b"x" * 100), embedded_store=tmp_path / "store")
    with pytest.raises(InvalidArgument):
        lamina.import_paths(io.BytesIO(), embedded_store="")


def test_the_python_api_exports_and_imports_too(store: Path, tmp_path: Path) -> None:
    out = io.BytesIO()
    paths = lamina.export_paths("hello", output=out, embedded_store=store)
    out.seek(0)
    imported_paths: list[StorePath] = []
    done = lamina.import_paths(
        out, embedded_store=tmp_path / "other", on_path=lambda imported: imported_paths.append(imported.info.path)
    )
    assert tuple(imported_paths) == paths == tuple(found.info.path for found in done)
    assert all(found.is_new for found in done)


def test_an_export_stops_at_a_damaged_path(store: Path) -> None:
    known = narinfos_by_package(store)["licence"]
    data = dump_nar({b"no": factories.File(b"x" * (known.info.nar_size - len(dump_nar({b"no": factories.File(b"")}))))})
    (store / nar_name(known.info.nar_hash)).chmod(0o644)
    (store / nar_name(known.info.nar_hash)).write_bytes(data[: known.info.nar_size])
    out = io.BytesIO()
    with pytest.raises(lamina.IntegrityError):
        lamina.export_paths("licence", output=out, embedded_store=store)
    with pytest.raises(FormatError):
        parse_export(out.getvalue())


def test_any_contents_can_be_exported_and_imported(tmp_path: Path) -> None:
    disk = FakeStore(tmp_path / "root")
    items: list[Item] = [b"a file", Program(b"#!"), SymlinkTo("x"), {}, {"a": {"b": b"", "c": SymlinkTo("d")}}]
    paths = {disk.add(f"item-{number}", item) for number, item in enumerate(items)}
    out = io.BytesIO()
    lamina.export_paths(map(str, paths), output=out, embedded_store=tmp_path / "x", store=disk.root)
    out.seek(0)
    lamina.import_paths(out, embedded_store=tmp_path / "y")
    assert check_store(tmp_path / "y") == paths
    assert EmbeddedStore(tmp_path / "y").query(paths) == LocalStore(disk.root).query(paths)


@pytest.mark.integration
def test_a_full_disk_is_an_error_that_names_the_folder(store: Path, tmp_path: Path) -> None:
    file = _write_export(export_store(store, "hello"), store)
    folder = tmp_path / "disk"
    folder.mkdir()
    script = (
        'mount -t tmpfs -o size=48k none "$1"\n'
        'code=0; "$3" -m lamina store import "$2" --to "$1/store" || code=$?; test $code = 10\n'
        '"$3" -m lamina store verify --store "$1/store" --layer-cache /none\n'
        'mount -o remount,size=1m "$1"\n'
        '"$3" -m lamina store import "$2" --to "$1/store"\n'
    )
    done = in_mount_namespace(script, (folder, file, sys.executable))
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
    lines = done.stdout.decode().splitlines()
    assert f"lamina: store {folder}/store: got No space left on device" in done.stderr.decode()
    assert any(" 0 damaged; " in line for line in lines)
    assert lines[-CLOSURE:] == [str(found.path) for found in parse_export(file.read_bytes())]
