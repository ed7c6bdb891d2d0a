"""Layers are flattened to a root file system: whiteouts, links, folders, and nothing outside the root."""

from __future__ import annotations

import doctest
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.image_files import LayerFile, Member, dump_layer, hard_link, tar_member

from lamina.errors import FormatError
from lamina.formats.tar_reader import EntryKind
from lamina.images.readers import flatten as rootfs
from lamina.images.readers.flatten import Rootfs, flatten
from lamina.images.readers.unpack import get_extent
from lamina.system.extents import read_head


@pytest.fixture
def build_root(tmp_path: Path) -> Any:
    def make(*layers: Sequence[Member]) -> Rootfs:
        found = []
        for number, members in enumerate(layers):
            (tmp_path / str(number)).write_bytes(dump_layer(members))
            found.append(LayerFile(get_extent(tmp_path / str(number))))
        return flatten(found)

    return make


def shape(root: Rootfs) -> list[str]:
    """``a/`` for a folder, ``a -> b`` for a symlink, ``a = content`` for a file."""
    lines = []
    for path, entry in root:
        name = path.decode()
        match entry.kind:
            case EntryKind.DIRECTORY:
                lines.append(name + "/")
            case EntryKind.SYMLINK:
                lines.append(f"{name} -> {entry.header.target.decode()}")
            case EntryKind.FILE:
                lines.append(f"{name} = {read_head(entry.content, entry.header.size).decode()}")
            case kind:
                lines.append(f"{name}: {kind.value}")
    return lines[1:]


# Layers over layers


def test_the_example_of_the_module_holds() -> None:
    assert doctest.testmod(rootfs).attempted > 0
    assert doctest.testmod(rootfs).failed == 0


def test_without_layers_the_root_is_empty(build_root: Any) -> None:
    assert [(path, entry.kind, entry.layer) for path, entry in build_root()] == [(b"", EntryKind.DIRECTORY, -1)]


def test_entries_are_in_order_parents_first(build_root: Any) -> None:
    root = build_root(["b", "a/", "a.b", "a/z", "a-b", "a/y"])
    assert [path for path, _ in root] == [b"", b"a", b"a/y", b"a/z", b"a-b", b"a.b", b"b"]


def test_names_are_the_same_however_they_are_spelt(build_root: Any) -> None:
    assert shape(build_root(["./a", "/b", "c//d", "./"], ["a", "./b", "/c/./d"])) == [
        "a = a",
        "b = ./b",
        "c/",
        "c/d = /c/./d",
    ]


def test_the_last_layer_wins(build_root: Any) -> None:
    root = build_root([("x", b"old"), "y"], [("x", b"new")])
    assert shape(root) == ["x = new", "y = y"]
    assert [root.entry(path).layer for path in (b"x", b"y")] == [1, 0]


def test_a_folder_over_a_folder_changes_only_its_metadata(build_root: Any) -> None:
    root = build_root(["d/", "d/a"], [tar_member("d", tarfile.DIRTYPE, mode=0o700, uid=7)])
    assert shape(root) == ["d/", "d/a = d/a"]
    assert (root.entry(b"d").header.mode, root.entry(b"d").header.uid, root.entry(b"d").layer) == (0o700, 7, 1)


def test_a_file_over_a_folder_removes_what_was_in_it(build_root: Any) -> None:
    assert shape(build_root(["d/", "d/a", "d/b/", "d/b/c"], [("d", b"file")])) == ["d = file"]
    assert shape(build_root(["d/", "d/a"], [("d", "x")])) == ["d -> x"]


def test_a_folder_over_anything_else_is_empty(build_root: Any) -> None:
    assert shape(build_root(["real/", "real/a", ("d", "real"), "e"], ["d/", "d/b", "e/"])) == [
        "d/",
        "d/b = d/b",
        "e/",
        "real/",
        "real/a = real/a",
    ]


def test_implied_folders_belong_to_root(build_root: Any) -> None:
    root = build_root(["a/b/c"])
    assert shape(root) == ["a/", "a/b/", "a/b/c = a/b/c"]
    header = root.entry(b"a").header
    assert (header.mode, header.uid, header.gid, header.mtime, root.entry(b"a").layer) == (0o755, 0, 0, 0, -1)


def test_a_layer_may_declare_the_root_folder(build_root: Any) -> None:
    root = build_root([tar_member("./", tarfile.DIRTYPE, mode=0o700)])
    assert root.entry(b"").header.mode == 0o700
    for name in ("./", "/", "."):
        with pytest.raises(FormatError, match=r"layer 1: .*got a file for the root, expected a folder"):
            build_root([tar_member(name, tarfile.REGTYPE)])


def test_everything_of_a_header_is_kept(build_root: Any) -> None:
    records = {"SCHILY.xattr.user.a": "b"}
    root = build_root(
        [tar_member("x", tarfile.CHRTYPE, devmajor=1, devminor=3, uid=5, mode=0o4666, pax_headers=records)]
    )
    header = root.entry(b"x").header
    assert (header.device, header.uid, header.mode, header.xattrs) == ((1, 3), 5, 0o4666, ((b"user.a", b"b"),))


# Whiteouts


def test_a_whiteout_removes_what_is_below(build_root: Any) -> None:
    assert shape(build_root(["d/", "d/a", "d/b", "e"], ["d/.wh.a", ".wh.e"])) == ["d/", "d/b = d/b"]
    assert shape(build_root(["d/", "d/a"], [".wh.d"])) == []
    assert shape(build_root(["a"], [".wh.missing", "nowhere/.wh.a", "a/.wh.b"])) == ["a = a"]


@pytest.mark.parametrize("whiteout_first", [True, False])
def test_a_layers_own_members_stay_wherever_the_whiteout_is(build_root: Any, whiteout_first: bool) -> None:
    for whiteout, members, expected in (
        (".wh.d", ["d/", "d/new"], ["d/", "d/new = d/new"]),
        (".wh.d", ["d/new"], ["d/", "d/new = d/new"]),
        (".wh.d", [("d", b"file")], ["d = file"]),
        ("d/.wh.a", [("d/a", b"new")], ["d/", "d/a = new", "d/s/", "d/s/b = d/s/b"]),
        ("d/.wh..wh..opq", ["d/", "d/new"], ["d/", "d/new = d/new"]),
        ("d/.wh..wh..opq", ["d/s/new"], ["d/", "d/s/", "d/s/new = d/s/new"]),
        (".wh..wh..opq", ["x"], ["x = x"]),
    ):
        upper = [whiteout, *members] if whiteout_first else [*members, whiteout]
        root = build_root(
            [tar_member("d", tarfile.DIRTYPE, mode=0o700), "d/a", tar_member("d/s", tarfile.DIRTYPE, uid=9), "d/s/b"],
            upper,
        )
        assert shape(root) == expected
        modes = {path: entry.header.mode for path, entry in root if entry.kind is EntryKind.DIRECTORY}
        assert modes.get(b"d", 0o755) == (0o700 if not whiteout.startswith(".wh.") and "d/" not in members else 0o755)
        if whiteout.endswith("opq"):
            assert {entry.header.uid for _, entry in root} == {0}


def test_an_opaque_folder_keeps_what_it_is(build_root: Any) -> None:
    root = build_root([tar_member("d", tarfile.DIRTYPE, mode=0o700), "d/a"], ["d/.wh..wh..opq"])
    assert shape(root) == ["d/"]
    assert root.entry(b"d").header.mode == 0o700


def test_files_of_aufs_are_left_out(build_root: Any) -> None:
    assert shape(build_root([".wh..wh.plnk/", ".wh..wh.plnk/12.34", ".wh..wh.aufs", ".wh..wh.orph/", "a"])) == ["a = a"]


@pytest.mark.parametrize("name", [".wh.", "d/.wh.", ".wh..", ".wh...", "d/.wh..."])
def test_a_whiteout_without_a_name_is_refused(build_root: Any, name: str) -> None:
    with pytest.raises(FormatError, match=r"layer 1: .*got a whiteout of .*, expected a name"):
        build_root([name])


def test_a_folder_that_is_a_whiteout_is_refused(build_root: Any) -> None:
    with pytest.raises(FormatError, match=r"got a folder with the name of a whiteout, expected a file"):
        build_root([".wh.d/x"])


def test_whiteouts_follow_links_inside_the_root(build_root: Any) -> None:
    assert shape(build_root(["usr/", "usr/bin/", "usr/bin/a", ("bin", "usr/bin")], ["bin/.wh.a"])) == [
        "bin -> usr/bin",
        "usr/",
        "usr/bin/",
    ]


# Links


@pytest.mark.parametrize(
    "target", ["usr/bin", "/usr/bin", "./usr//bin/", "../../usr/bin", "/../usr/lib/../bin", "chain"]
)
def test_a_member_is_placed_where_the_link_above_it_leads(build_root: Any, target: str) -> None:
    lower = ["usr/", "usr/bin/", "usr/lib/", ("chain", "usr/bin"), ("bin", target)]
    root = build_root(lower, ["bin/new"])
    assert root.kind(b"usr/bin/new") is EntryKind.FILE
    assert root.kind(b"bin") is EntryKind.SYMLINK
    assert root.resolve(b"bin/new") == b"usr/bin/new"


def test_folders_behind_a_link_are_made(build_root: Any) -> None:
    assert shape(build_root(["real/", ("l", "real")], ["l/a/b"]))[1:] == ["real/", "real/a/", "real/a/b = l/a/b"]


@pytest.mark.parametrize(
    ("lower", "name", "got"),
    [
        ([("l", "nowhere")], "l/x", "a link to nothing"),
        ([("l", "a/nowhere"), "a/"], "l/b/x", "a link to nothing"),
        (["f"], "f/x", "a file"),
        ([("l", "f"), "f"], "l/x", "a file"),
        ([tar_member("p", tarfile.FIFOTYPE)], "p/x", "a named pipe"),
    ],
)
def test_a_member_below_something_that_is_not_a_folder_is_refused(
    build_root: Any, lower: list[Member], name: str, got: str
) -> None:
    with pytest.raises(FormatError, match=rf"layer 2: .*: got {got} above it, expected a folder"):
        build_root(lower, [name])


@pytest.mark.parametrize("links", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "./a/x"}, {"a": "/b/c", "b": "a"}])
def test_links_that_lead_to_themselves_are_refused(build_root: Any, links: dict[str, str]) -> None:
    root = build_root(list(links.items()))
    with pytest.raises(FormatError, match=r"got more than 40 links, expected a path without a loop"):
        root.resolve(b"a/x")
    with pytest.raises(FormatError, match=r"layer 2: .*got more than 40 links"):
        build_root(list(links.items()), ["a/x"])
    assert root.resolve(b"a", follow=False) == b"a"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"", b""),
        (b"/", b""),
        (b"../..", b""),
        (b"out/etc", b"etc"),
        (b"bin/sh", b"usr/bin/sh"),
        (b"bin/nothing/../x", b"usr/bin/x"),
        (b"lib", b"usr/lib64"),
        (b"lib/x", b"usr/lib64/x"),
        (b"nothing/at/all", b"nothing/at/all"),
        (b"usr/file/x", b"usr/file/x"),
    ],
)
def test_a_path_is_resolved_inside_the_root(build_root: Any, path: bytes, expected: bytes) -> None:
    root = build_root(["usr/", "usr/bin/", "usr/file", ("bin", "usr/bin"), ("out", "../../.."), ("lib", "/usr/lib64")])
    assert root.resolve(path) == expected


def test_files_are_read_through_links(build_root: Any) -> None:
    root = build_root(["etc/", ("etc/passwd", b"root:x"), ("p", "/etc/passwd"), tar_member("d", tarfile.CHRTYPE)])
    assert root.read(b"p") == root.read(b"etc/passwd") == b"root:x"
    assert root.read(b"etc") is root.read(b"nothing") is root.read(b"d") is None


def test_hard_links_are_one_entry(build_root: Any) -> None:
    root = build_root(["a", "d/"], [hard_link("d/b", "a"), hard_link("c", "./d/b")], ["a"])
    assert root.entry(b"d/b") is root.entry(b"c")
    assert root.entry(b"c").layer == 0
    assert root.entry(b"a").layer == 2


def test_a_hard_link_is_found_through_links_above_it_and_may_be_to_one(build_root: Any) -> None:
    root = build_root(
        ["real/", "real/f", ("l", "real"), ("s", "real/f")], [hard_link("x", "/l/f"), hard_link("y", "s")]
    )
    assert root.entry(b"x") is root.entry(b"real/f")
    assert root.entry(b"y").kind is EntryKind.SYMLINK


@pytest.mark.parametrize("target", ["missing", "x", "d", ".", "../a", "/../a", "d/../../a", "a/b"])
def test_a_hard_link_to_nothing_or_outside_is_refused(build_root: Any, target: str) -> None:
    with pytest.raises(FormatError, match=r"layer 1: .*: got .*, expected"):
        build_root(["a", "d/", hard_link("x", target)])


# Names that lead out of the root, and endless input


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/..", "..", "a/.."])
def test_names_that_lead_out_are_refused(build_root: Any, name: str) -> None:
    with pytest.raises(FormatError, match=r"layer 1: .*: got a name with '\.\.', expected a name without it"):
        build_root([("x", b""), tar_member(name, tarfile.REGTYPE)])


def test_names_longer_than_path_max_are_refused(build_root: Any) -> None:
    with pytest.raises(FormatError, match=r"got a name of 5000 bytes, expected at most 4096"):
        build_root(["a" * 5000])


def test_folders_may_be_as_deep_as_a_name_is_long(build_root: Any) -> None:
    deep = "d/" * 2000
    assert len(list(build_root([deep + "x"], [deep + ".wh.x", deep + "y"]))) == 2002
    assert len(list(build_root([deep + "x"], [".wh..wh..opq"]))) == 1
    assert len(list(build_root([deep + "x"], [".wh.d"]))) == 1


def test_a_sparse_file_has_no_content_of_its_own(tmp_path: Path) -> None:
    header = tar_member("x", tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "layer").write_bytes(header + bytes(1024))
    root = flatten([LayerFile(get_extent(tmp_path / "layer"))])
    with pytest.raises(FormatError, match=r"got a sparse file, expected a file that is stored completely"):
        root.read(b"x")


def test_more_members_than_any_image_has_are_refused(build_root: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rootfs, "_MAX_MEMBERS", 3)
    assert len(list(build_root(["a", "b"], ["c"]))) == 4
    with pytest.raises(FormatError, match=r"layer 2: got more than 3 members, expected fewer"):
        build_root(["a", "b"], ["a", "b"])
    # Implied folders take memory too, and one name can imply two thousand of them.
    with pytest.raises(FormatError, match=r"layer 1: got more than 3 members, expected fewer"):
        build_root(["a/b/c/d"])


def test_the_work_for_links_and_whiteouts_is_limited(build_root: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rootfs, "_MAX_STEPS", 200)
    for members in (["d/", ("l", "d/../" * 20 + "d"), *["l/x"] * 20], [*map(str, range(30)), *[".wh..wh..opq"] * 9]):
        with pytest.raises(FormatError, match=r"got names and whiteouts that take more than 200 steps"):
            build_root(members)
