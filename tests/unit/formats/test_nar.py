"""The Nix archive: its bytes, comparison with Nix, and invalid archives."""

import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.examples import mark_rest
from tests.support.factories import File, Item, Link, nodes, packed_bytes, write

from lamina.core.nodes import Directory, Extent, Node, Regular, Symlink, select_subtree
from lamina.errors import FormatError
from lamina.formats import nar
from lamina.layers.packed import PackedLayer
from lamina.system.walk import walk


def string(text: bytes) -> bytes:
    """Return a string of an archive: length, bytes, zeros up to a multiple of eight (thesis, figure 5.2)."""
    return len(text).to_bytes(8, "little") + text + bytes(-len(text) % 8)


def strings(*texts: bytes | str) -> bytes:
    return b"".join(string(text.encode() if isinstance(text, str) else text) for text in texts)


def archive(*texts: bytes | str) -> bytes:
    return strings("nix-archive-1", *texts)


def folder(*names: bytes | str) -> bytes:
    """Return an archive of a folder with empty files."""
    entries = b"".join(
        strings("entry", "(", "name", name, "node", "(", "type", "regular", "contents", "", ")", ")") for name in names
    )
    return archive("(", "type", "directory") + entries + string(b")")


def dumped(item: Item) -> bytes:
    return packed_bytes(PackedLayer(0, iter(nar.dump(nodes(item)))))


AWKWARD: Item = {
    b"bin": {b"hi": File(b"#!/bin/sh\n", executable=True), b"x": File(b"12345678")},
    b"bin-foo": File(b"\0" * 9),
    b"bin.d": {},
    b"deep": {b"er": {b"est": {b"link": Link(b"../../../" + b"n" * 200)}}},
    b"empty": File(),
    "é☃\U0001f600".encode(): File(b"utf-8"),
    b"\n ": Link(b"/nowhere"),
    b"n" * 255: File(b"long"),
    b"~": {},
}
NOT_UTF8: Item = {b"\xff": File(b"a"), b"bad\xffutf8": {b"\xed\xa0\x80": Link(b"\xff")}, b"\xee\x80\x80": File(b"b")}

needs_nix = pytest.mark.skipif(shutil.which("nix-store") is None, reason="nix-store is not installed")


# --- shape


def test_a_file_is_dumped_as_in_the_docstring_of_the_module() -> None:
    expected = archive("(", "type", "regular", "contents", "hi", ")")
    assert dumped(File(b"hi")) == expected
    assert tuple(nar.parse_bytes(expected)) == (Regular(b"", executable=False, size=2, content=b"hi"),)


def test_an_executable_has_two_more_strings() -> None:
    assert dumped(File(b"hi", executable=True)) == archive(
        "(", "type", "regular", "executable", "", "contents", "hi", ")"
    )


def test_a_symlink_has_a_target() -> None:
    assert dumped(Link(b"a/b")) == archive("(", "type", "symlink", "target", "a/b", ")")


def test_a_folder_has_entries_in_the_order_of_their_bytes() -> None:
    assert dumped({}) == archive("(", "type", "directory", ")")
    assert dumped({b"b": File(), b"a": File(), b"\xff": File(), b"B": File()}) == folder("B", "a", "b", b"\xff")


def test_nested_folders_are_closed_in_order() -> None:
    expected = (
        archive("(", "type", "directory")
        + strings("entry", "(", "name", "a", "node", "(", "type", "directory")
        + strings("entry", "(", "name", "b", "node", "(", "type", "directory", ")", ")", ")", ")")
        + strings("entry", "(", "name", "c", "node", "(", "type", "symlink", "target", "a", ")", ")", ")")
    )
    item: Item = {b"a": {b"b": {}}, b"c": Link(b"a")}
    assert dumped(item) == expected
    assert tuple(nar.parse_bytes(expected)) == nodes(item)


@pytest.mark.parametrize("item", [AWKWARD, NOT_UTF8, File(b"x" * 100_000), Link(b"x" * 4095), {}])
def test_unusual_trees_parse_back(item: Item) -> None:
    data = dumped(item)
    assert tuple(nar.parse_bytes(data)) == nodes(item)
    assert packed_bytes(PackedLayer(0, iter(nar.dump(nar.parse_bytes(data))))) == data


def test_parse_returns_offsets_and_does_not_read_contents() -> None:
    data = dumped({b"a": File(b"12345"), b"b": File(b"x" * 10_000)})
    asked: list[bytes] = []

    def content(offset: int, size: int) -> bytes:
        asked.append(data[offset : offset + size])
        return b"where it is"

    found = list(nar.parse(io.BytesIO(data), content))
    assert [node.content for node in found if isinstance(node, Regular)] == [b"where it is"] * 2
    assert asked == [b"12345", b"x" * 10_000]


def test_an_archive_may_start_at_any_position_of_a_stream() -> None:
    """Offsets count from the start of the archive."""
    data = dumped({b"a": File(b"12345")})
    stream = io.BytesIO(b"before" + data)
    stream.seek(len(b"before"))
    (_, file) = nar.parse(stream, lambda offset, size: data[offset : offset + size])
    assert isinstance(file, Regular)
    assert file.content == b"12345"


# --- garbage


@pytest.mark.parametrize(
    "name",
    [b"", b".", b"..", b"a/b", b"/", b"/etc", b"a\0b", b"\0", b"../../etc/passwd"],
)
def test_a_name_that_is_not_one_path_component_is_refused(name: bytes) -> None:
    with pytest.raises(FormatError, match="expected one component of a path"):
        list(nar.parse_bytes(folder(name)))


@pytest.mark.parametrize("names", [("a", "a"), ("b", "a"), (b"\xff", b"z"), ("a", "aa", "a")])
def test_names_that_do_not_ascend_are_refused(names: tuple[bytes | str, ...]) -> None:
    with pytest.raises(FormatError, match="expected names in ascending order"):
        list(nar.parse_bytes(folder(*names)))


def test_a_name_may_occur_again_in_another_folder() -> None:
    item: Item = {b"a": {b"z": {}}, b"b": {b"a": File()}}
    assert tuple(nar.parse_bytes(dumped(item))) == nodes(item)


@pytest.mark.parametrize("size", [3, 1 << 20, 1 << 62, (1 << 63) - 8, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
@pytest.mark.parametrize("head", [(), ("contents",)])
@pytest.mark.parametrize("in_file", [False, True])
def test_a_length_beyond_the_end_is_refused(size: int, head: tuple[str, ...], in_file: bool, tmp_path: Path) -> None:
    data = archive("(", "type", "regular", *head) + size.to_bytes(8, "little") + b"hi"
    file = tmp_path / "nar"
    file.write_bytes(data)
    with (
        file.open("rb") if in_file else io.BytesIO(data) as stream,
        pytest.raises(FormatError, match=r"^NAR at byte "),
    ):
        list(nar.parse(stream, lambda offset, size: b""))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (archive("(")[:-9], "NAR at byte 24: got the end, expected 1 more bytes"),
        (archive("(")[:-3], "NAR at byte 33: got the end, expected 3 more bytes"),
        (archive("("), "NAR at byte 40: got the end, expected 8 more bytes"),
        (
            archive("(", "type", "regular", "contents", "x" * 9)[:-8],
            "NAR at byte 96: got the end, expected a file of 9 bytes",
        ),
        (
            archive("(", "type", "fifo"),
            "NAR at byte 72: got b'fifo', expected b'directory' or b'regular' or b'symlink'",
        ),
    ],
)
def test_an_error_has_the_offset_and_both_values(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        list(nar.parse_bytes(data))
    assert str(caught.value) == message


def test_a_string_of_more_than_the_maximum_length_is_refused() -> None:
    data = archive("(", "type", "symlink", "target", b"x" * (nar.MAX_TOKEN + 1), ")")
    with pytest.raises(FormatError, match="at most"):
        list(nar.parse_bytes(data))


def nested(depth: int) -> Iterator[Node]:
    for level in range(depth + 1):
        yield Directory(b"/".join([b"d"] * level))


def test_a_tree_may_have_the_maximum_depth() -> None:
    data = packed_bytes(PackedLayer(0, iter(nar.dump(nested(nar.MAX_DEPTH - 1)))))
    assert tuple(nar.parse_bytes(data)) == tuple(nested(nar.MAX_DEPTH - 1))


@pytest.mark.parametrize("depth", mark_rest([nar.MAX_DEPTH, 1100, 5000], 1))
def test_a_deeper_tree_is_refused(depth: int) -> None:
    data = packed_bytes(PackedLayer(0, iter(nar.dump(nested(depth)))))
    with pytest.raises(FormatError, match="nested folders"):
        list(nar.parse_bytes(data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 100,
        b"<!doctype html>",
        strings("nix-archive-2", "(", "type", "regular", "contents", "", ")"),
        archive(),
        archive("("),
        archive("(", "type"),
        archive("(", "type", "fifo", ")"),
        archive("(", "type", "regular", ")"),  # Nix reads one without contents and writes none
        archive("(", "type", "regular", "executable", "yes", "contents", "", ")"),
        archive("(", "type", "regular", "executable", "", ")"),
        archive("(", "type", "regular", "contents", "", "executable", "", ")"),
        archive("(", "type", "symlink", ")"),
        archive("(", "type", "symlink", "target", "", ")"),
        archive("(", "type", "symlink", "target", "a\0b", ")"),
        archive("(", "type", "directory"),
        archive("(", "type", "directory", "entry", ")"),
        archive("(", "type", "directory", "entry", "(", "name", "a", ")", ")"),
        archive("(", "type", "directory", "entry", "(", "node", "a", ")", ")"),
        archive("(", "target", "a", "type", "symlink", ")"),
    ],
)
def test_archives_that_dump_does_not_write_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"^NAR at byte \d+: got .*, expected "):
        list(nar.parse_bytes(data))


@pytest.mark.parametrize("length", range(1, 9))
def test_nonzero_padding_and_trailing_bytes_are_refused(length: int) -> None:
    data = bytearray(archive("(", "type", "symlink", "target", "x" * length, ")"))
    pad = -length % 8
    if pad:
        data[-16 - 1] = 1
        with pytest.raises(FormatError, match="padding that is not zero"):
            list(nar.parse_bytes(bytes(data)))
        data[-16 - 1] = 0
    with pytest.raises(FormatError, match="more bytes"):
        list(nar.parse_bytes(bytes(data) + b"\0"))


# --- subtrees


def test_a_subtree_is_a_folder_and_its_entries() -> None:
    tree = nodes({b"a": {b"b": {b"c": File()}, b"bb": File()}, b"ab": File()})
    assert [node.path for node in select_subtree(tree, b"a/b")] == [b"a/b", b"a/b/c"]
    assert [node.path for node in select_subtree(tree, b"a")] == [b"a", b"a/b", b"a/b/c", b"a/bb"]
    assert tuple(select_subtree(tree, b"")) == tree
    assert not tuple(select_subtree(tree, b"c"))


# --- Nix


@needs_nix
@pytest.mark.parametrize("item", [AWKWARD, File(b"hi"), File(b"", executable=True), Link(b"x"), {}])
def test_nix_store_dumps_the_same_bytes(item: Item, tmp_path: Path) -> None:
    """``dump(walk(p))`` is what ``nix-store --dump`` writes."""
    location = os.fsencode(tmp_path / "tree")
    write(item, location)
    done = subprocess.run(["nix-store", "--dump", location], capture_output=True, check=True)
    assert packed_bytes(PackedLayer(0, iter(nar.dump(walk(location))))) == done.stdout
    assert dumped(item) == done.stdout


@needs_nix
@pytest.mark.skipif(os.uname().sysname != "Linux", reason="other systems refuse such names")
def test_nix_store_dumps_the_same_bytes_of_names_that_are_not_utf8(tmp_path: Path) -> None:
    location = os.fsencode(tmp_path / "tree")
    write(NOT_UTF8, location)
    done = subprocess.run(["nix-store", "--dump", location], capture_output=True, check=True)
    assert packed_bytes(PackedLayer(0, iter(nar.dump(walk(location))))) == done.stdout == dumped(NOT_UTF8)


@needs_nix
@pytest.mark.parametrize("item", [AWKWARD, NOT_UTF8, {}])
def test_nix_store_restores_what_we_dump(item: Item, tmp_path: Path) -> None:
    location = os.fsencode(tmp_path / "tree")
    subprocess.run(["nix-store", "--restore", location], input=dumped(item), check=True)
    restored = tuple(walk(location))
    assert [(type(node), node.path) for node in restored] == [(type(node), node.path) for node in nodes(item)]
    assert packed_bytes(PackedLayer(0, iter(nar.dump(restored)))) == dumped(item)


def test_an_extent_of_a_nar_is_equivalent_to_a_file(tmp_path: Path) -> None:
    """A folder on disk and a NAR give the same stream, with contents that are ranges of the NAR file."""
    data = dumped(AWKWARD)
    file = tmp_path / "nar"
    file.write_bytes(data)
    status = file.stat()

    def content(offset: int, size: int) -> Extent:
        return Extent(os.fsencode(file), offset, size, status.st_size, status.st_mtime_ns)

    with file.open("rb") as stream:
        found = tuple(nar.parse(stream, content))
    assert packed_bytes(PackedLayer(0, iter(nar.dump(found)))) == data
    assert [node.path for node in found] == [node.path for node in nodes(AWKWARD)]
    assert {type(node.content) for node in found if isinstance(node, Regular)} == {Extent}
    assert [node for node in found if isinstance(node, Symlink)] == [
        node for node in nodes(AWKWARD) if isinstance(node, Symlink)
    ]
