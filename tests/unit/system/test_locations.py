"""A store path as a file tree and as a NAR: the same nodes and the same entries."""

import os
from pathlib import Path

import pytest
from tests.support import factories
from tests.support.factories import File, Item, Link, packed_bytes

from lamina.core.nodes import Extent
from lamina.formats import nar
from lamina.layers.packed import PackedLayer
from lamina.system.extents import read_head
from lamina.system.locations import Location, disk_path, iter_entries, iter_nodes, list_location
from lamina.system.narfile import nar_extent

TREE: Item = {b"a": File(b"hello", executable=True), b"b": {b"c": File(b"x" * 9000), b"d": Link(b"../a")}}


@pytest.fixture(params=[TREE, File(b"alone"), Link(b"target"), {}], ids=["tree", "file", "link", "folder"])
def item(request: pytest.FixtureRequest) -> Item:
    found: Item = request.param
    return found


@pytest.fixture(params=["folder", "nar"])
def location(request: pytest.FixtureRequest, item: Item, tmp_path: Path) -> Location:
    where = os.fsencode(tmp_path / "there")
    if request.param == "folder":
        factories.write(item, where)
        return where
    Path(os.fsdecode(where)).write_bytes(packed_bytes(PackedLayer(0, iter(nar.dump(factories.nodes(item))))))
    return nar_extent(where)


def test_the_nodes_are_those_of_the_tree(item: Item, location: Location) -> None:
    listing = list_location(location)
    assert listing is not None
    found = list(iter_nodes(listing, location))
    expected = factories.nodes(item)
    assert [(type(node), node.path) for node in found] == [(type(node), node.path) for node in expected]
    entries = list(iter_entries(listing, location))
    contents = [getattr(node, "content", b"") for node in expected]
    assert [read_head(entry.content, entry.size) for entry in entries] == contents


def test_the_path_on_disk_is_that_of_the_tree_or_of_the_nar(location: Location, tmp_path: Path) -> None:
    assert disk_path(location) == os.fsencode(tmp_path / "there")


def test_the_current_time_of_a_nar_counts(tmp_path: Path) -> None:
    file = os.fsencode(tmp_path / "nar")
    data = packed_bytes(PackedLayer(0, iter(nar.dump(factories.nodes(File(b"x"))))))
    Path(os.fsdecode(file)).write_bytes(data)
    listing = list_location(nar_extent(file))
    os.utime(file, ns=(0, 7))
    assert listing is not None
    (node,) = iter_nodes(listing, nar_extent(file))
    content = getattr(node, "content", b"")
    assert isinstance(content, Extent)
    assert content.mtime_ns == 7
