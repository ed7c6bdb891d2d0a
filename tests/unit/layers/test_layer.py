"""Tests of store layers: their bytes equal those of nixpkgs, whatever the nodes are read from."""

import hashlib
import io
import json
import os
import sys
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from tests.support.factories import File, Item, Link, MemoryStore, nodes, packed_bytes, path, write
from tests.support.paths import GOLDEN

from lamina.core.names import StorePath
from lamina.core.nodes import Directory, Extent, Node, Regular, Symlink
from lamina.errors import FormatError
from lamina.formats import nar
from lamina.formats.tar import Owner
from lamina.layering import LayerPlan
from lamina.layers.layer import StoreLayer
from lamina.layers.packed import PackedLayer, list_entries
from lamina.system.walk import walk

ROOT = Owner(0, 0, "root", "root")
RECORDED = json.loads((GOLDEN / "layers.json").read_text(encoding="utf-8"))

TREES: dict[str, Item] = {
    "empty-folder": {},
    "file": File(b"a file, not a folder\n"),
    "program": File(b"#!/bin/sh\necho hi\n", executable=True),
    "link": Link(b"/nix/store/nowhere"),
    # Compared by components, bin/hi comes before bin-foo and bin.d/x; compared as plain strings it comes after them.
    "order": {b"bin": {b"hi": File(b"hi")}, b"bin-foo": File(b"1"), b"bin.d": {b"x": File(b"2")}, b"B": {}, b"~": {}},
    "hidden": {b".hidden": {b".x": File(b"h")}, b"...": File()},
    "not-ascii": {"é".encode(): {"☃".encode(): File(b"1")}, "\U0001f600".encode(): Link("é/☃".encode())},
    "not-utf8": {b"\xff": File(b"1"), b"\xee\x80\x80": File(b"2"), "\U0001f600".encode(): {b"\xc3": Link(b"\xfe")}},
    "sizes": {b"%d" % size: File(b"z" * size) for size in (0, 1, 511, 512, 513, 10240)},
    # In the header a name is preceded by /nix/store/HASH-long/, which is 49 bytes, and a folder's ends in a slash.
    "long": {
        kind * length: item
        for length in range(48, 55)
        for kind, item in ((b"f", File(b"x")), (b"d", {}), (b"l", Link(b"t" * (length + 48))))
    },
    "deep": {b"d" * 120: {b"d" * 120: {b"d" * 120: {b"file": File(b"deep"), b"link": Link(b"../" * 60)}}}},
}


def pack_from_memory(*names: str, owner: Owner = ROOT, mtime: int = 1) -> bytes:
    """Return the layer of some of `TREES`, packed from memory."""
    store = MemoryStore(trees={path(name): TREES[name] for name in names})
    plan = LayerPlan(tuple(map(path, names)))
    return packed_bytes(StoreLayer(plan, store.nodes, owner, mtime).pack())


def layer_of(nodes: Sequence[Node], name: str = "A") -> StoreLayer:
    return StoreLayer(LayerPlan((path(name),)), lambda path: nodes, ROOT, 1)


def pack_with_tarfile(tops: Iterable[Path], owner: Owner = ROOT, mtime: int = 1) -> bytes:
    """Return the layer as the streamer of dockerTools makes it: pathlib finds and sorts, tarfile writes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:

        def add(member: tarfile.TarInfo, source: Path | None) -> None:
            member.uid, member.gid, member.uname, member.gname = owner.uid, owner.gid, owner.uname, owner.gname
            member.mtime = mtime
            if source is None or not member.isreg():
                archive.addfile(member)
            else:
                with source.open("rb") as file:
                    archive.addfile(member, file)

        for folder in ("/nix", "/nix/store"):
            member = tarfile.TarInfo(folder)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            add(member, None)
        for top in tops:
            for file in [top] if top.is_symlink() else sorted([top, *top.rglob("*")]):
                member = archive.gettarinfo(str(file))
                member.name = str(Path("/nix/store") / file.relative_to(top.parent))
                if member.islnk():  # an earlier member has the same inode
                    member.type, member.linkname, member.size = tarfile.REGTYPE, "", file.lstat().st_size
                add(member, file)
    return out.getvalue()


def put(names: Iterable[str], store: Path) -> list[Path]:
    """Write the trees to disk as store paths in ``store`` and return their paths."""
    tops = [store / path(name).base for name in names]
    for name, top in zip(names, tops, strict=True):
        write(TREES[name], os.fsencode(top))
    return tops


def pack_from_disk(store: Path, names: Iterable[str], owner: Owner = ROOT, mtime: int = 1) -> bytes:
    def read_nodes(path: StorePath) -> Iterable[Node]:
        return walk(os.fsencode(store / path.base))

    return packed_bytes(StoreLayer(LayerPlan(tuple(map(path, names))), read_nodes, owner, mtime).pack())


on_disk = pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, marks=pytest.mark.skipif(sys.platform != "linux" and name == "not-utf8", reason="needs Linux")
        )
        for name in TREES
    ],
)


# --- bytes


@on_disk
def test_a_layer_has_the_bytes_that_tarfile_and_pathlib_give(name: str, tmp_path: Path) -> None:
    """dockerTools 1.8: PAX, /nix/ and /nix/store/ first, absolute names, component-wise order, whole records."""
    tops = put([name], tmp_path)
    assert pack_from_memory(name) == pack_with_tarfile(tops)


@pytest.mark.skipif(sys.platform != "linux", reason="needs names that are not UTF-8")
@pytest.mark.parametrize(
    ("owner", "mtime"),
    [(ROOT, 1), (Owner(1000, 100, "user", "users"), 1_700_000_000), (Owner(1 << 31, 2_097_152, "ü" * 20, ""), -1)],
)
def test_owner_and_mtime_are_those_given(owner: Owner, mtime: int, tmp_path: Path) -> None:
    tops = put(TREES, tmp_path)
    assert pack_from_memory(*TREES, owner=owner, mtime=mtime) == pack_with_tarfile(tops, owner, mtime)


@on_disk
def test_a_layer_from_disk_is_the_layer_from_a_nar(name: str, tmp_path: Path) -> None:
    """A folder on disk and a NAR are the same thing and must give the same layer digest."""
    (top,) = put([name], tmp_path)
    archive = packed_bytes(PackedLayer(0, iter(nar.dump(walk(os.fsencode(top))))))
    from_nar = packed_bytes(layer_of(tuple(nar.parse_bytes(archive)), name).pack())
    assert pack_from_disk(tmp_path, [name]) == from_nar == pack_from_memory(name)


def test_hard_links_are_files_of_their_own(tmp_path: Path) -> None:
    """A file that tarfile would write as a hard link becomes a regular file with its full content."""
    top = tmp_path / path("A").base
    top.mkdir()
    (top / "one").write_bytes(b"x" * 600)
    (top / "two").hardlink_to(top / "one")
    for file, mode in ((top / "one", 0o444), (top, 0o555)):
        file.chmod(mode)
    made = pack_from_disk(tmp_path, ["A"])
    assert made == pack_with_tarfile([top])
    assert made == packed_bytes(layer_of(nodes({b"one": File(b"x" * 600), b"two": File(b"x" * 600)})).pack())


def test_paths_come_in_the_order_of_the_plan() -> None:
    with tarfile.open(fileobj=io.BytesIO(pack_from_memory("program", "file", "link"))) as archive:
        assert archive.getnames() == ["/nix", "/nix/store", *(str(path(name)) for name in ("program", "file", "link"))]


def test_a_layer_without_paths_holds_only_the_store_directory() -> None:
    with tarfile.open(fileobj=io.BytesIO(pack_from_memory())) as archive:
        assert [(found.name, found.mode) for found in archive] == [("/nix", 0o755), ("/nix/store", 0o755)]


@pytest.mark.parametrize("name", TREES)
def test_golden_digests(name: str) -> None:
    """Equal values pack to equal bytes, on every machine and in every version (recorded by tarfile and nix-store)."""
    made = pack_from_memory(name)
    archive = packed_bytes(PackedLayer(0, iter(nar.dump(nodes(TREES[name])))))
    assert RECORDED[name] == {
        "layer": hashlib.sha256(made).hexdigest(),
        "size": len(made),
        "nar": hashlib.sha256(archive).hexdigest(),
    }


def test_golden_digest_of_all_trees_with_another_owner() -> None:
    made = pack_from_memory(*TREES, owner=Owner(1000, 2_097_152, "user", "üsers"), mtime=1_700_000_000)
    assert RECORDED["all, owned by a user"] == {"layer": hashlib.sha256(made).hexdigest(), "size": len(made)}


# --- sizes


def test_the_size_is_known_without_reading_a_file() -> None:
    gone = Extent(b"/nowhere/at/all", 0, 5 << 40, 5 << 40, 0)
    found = (Directory(b""), Regular(b"large", executable=False, size=5 << 40, content=gone))
    packed = layer_of(found).pack()
    assert packed.size % 10240 == 0
    assert packed.size == sum(len(piece) if isinstance(piece, bytes) else piece.length for piece in packed.pieces)


def test_the_size_is_the_length_of_all_pieces() -> None:
    store = MemoryStore(trees={path(name): tree for name, tree in TREES.items()})
    packed = StoreLayer(LayerPlan(tuple(map(path, TREES))), store.nodes, ROOT, 1).pack()
    assert packed.size == len(packed_bytes(packed)) == len(pack_from_memory(*TREES))


def test_a_layer_can_be_packed_again_to_the_same_bytes() -> None:
    again = layer_of(nodes(TREES["order"]))
    assert packed_bytes(again.pack()) == packed_bytes(again.pack())


# --- order


def test_names_that_are_not_utf8_sort_as_pathlib_sorts_them() -> None:
    """Components compare as Python strings with surrogates, which differs from byte order for non-UTF-8 names only."""
    names = [b"", b"a", b"a/\xff", b"a/\xee\x80\x80", "a/\U0001f600".encode(), b"\xee\x80\x80", b"\xff", b"\xff/x"]
    sorted_by_pathlib = sorted(Path(os.fsdecode(name)) for name in names)
    ordered = [entry.path for entry in list_entries([Directory(name) for name in names])]
    assert [Path(os.fsdecode(name)) for name in ordered] == sorted_by_pathlib
    assert ordered.index(b"a/\xff") < ordered.index(b"a/\xee\x80\x80")


# --- names that no layer can hold, and the texts about a layer


@pytest.mark.parametrize("name", [b".wh.x", b".wh..wh..opq"])
@pytest.mark.parametrize("item", [File(b""), Link(b"x"), {}])
def test_a_name_that_would_be_a_whiteout_is_refused(name: bytes, item: Item) -> None:
    with pytest.raises(FormatError, match=r"\.wh\."):
        layer_of(nodes({b"a": {name: item}})).pack()
    layer_of(nodes({b"a.wh.": {b"x" + name: item}})).pack()


def test_headline_comment_and_paths_name_the_store_paths() -> None:
    plan = LayerPlan((path("A"), path("B")))
    made = StoreLayer(plan, lambda path: (Symlink(b"", b"x"),), ROOT, 1)
    assert made.headline(7) == f"Creating layer 7 from paths: ['{path('A')}', '{path('B')}']"
    assert made.comment == f"store paths: ['{path('A')}', '{path('B')}']"
    assert made.paths == (path("A"), path("B"))
