"""Tests of packing: nodes and listings give equal bytes and equal errors, and every tar ends in whole records."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.support.factories import File, Item, Link, nodes, packed_bytes

from lamina.core.nodes import Node
from lamina.errors import FormatError
from lamina.formats.listing import FILE, Entry, Listing, ListingBuilder
from lamina.formats.tar import RECORD, Owner, PaxHeaders
from lamina.layers.packed import (
    ListedLayer,
    ListedPath,
    PackedLayer,
    check_names,
    list_entries,
    measure_entries,
    pack_entries,
)

TOP = b"/nix/store/" + b"0" * 32 + b"-x"
TREE: Item = {b"bin": {b"run": File(b"#!", executable=True)}, b"doc": Link(b"share"), b"empty": File(b"")}


def list_nodes(found: Sequence[Node]) -> Listing:
    """Return the listing of the nodes, with a modification time of 7."""
    builder = ListingBuilder()
    for kind, path, size, target, _ in map(Entry.from_node, found):
        builder.add(kind, path, size, target, 7 if kind >= FILE else 0)
    return builder.build()


def test_a_listing_and_nodes_have_the_same_size_and_headers() -> None:
    headers = PaxHeaders(Owner(), 1)
    size = measure_entries(headers, [(TOP, list_entries(nodes(TREE)))])
    listed = ListedLayer((ListedPath(TOP, b"/elsewhere", list_nodes(nodes(TREE))),), Owner(), 1)
    assert listed.size() == size
    from_nodes = pack_entries(headers, [(TOP, list_entries(nodes(TREE)))], size)
    from_listing = listed.pack()
    assert from_nodes.size == from_listing.size == len(packed_bytes(from_nodes))
    dumped = [piece for piece in from_listing.pieces if isinstance(piece, bytes)]
    assert sum(map(len, dumped)) == from_listing.size - len(b"#!")


def test_the_memory_of_a_listed_layer_is_that_of_its_listings() -> None:
    listing = list_nodes(nodes(TREE))
    part = ListedPath(TOP, b"/elsewhere", listing)
    assert ListedLayer((part, part), Owner(), 1).memory_size == 2 * listing.memory_size > 0


@pytest.mark.parametrize("tree", [{b".wh.x": File(b"")}, {b"a": {b".wh..wh..opq": {}}}])
def test_a_whiteout_is_refused_in_nodes_and_in_a_listing(tree: Item) -> None:
    message = r"\.wh\.[^ ]*: got a name that begins with \.wh\."
    with pytest.raises(FormatError, match=message):
        check_names([(TOP, list_entries(nodes(tree)))])
    listed = ListedLayer((ListedPath(TOP, b"/elsewhere", list_nodes(nodes(tree))),), Owner(), 1)
    with pytest.raises(FormatError, match=message):
        listed.size()


@pytest.mark.parametrize("size", [0, 512, RECORD - 1024, RECORD])
def test_a_tar_ends_in_two_empty_blocks_and_a_whole_record(size: int) -> None:
    packed = PackedLayer.with_trailer(size, [b"x" * size])
    data = packed_bytes(packed)
    assert packed.size == len(data)
    assert packed.size % RECORD == 0
    assert data == (b"x" * size).ljust(packed.size, b"\0")
    assert data.endswith(bytes(1024))
