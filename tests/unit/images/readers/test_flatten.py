"""The root that layers make: whiteouts, links, folders, and nothing outside it."""

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
def made(tmp_path: Path) -> Any:
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


def test_no_layer_is_an_empty_root(made: Any) -> None:
    assert [(path, entry.kind, entry.layer) for path, entry in made()] == [(b"", EntryKind.DIRECTORY, -1)]


def test_what_comes_is_in_order_parents_first(made: Any) -> None:
    root = made(["b", "a/", "a.b", "a/z", "a-b", "a/y"])
    assert [path for path, _ in root] == [b"", b"a", b"a/y", b"a/z", b"a-b", b"a.b", b"b"]


def test_names_are_the_same_however_they_are_spelt(made: Any) -> None:
    assert shape(made(["./a", "/b", "c//d", "./"], ["a", "./b", "/c/./d"])) == [
        "a = a",
        "b = ./b",
        "c/",
        "c/d = /c/./d",
    ]


def test_the_last_layer_wins(made: Any) -> None:
    root = made([("x", b"old"), "y"], [("x", b"new")])
    assert shape(root) == ["x = new", "y = y"]
    assert [root.entry(path).layer for path in (b"x", b"y")] == [1, 0]


def test_a_folder_over_a_folder_changes_what_its_header_says_alone(made: Any) -> None:
    root = made(["d/", "d/a"], [tar_member("d", tarfile.DIRTYPE, mode=0o700, uid=7)])
    assert shape(root) == ["d/", "d/a = d/a"]
    assert (root.entry(b"d").header.mode, root.entry(b"d").header.uid, root.entry(b"d").layer) == (0o700, 7, 1)


def test_a_file_over_a_folder_removes_what_was_in_it(made: Any) -> None:
    assert shape(made(["d/", "d/a", "d/b/", "d/b/c"], [("d", b"file")])) == ["d = file"]
    assert shape(made(["d/", "d/a"], [("d", "x")])) == ["d -> x"]


def test_a_folder_over_anything_else_is_empty(made: Any) -> None:
    assert shape(made(["real/", "real/a", ("d", "real"), "e"], ["d/", "d/b", "e/"])) == [
        "d/",
        "d/b = d/b",
        "e/",
        "real/",
        "real/a = real/a",
    ]


def test_folders_that_nobody_declared_are_roots(made: Any) -> None:
    root = made(["a/b/c"])
    assert shape(root) == ["a/", "a/b/", "a/b/c = a/b/c"]
    header = root.entry(b"a").header
    assert (header.mode, header.uid, header.gid, header.mtime, root.entry(b"a").layer) == (0o755, 0, 0, 0, -1)


def test_a_root_may_be_declared(made: Any) -> None:
    root = made([tar_member("./", tarfile.DIRTYPE, mode=0o700)])
    assert root.entry(b"").header.mode == 0o700
    for name in ("./", "/", "."):
        with pytest.raises(FormatError, match=r"layer 1: .*got a file for the root, expected a folder"):
            made([tar_member(name, tarfile.REGTYPE)])


def test_everything_of_a_header_is_kept(made: Any) -> None:
    records = {"SCHILY.xattr.user.a": "b"}
    root = made([tar_member("x", tarfile.CHRTYPE, devmajor=1, devminor=3, uid=5, mode=0o4666, pax_headers=records)])
    header = root.entry(b"x").header
    assert (header.device, header.uid, header.mode, header.xattrs) == ((1, 3), 5, 0o4666, ((b"user.a", b"b"),))


# Whiteouts


def test_a_whiteout_removes_what_is_below(made: Any) -> None:
    assert shape(made(["d/", "d/a", "d/b", "e"], ["d/.wh.a", ".wh.e"])) == ["d/", "d/b = d/b"]
    assert shape(made(["d/", "d/a"], [".wh.d"])) == []
    assert shape(made(["a"], [".wh.missing", "nowhere/.wh.a", "a/.wh.b"])) == ["a = a"]


@pytest.mark.parametrize("whiteout_first", [True, False])
def test_a_layers_own_members_stay_wherever_the_whiteout_is(made: Any, whiteout_first: bool) -> None:
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
        root = made(
            [tar_member("d", tarfile.DIRTYPE, mode=0o700), "d/a", tar_member("d/s", tarfile.DIRTYPE, uid=9), "d/s/b"],
            upper,
        )
        assert shape(root) == expected
        modes = {path: entry.header.mode for path, entry in root if entry.kind is EntryKind.DIRECTORY}
        assert modes.get(b"d", 0o755) == (0o700 if not whiteout.startswith(".wh.") and "d/" not in members else 0o755)
        if whiteout.endswith("opq"):
            assert {entry.header.uid for _, entry in root} == {0}


def test_an_opaque_folder_keeps_what_it_is(made: Any) -> None:
    root = made([tar_member("d", tarfile.DIRTYPE, mode=0o700), "d/a"], ["d/.wh..wh..opq"])
    assert shape(root) == ["d/"]
    assert root.entry(b"d").header.mode == 0o700


def test_what_aufs_kept_for_itself_is_left_out(made: Any) -> None:
    assert shape(made([".wh..wh.plnk/", ".wh..wh.plnk/12.34", ".wh..wh.aufs", ".wh..wh.orph/", "a"])) == ["a = a"]


@pytest.mark.parametrize("name", [".wh.", "d/.wh.", ".wh..", ".wh...", "d/.wh..."])
def test_a_whiteout_of_no_name_is_refused(made: Any, name: str) -> None:
    with pytest.raises(FormatError, match=r"layer 1: .*got a whiteout of .*, expected a name"):
        made([name])


def test_a_folder_that_is_a_whiteout_is_refused(made: Any) -> None:
    with pytest.raises(FormatError, match=r"got a folder that is a whiteout, expected none"):
        made([".wh.d/x"])


def test_whiteouts_follow_links_inside_the_root(made: Any) -> None:
    assert shape(made(["usr/", "usr/bin/", "usr/bin/a", ("bin", "usr/bin")], ["bin/.wh.a"])) == [
        "bin -> usr/bin",
        "usr/",
        "usr/bin/",
    ]


# Links


@pytest.mark.parametrize(
    "target", ["usr/bin", "/usr/bin", "./usr//bin/", "../../usr/bin", "/../usr/lib/../bin", "chain"]
)
def test_a_member_lands_where_the_link_above_it_leads(made: Any, target: str) -> None:
    lower = ["usr/", "usr/bin/", "usr/lib/", ("chain", "usr/bin"), ("bin", target)]
    root = made(lower, ["bin/new"])
    assert root.kind(b"usr/bin/new") is EntryKind.FILE
    assert root.kind(b"bin") is EntryKind.SYMLINK
    assert root.resolve(b"bin/new") == b"usr/bin/new"


def test_folders_behind_a_link_are_made(made: Any) -> None:
    assert shape(made(["real/", ("l", "real")], ["l/a/b"]))[1:] == ["real/", "real/a/", "real/a/b = l/a/b"]


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
def test_a_member_above_which_is_no_folder_is_refused(made: Any, lower: list[Member], name: str, got: str) -> None:
    with pytest.raises(FormatError, match=rf"layer 2: .*: got {got} above it, expected a folder"):
        made(lower, [name])


@pytest.mark.parametrize("links", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "./a/x"}, {"a": "/b/c", "b": "a"}])
def test_links_that_lead_to_themselves_are_refused(made: Any, links: dict[str, str]) -> None:
    root = made(list(links.items()))
    with pytest.raises(FormatError, match=r"got more than 40 links, expected no loop"):
        root.resolve(b"a/x")
    with pytest.raises(FormatError, match=r"layer 2: .*got more than 40 links"):
        made(list(links.items()), ["a/x"])
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
def test_a_path_is_resolved_inside_the_root(made: Any, path: bytes, expected: bytes) -> None:
    root = made(["usr/", "usr/bin/", "usr/file", ("bin", "usr/bin"), ("out", "../../.."), ("lib", "/usr/lib64")])
    assert root.resolve(path) == expected


def test_files_are_read_through_links(made: Any) -> None:
    root = made(["etc/", ("etc/passwd", b"root:x"), ("p", "/etc/passwd"), tar_member("d", tarfile.CHRTYPE)])
    assert root.read(b"p") == root.read(b"etc/passwd") == b"root:x"
    assert root.read(b"etc") is root.read(b"nothing") is root.read(b"d") is None


def test_hard_links_are_one_entry(made: Any) -> None:
    root = made(["a", "d/"], [hard_link("d/b", "a"), hard_link("c", "./d/b")], ["a"])
    assert root.entry(b"d/b") is root.entry(b"c")
    assert root.entry(b"c").layer == 0
    assert root.entry(b"a").layer == 2


def test_a_hard_link_is_found_through_links_above_it_and_may_be_to_one(made: Any) -> None:
    root = made(["real/", "real/f", ("l", "real"), ("s", "real/f")], [hard_link("x", "/l/f"), hard_link("y", "s")])
    assert root.entry(b"x") is root.entry(b"real/f")
    assert root.entry(b"y").kind is EntryKind.SYMLINK


@pytest.mark.parametrize("target", ["missing", "x", "d", ".", "../a", "/../a", "d/../../a", "a/b"])
def test_a_hard_link_to_nothing_or_outside_is_refused(made: Any, target: str) -> None:
    with pytest.raises(FormatError, match=r"layer 1: .*: got .*, expected"):
        made(["a", "d/", hard_link("x", target)])


# What leads out or goes on


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/..", "..", "a/.."])
def test_names_that_lead_out_are_refused(made: Any, name: str) -> None:
    with pytest.raises(FormatError, match=r"layer 1: .*: got a name with '\.\.', expected none"):
        made([("x", b""), tar_member(name, tarfile.REGTYPE)])


def test_names_longer_than_any_are_refused(made: Any) -> None:
    with pytest.raises(FormatError, match=r"got a name of 5000 bytes, expected at most 4096"):
        made(["a" * 5000])


def test_folders_may_be_as_deep_as_a_name_is_long(made: Any) -> None:
    deep = "d/" * 2000
    assert len(list(made([deep + "x"], [deep + ".wh.x", deep + "y"]))) == 2002
    assert len(list(made([deep + "x"], [".wh..wh..opq"]))) == 1
    assert len(list(made([deep + "x"], [".wh.d"]))) == 1


def test_a_sparse_file_has_no_content_of_its_own(tmp_path: Path) -> None:
    header = tar_member("x", tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT)
    (tmp_path / "layer").write_bytes(header + bytes(1024))
    root = flatten([LayerFile(get_extent(tmp_path / "layer"))])
    with pytest.raises(FormatError, match=r"got a sparse file, expected one that is stored whole"):
        root.read(b"x")


def test_more_members_than_any_image_has_are_refused(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rootfs, "_MAX_MEMBERS", 3)
    assert len(list(made(["a", "b"], ["c"]))) == 4
    with pytest.raises(FormatError, match=r"layer 2: got more than 3 members, expected fewer"):
        made(["a", "b"], ["a", "b"])
    # Folders that a name alone implies take memory too, two thousand of them a name.
    with pytest.raises(FormatError, match=r"layer 1: got more than 3 members, expected fewer"):
        made(["a/b/c/d"])


def test_a_name_of_many_links_and_a_whiteout_of_many_names_have_an_end(
    made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rootfs, "_MAX_STEPS", 200)
    for members in (["d/", ("l", "d/../" * 20 + "d"), *["l/x"] * 20], [*map(str, range(30)), *[".wh..wh..opq"] * 9]):
        with pytest.raises(FormatError, match=r"got names and whiteouts that take more than 200 steps"):
            made(members)
