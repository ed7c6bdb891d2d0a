"""``lamina store add``: the resulting paths, and sources that change while they are read."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.embedded_store import check
from tests.support.fake_nix_store import CompletedRun, FakeStore, Program, example, put, run

import lamina
from lamina import errors
from lamina.core.names import StorePath
from lamina.formats.content_address import has_matching_address
from lamina.stores.embedded import add as adding
from lamina.stores.embedded.add import AddedContent, NamedSource
from lamina.stores.embedded.store import EmbeddedStore

# The output of ``nix-store --add``.
NOTE = "/nix/store/9j4qzr7490yaf5id1rvgl69jgsjl8vbl-note.txt"
SITE = "/nix/store/wi7dhlfkxaczwkqvzahpl6pc2amw21lj-site"
OWN_HASH = "0" * 31 + "1"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def add(*arguments: str | Path) -> CompletedRun:
    return run("store", "add", *arguments, "--to", "store")


def parse_path(ran: CompletedRun) -> StorePath:
    assert ran.code == 0, ran.stderr
    return StorePath.parse(ran.stdout.decode().strip())


def read_content(path: StorePath) -> bytes:
    """Return the content of a path that is a single file."""
    extent = EmbeddedStore(Path("store")).location(path)
    data = Path(os.fsdecode(extent.file)).read_bytes()
    return data[96 : 96 + int.from_bytes(data[88:96], "little")]


def make_site(location: Path) -> Path:
    location.mkdir()
    (location / "inner").mkdir()
    (location / "empty").mkdir()
    (location / "run").write_text("#!/bin/sh\n")
    (location / "run").chmod(0o755)
    (location / "link").symlink_to("run")
    return location


def test_a_file_and_a_folder_get_the_paths_that_nix_gives_them(folder: Path) -> None:
    Path("note.txt").write_text("hello\n")
    ran = add("note.txt", make_site(folder / "site"))
    assert (ran.code, ran.stdout.decode().splitlines(), ran.stderr) == (0, [NOTE, SITE], "")
    assert check(folder / "store") == {NOTE, SITE}
    for known in lamina.list_paths(embedded_store="store"):
        assert has_matching_address(known)
        assert (known.signatures, known.info.references) == ((), frozenset())


def test_owner_date_and_the_other_modes_do_not_count(folder: Path) -> None:
    site = make_site(folder / "site")
    (site / "run").chmod(0o711)
    (site / "inner").chmod(0o700)
    os.utime(site / "run", (1, 1))
    assert str(parse_path(add(site))) == SITE
    (site / "run").chmod(0o677)
    assert str(parse_path(add(site))) != SITE


def test_adding_it_again_changes_nothing(folder: Path) -> None:
    Path("note.txt").write_text("hello\n")

    def state() -> dict[Path, int]:
        return {file: file.stat().st_ino for file in Path("store").rglob("*") if ".lamina" not in file.parts}

    first, before = add("note.txt"), state()
    assert add("note.txt").stdout == first.stdout
    assert state() == before


def test_a_link_is_added_as_a_link(folder: Path) -> None:
    Path("note.txt").write_text("hello\n")
    Path("link").symlink_to("note.txt")
    path = parse_path(add("link"))
    (node,) = EmbeddedStore(Path("store")).nodes(path)
    assert getattr(node, "target", None) == b"note.txt"


@pytest.mark.parametrize("name", ["two words", "ümlaut", "n" * 212, "new\nline"])
def test_a_source_with_an_invalid_name_needs_another(name: str, folder: Path) -> None:
    Path(name).write_text("x")
    ran = add(name)
    assert (ran.code, ran.stdout) == (2, b"")
    assert ran.error.startswith("name: got ")
    assert "--name" in ran.stderr.splitlines()[-1]
    assert not Path("store").exists()
    assert parse_path(add(name, "--name", "good-1.0")).name == "good-1.0"


def test_a_source_whose_name_is_not_text_needs_another(folder: Path) -> None:
    with open(b"\xff", "wb"):
        pass
    with pytest.raises(errors.InvalidArgument, match="name: got"):
        lamina.add_path(os.fsdecode(b"\xff"), embedded_store="store")
    assert lamina.add_path(os.fsdecode(b"\xff"), embedded_store="store", name="empty").info.path.name == "empty"


def test_a_name_can_be_given_to_one_source_only(folder: Path) -> None:
    for name in "ab":
        Path(name).write_text(name)
    ran = add("a", "b", "--name", "c")
    assert (ran.code, Path("store").exists()) == (2, False)


@pytest.mark.parametrize("text", ["nothing", "no/such"])
def test_a_missing_source_is_an_error(text: str, folder: Path) -> None:
    ran = add(text)
    assert (ran.code, Path("store").exists()) == (11, False)
    assert "got nothing there" in ran.error


def test_a_socket_is_not_added(folder: Path) -> None:
    os.mkdir("site")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("site/socket")
        ran = add("site")
    assert (ran.code, ran.stdout) == (3, b"")
    assert "got a socket" in ran.error
    assert check(folder / "store") == set()


def test_a_mentioned_path_becomes_a_reference(folder: Path) -> None:
    Path("note.txt").write_text("hello\n")
    make_site(folder / "site")
    add("note.txt", "site")
    Path("page").write_text(f"see {NOTE}, not /nix/store/{OWN_HASH}-other\n")
    ran = add("page", "--json")
    (page,) = json.loads(ran.stdout)["paths"]
    assert page["references"] == [NOTE]
    assert page["ca"].startswith("fixed:r:sha256:")
    assert has_matching_address(*lamina.list_paths("page", embedded_store="store"))
    check(folder / "store")
    apart = run("store", "add", "page", "--to", "other")
    assert apart.stdout.decode().strip() != page["path"]


def test_a_reference_can_be_named(folder: Path) -> None:
    for name in ("note.txt", "page"):
        Path(name).write_text("hello\n")
    add("note.txt")
    plain = parse_path(add("page"))
    with_reference = parse_path(add("page", "--reference", "note.txt"))
    assert with_reference != plain
    (known,) = (known for known in lamina.list_paths(embedded_store="store") if known.info.path == with_reference)
    assert list(map(str, known.info.references)) == [NOTE]
    assert add("page", "--reference", f"/nix/store/{OWN_HASH}-other").code == 5


def test_a_store_path_that_mentions_itself_gets_its_new_hash(folder: Path) -> None:
    """``nix store make-content-addressed`` does the same; adding the result again gives the same path."""
    Path("note.txt").write_text("hello\n")
    add("note.txt")
    old = f"/nix/store/{OWN_HASH}-tool-1.0"
    source = Path(f"{OWN_HASH}-tool-1.0")
    source.write_text(f"{old} {NOTE} {old}")
    new = parse_path(add(source))
    assert new.name == "tool-1.0"
    assert read_content(new).decode() == f"{new} {NOTE} {new}"
    (known,) = lamina.list_paths("tool", embedded_store="store")
    assert set(map(str, known.info.references)) == {NOTE, str(new)}
    assert has_matching_address(known)
    again = Path(new.base)
    again.write_bytes(read_content(new))
    assert parse_path(add(again)) == new
    assert parse_path(add(source)) == new
    check(folder / "store")


def test_a_store_path_that_does_not_mention_itself_is_like_any_other(folder: Path) -> None:
    Path(f"{OWN_HASH}-note.txt").write_text("hello\n")
    assert str(parse_path(add(f"{OWN_HASH}-note.txt"))) == NOTE
    assert parse_path(add(f"{OWN_HASH}-note.txt", "--name", "other")).name == "other"


@pytest.fixture
def machine(folder: Path) -> tuple[FakeStore, StorePath]:
    return example(folder / "machine")


def test_mentioned_paths_of_a_nix_store_are_copied(machine: tuple[FakeStore, StorePath], folder: Path) -> None:
    store, hello = machine
    Path("page").write_text(f"run {hello}/bin/hello\n")
    page = parse_path(add("page", "--store", store.root))
    (known,) = lamina.list_paths("page", embedded_store="store")
    assert known.info.references == {hello}
    assert check(folder / "store") == {str(page), *map(str, store.numbers)}
    assert lamina.describe_paths("page", embedded_store="store")[0].closure_size > known.info.nar_size


def read_then_change(folder: Path, change: str) -> AddedContent:
    put("tree", {"a": b"1", "b": Program(b"2")})
    found = AddedContent.read(NamedSource.parse("tree", None), ())
    os.chmod("tree", 0o755)
    match change:
        case "content":
            os.chmod("tree/a", 0o644)
            Path("tree/a").write_bytes(b"3")
        case "mode":
            os.chmod("tree/a", 0o555)
        case "more":
            Path("tree/c").touch()
        case "less":
            Path("tree/a").unlink()
        case "gone":
            os.rename("tree", "elsewhere")
    return found


@pytest.mark.parametrize("change", ["content", "mode", "more", "less", "gone"])
def test_a_source_that_changes_between_two_readings_is_not_added(change: str, folder: Path) -> None:
    store = EmbeddedStore.open_or_create(folder / "store")
    with pytest.raises(errors.IntegrityError, match=r"tree: got (content that changed|nothing there)"):
        adding.add_content(store, read_then_change(folder, change), ())
    assert check(folder / "store") == set()
    assert not list((folder / "store/nar").glob("*"))
    assert not list((folder / "store/.lamina/arriving").iterdir())


def test_an_unchanged_source_is_added(folder: Path) -> None:
    known = adding.add_content(EmbeddedStore.open_or_create(folder / "store"), read_then_change(folder, "nothing"), ())
    assert check(folder / "store") == {str(known.info.path)}


@pytest.fixture
def deep_folder(folder: Path) -> Iterator[str]:
    """Create more nested folders than a NAR may have; Python could not remove them, so ``rm`` does."""
    os.mkdir("deep")
    os.chdir("deep")
    for _ in range(1030):
        os.mkdir("d")
        os.chdir("d")
    os.chdir(folder)
    yield "deep"
    subprocess.run(["rm", "-rf", "deep"], check=True)


def test_too_deeply_nested_folders_are_an_error(deep_folder: str, folder: Path) -> None:
    ran = add(deep_folder)
    assert ran.code == 3
    assert "more than 1024 nested folders" in ran.error
    assert check(folder / "store") == set()


def test_an_added_path_makes_an_image(folder: Path) -> None:
    make_site(folder / "site")
    add("site", "--name", "site-1.0")
    ran = run("plan", "site", "--store", "store", "--json")
    assert (ran.code, len(json.loads(ran.stdout)["layers"])) == (0, 1)
    assert run("stream", "site", "--store", "store", "--no-layer-cache").code == 0
