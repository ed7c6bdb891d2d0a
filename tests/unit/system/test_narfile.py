"""NARs in files: their entries, their nodes, and files that are not NARs."""

import os
from pathlib import Path

import pytest
from tests.support import factories
from tests.support.factories import File, Item, Link, packed_bytes

from lamina.core.nodes import Extent, Regular
from lamina.errors import FormatError, IntegrityError
from lamina.formats import nar
from lamina.layers.packed import PackedLayer
from lamina.system.extents import read_head
from lamina.system.narfile import check_nar_file, list_nar, nar_extent, read_nodes

# The name is too long for the fast parser, so the other one takes over.
TREE: Item = {b"a": File(b"hello"), b"l": Link(b"t" * 3000)}
DATA = packed_bytes(PackedLayer(0, iter(nar.dump(factories.nodes(TREE)))))


def write(folder: Path, data: bytes) -> Extent:
    (folder / "nar").write_bytes(data)
    return nar_extent(os.fsencode(folder / "nar"))


def test_nodes_have_their_content_in_the_file(tmp_path: Path) -> None:
    extent = write(tmp_path, DATA)
    check_nar_file(extent)
    found = list(read_nodes(extent))
    assert [node.path for node in found] == [b"", b"a", b"l"]
    assert isinstance(found[1], Regular)
    assert read_head(found[1].content, 5) == b"hello"
    assert [(entry[1], entry[2], entry[4]) for entry in list_nar(extent)] == [
        (b"", 0, 0),
        (b"a", 5, extent.mtime_ns),
        (b"l", 0, 0),
    ]


@pytest.mark.parametrize("data", [b"", b"x" * 200, DATA[:-1], DATA + b"x" * 8, DATA.replace(b"symlink", b"symlinc")])
def test_a_file_that_is_no_nar_is_refused(tmp_path: Path, data: bytes) -> None:
    extent = write(tmp_path, data)
    for function in (list_nar, check_nar_file, lambda found: list(read_nodes(found))):
        with pytest.raises(FormatError, match=f"{tmp_path}/nar"):
            function(extent)


def test_the_subject_of_an_error_may_be_given(tmp_path: Path) -> None:
    extent = write(tmp_path, b"x" * 200)
    with pytest.raises(FormatError, match=r"^the file"):
        list(read_nodes(extent, "the file"))
    with pytest.raises(FormatError, match=r"^the file"):
        check_nar_file(extent, "the file")


def test_a_file_that_is_missing_or_changed_is_refused(tmp_path: Path) -> None:
    extent = write(tmp_path, DATA)
    write(tmp_path, DATA + bytes(8))
    with pytest.raises(IntegrityError, match="another size"):
        check_nar_file(extent)
    (tmp_path / "nar").unlink()
    for function in (check_nar_file, lambda found: nar_extent(found.file)):
        with pytest.raises(IntegrityError, match="got nothing there"):
            function(extent)
