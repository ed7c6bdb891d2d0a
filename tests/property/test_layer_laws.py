"""Laws of store layers."""

import io
import os
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.support.factories import Item, entry_names, folders, nodes, packed_bytes, path, trees, write
from tests.unit.layers.test_layer import pack_with_tarfile

from lamina.core.nodes import Directory, Node
from lamina.formats import nar
from lamina.formats.tar import Owner
from lamina.layering import LayerPlan
from lamina.layers.layer import StoreLayer
from lamina.layers.packed import PackedLayer, list_entries
from lamina.system.walk import walk

OWNERS = st.builds(Owner, st.sampled_from([0, 1000, 1 << 21]), st.integers(0, 9), st.sampled_from(["", "ü"]))
MTIMES = st.sampled_from([-1, 0, 1, 1_700_000_000])


def pack(nodes: tuple[Node, ...], owner: Owner, mtime: int) -> PackedLayer:
    return StoreLayer(LayerPlan((path("A"),)), lambda path: nodes, owner, mtime).pack()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are not UTF-8")
@given(trees(), OWNERS, MTIMES)
@examples(100)
def test_disk_nar_memory_and_the_streamer_of_dockertools_give_the_same_layer(
    item: Item, owner: Owner, mtime: int
) -> None:
    """A layer from disk equals the layer from a NAR; both equal what tarfile writes in pathlib's order."""
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder) / path("A").base
        write(item, os.fsencode(top))
        on_disk = packed_bytes(pack(tuple(walk(os.fsencode(top))), owner, mtime))
        archive = packed_bytes(PackedLayer(0, iter(nar.dump(walk(os.fsencode(top))))))
        expected = pack_with_tarfile([top], owner, mtime)
    assert on_disk == expected
    assert packed_bytes(pack(tuple(nar.parse_bytes(archive)), owner, mtime)) == expected
    assert packed_bytes(pack(nodes(item), owner, mtime)) == expected


@given(trees(), OWNERS, MTIMES)
@examples(100)
def test_the_size_is_the_length_of_the_tar(item: Item, owner: Owner, mtime: int) -> None:
    """The size is computed before the bytes are made."""
    packed = pack(nodes(item), owner, mtime)
    assert packed.size == len(packed_bytes(packed))


@given(folders())
@examples(100)
def test_a_layer_has_every_node(item: Item) -> None:
    data = packed_bytes(pack(nodes(item), Owner(), 1))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = {os.fsencode(member.name): (member.type, os.fsencode(member.linkname)) for member in archive}
    top = os.fsencode(str(path("A")))
    kinds = {"Directory": tarfile.DIRTYPE, "Symlink": tarfile.SYMTYPE, "Regular": tarfile.REGTYPE}
    assert found == {b"/nix": (tarfile.DIRTYPE, b""), b"/nix/store": (tarfile.DIRTYPE, b"")} | {
        top + (b"/" + node.path if node.path else b""): (kinds[type(node).__name__], getattr(node, "target", b""))
        for node in nodes(item)
    }


@given(st.sets(st.lists(entry_names(), max_size=3).map(b"/".join), max_size=8))
@examples(200)
def test_nodes_are_sorted_like_paths_of_pathlib(paths: set[bytes]) -> None:
    """nixpkgs sorts `pathlib.Path`s: component by component, as Python compares strings."""
    in_nar_order = sorted(paths, key=lambda path: path.split(b"/") if path else [])
    ordered = [entry.path for entry in list_entries([Directory(path) for path in in_nar_order])]
    assert ordered == sorted(paths, key=lambda path: PurePosixPath("/top", os.fsdecode(path)))
