"""Declared entries of the root: parsing the command line's syntax, and changing the tree."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lamina.core.nodes import Directory, Regular
from lamina.core.nodes import Symlink as SymlinkNode
from lamina.errors import InputError, InvalidArgument
from lamina.rootfs.entries import DeclaredEntry, Dir, File, Perm, Symlink
from lamina.rootfs.tree import Meta, Tree


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "source"
    file.write_bytes(b"content")
    file.chmod(0o640)
    return file


def made(*entries: DeclaredEntry) -> dict[str, tuple[str, Meta]]:
    """Apply entries to an empty root; return the type, mode and owner of each node by path."""
    tree = Tree()
    for entry in entries:
        entry.apply(tree)
    return {"/" + os.fsdecode(node.path): (type(node).__name__, meta) for node, meta in tree}


# Parsing


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("/tmp", Dir("/tmp")),
        ("/tmp:1777", Dir("/tmp", 0o1777)),
        ("/tmp:755", Dir("/tmp", 0o755)),
        ("/data:0750:1000:100", Dir("/data", 0o750, 1000, 100)),
        ("/a:b", Dir("/a:b")),
        ("/a:b:700", Dir("/a:b", 0o700)),
        ("/a::7777", Dir("/a:", 0o7777)),
        ("/a=b", Dir("/a=b")),
        ("/:755", Dir("/", 0o755)),
        ("/x:755:4294967294:0", Dir("/x", 0o755, 4294967294, 0)),
    ],
)
def test_a_folder_is_followed_by_mode_and_owner(text: str, entry: Dir) -> None:
    assert Dir.parse(text) == entry


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("/etc/conf=src/conf", File("/etc/conf", "src/conf")),
        ("/etc/conf=src:600", File("/etc/conf", "src", 0o600)),
        ("/etc/conf=src:4755:1:2", File("/etc/conf", "src", 0o4755, 1, 2)),
        ("/a=b=c", File("/a", "b=c")),
        ("/a=C:x", File("/a", "C:x")),
    ],
)
def test_a_file_is_followed_by_its_source(text: str, entry: File) -> None:
    assert File.parse(text) == entry


def test_a_symlink_is_followed_by_its_target_unchanged() -> None:
    assert Symlink.parse("/bin/sh=../x y:755=z") == Symlink("/bin/sh", "../x y:755=z")


def test_a_permission_has_the_syntax_of_a_folder_with_a_required_mode() -> None:
    assert Perm.parse("/a:b:1777:5:6") == Perm("/a:b", 0o1777, 5, 6)
    with pytest.raises(InvalidArgument, match=r"perm: got '/a', expected PATH:MODE\[:UID:GID\]"):
        Perm.parse("/a")


BAD_META = [":1777:0", ":755:1000", ":7", ":99", ":888", ":77777", ":755:1:2:3", ":755:1:", ":755::", ":"]


@pytest.mark.parametrize("meta", [*BAD_META[:-1], ":755:4294967295:0", ":755:99999999999:0", ":755:0:4294967295"])
@pytest.mark.parametrize(
    "parse", [Dir.parse, lambda text: File.parse(text.replace("/x", "/x=src")), Perm.parse], ids=["dir", "file", "perm"]
)
def test_a_text_that_looks_like_a_mode_but_is_invalid_is_an_error(
    parse: Callable[[str], DeclaredEntry], meta: str
) -> None:
    with pytest.raises(InvalidArgument, match=r": got .*, expected "):
        parse(f"/x{meta}")


BAD_PATHS = ["", "tmp", "./tmp", "../tmp", "/a/../b", "/..", "/a\0b", "~/x", ":755"]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_path_that_is_not_absolute_or_leaves_the_root_is_an_error(path: str) -> None:
    for parse, rest in ((Dir.parse, ""), (File.parse, "=src"), (Symlink.parse, "=target"), (Perm.parse, ":755")):
        with pytest.raises(InvalidArgument, match=r": got .*, expected "):
            parse(path + rest)


@pytest.mark.parametrize("text", ["/x", "/x=", "=src", "", "="])
def test_a_file_without_source_or_a_symlink_without_target_is_an_error(text: str) -> None:
    for parse in (File.parse, Symlink.parse):
        with pytest.raises(InvalidArgument, match=r": got .*, expected "):
            parse(text)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (Dir, (5,)),
        (Dir, (b"/x",)),
        (
            Dir,
            (
                "/x",
                "755",
            ),
        ),
        (
            Dir,
            (
                "/x",
                -1,
            ),
        ),
        (
            Dir,
            (
                "/x",
                0o10000,
            ),
        ),
        (
            Dir,
            (
                "/x",
                True,
            ),
        ),
        (
            Dir,
            (
                "/x",
                0o755,
                -1,
            ),
        ),
        (
            Dir,
            (
                "/x",
                0o755,
                0,
                2**32 - 1,
            ),
        ),
        (
            Dir,
            (
                "/x",
                0o755,
                "root",
            ),
        ),
        (
            Dir,
            (
                "/x",
                None,
                1.5,
            ),
        ),
        (
            File,
            (
                "/x",
                "src",
                "755",
            ),
        ),
        (
            File,
            (
                "x",
                "src",
            ),
        ),
        (
            Perm,
            (
                "/x",
                1 << 20,
            ),
        ),
        (
            Perm,
            (
                None,
                0o755,
            ),
        ),
        (
            Symlink,
            (
                "/x",
                "",
            ),
        ),
        (
            Symlink,
            (
                "/x",
                "a\0b",
            ),
        ),
        (
            Symlink,
            (
                "/x",
                b"y",
            ),
        ),
    ],
)
def test_an_entry_made_in_python_is_checked_too(kind: type[DeclaredEntry], arguments: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidArgument, match=r": got .*, expected "):
        kind(*arguments)


# Changing the tree


def test_a_folder_is_made_with_its_parents() -> None:
    assert made(Dir("/var/lib/app", 0o700, 5, 6)) == {
        "/": ("Directory", Meta(0o755)),
        "/var": ("Directory", Meta(0o755)),
        "/var/lib": ("Directory", Meta(0o755)),
        "/var/lib/app": ("Directory", Meta(0o700, 5, 6)),
    }


@pytest.mark.parametrize("path", ["/a/b", "//a//b/", "/./a/./b/."])
def test_redundant_slashes_and_dots_are_removed(path: str) -> None:
    assert set(made(Dir(path))) == {"/", "/a", "/a/b"}


def test_the_root_itself_has_a_mode_and_an_owner() -> None:
    assert made(Dir("/", 0o700, 1, 2)) == {"/": ("Directory", Meta(0o700, 1, 2))}
    assert made(Perm("/", 0o1755, 3, 4)) == {"/": ("Directory", Meta(0o1755, 3, 4))}


def test_the_last_entry_for_a_path_counts(source: Path) -> None:
    assert made(Dir("/x", 0o700), Dir("/x"))["/x"] == ("Directory", Meta(0o755))
    assert made(Symlink("/x", "a"), File("/x", str(source)))["/x"] == ("Regular", Meta(0o644))
    assert made(File("/x", str(source)), Symlink("/x", "a"))["/x"] == ("Symlink", Meta(0o777))


def test_a_file_is_0755_if_its_source_is_executable_and_0644_otherwise(source: Path) -> None:
    assert made(File("/x", str(source)))["/x"] == ("Regular", Meta(0o644))
    source.chmod(0o700)
    assert made(File("/x", str(source)))["/x"] == ("Regular", Meta(0o755))
    assert made(File("/x", str(source), 0o4711, 7, 8))["/x"] == ("Regular", Meta(0o4711, 7, 8))
    assert made(File("/x", str(source), 0))["/x"] == ("Regular", Meta(0))


def test_a_link_to_a_source_is_followed(source: Path) -> None:
    link = source.with_name("link")
    link.symlink_to(source)
    tree = Tree()
    File("/x", str(link)).apply(tree)
    node = tree.node(b"x")
    assert isinstance(node, Regular)
    assert (node.size, node.content) == (7, node.content)


def test_a_source_must_be_an_existing_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for bad in (tmp_path, tmp_path / "missing", tmp_path / "pipe", Path("/dev/null"), Path("nul\0")):
        with pytest.raises(InputError, match=r"file /x: .*: got .*, expected a file"):
            made(File("/x", str(bad)))


@pytest.mark.parametrize("path", ["/a/b", "/a/b/c"])
def test_nothing_can_be_put_below_a_file_or_a_symlink(source: Path, path: str) -> None:
    for first in (File("/a", str(source)), Symlink("/a", "elsewhere")):
        for second in (Dir(path), Symlink(path, "x"), File(path, str(source))):
            with pytest.raises(InvalidArgument, match=rf"{path}: got a (file|symlink) at /a, expected a folder"):
                made(first, second)


def test_a_folder_does_not_replace_a_file_and_a_file_does_not_replace_a_folder(source: Path) -> None:
    others = (File("/a", str(source)), Symlink("/a", "elsewhere"))
    for other in others:
        with pytest.raises(InvalidArgument, match=r"/a: got a (file|symlink) there, expected a folder"):
            made(other, Dir("/a"))
        with pytest.raises(InvalidArgument, match=r"/a: got a folder there, expected a (file|symlink)"):
            made(Dir("/a/b"), other)
    for entry in (File("/", str(source)), Symlink("/", "x")):
        with pytest.raises(InvalidArgument, match=r"/: got a folder there, expected a (file|symlink)"):
            made(entry)


def test_a_permission_needs_an_existing_file_or_folder(source: Path) -> None:
    assert made(File("/x", str(source)), Perm("/x", 0o4755, 1, 2))["/x"] == ("Regular", Meta(0o4755, 1, 2))
    with pytest.raises(InvalidArgument, match="/x: got nothing there, expected a file or folder"):
        made(Perm("/x", 0o755))
    with pytest.raises(InvalidArgument, match="/x: got a symlink to y, expected a file or folder"):
        made(Symlink("/x", "y"), Perm("/x", 0o755))


def test_names_that_are_not_utf8_are_kept() -> None:
    tree = Tree()
    Dir("/\udcff/é").apply(tree)
    Symlink("/l", "\udcfe").apply(tree)
    assert tree.node(b"\xff/\xc3\xa9") == Directory(b"\xff/\xc3\xa9")
    assert tree.node(b"l") == SymlinkNode(b"l", b"\xfe")
