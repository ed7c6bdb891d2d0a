"""The JSON listing beside a narinfo: its text, and where the contents are in the NAR."""

import json

from tests.support.factories import File, Item, Link, nodes, packed_bytes

from lamina.formats import nar, nar_listing
from lamina.formats.listing import Entry, Listing, ListingBuilder
from lamina.layers.packed import PackedLayer


def listing_of(item: Item) -> Listing:
    builder = ListingBuilder()
    for node in nodes(item):
        kind, path, size, target, _ = Entry.from_node(node)
        builder.add(kind, path, size, target, 0)
    return builder.build()


TREE: Item = {b"a": File(b"hello"), b"b": {b"c": {}, b"d": Link(b"../a")}, "é".encode(): File(b"x", executable=True)}


def test_the_document_has_every_entry() -> None:
    document = json.loads(nar_listing.dump(listing_of(TREE)) or b"")
    assert document["version"] == 1
    root = document["root"]
    assert list(root["entries"]) == ["a", "b", "é"]
    assert root["entries"]["b"]["entries"] == {
        "c": {"type": "directory", "entries": {}},
        "d": {"type": "symlink", "target": "../a"},
    }
    assert root["entries"]["é"]["executable"] is True


def test_each_offset_is_where_the_content_is_in_the_nar() -> None:
    data = packed_bytes(PackedLayer(0, iter(nar.dump(nodes(TREE)))))
    entries = json.loads(nar_listing.dump(listing_of(TREE)) or b"")["root"]["entries"]
    for name, content in (("a", b"hello"), ("é", b"x")):
        offset = entries[name]["narOffset"]
        assert data[offset : offset + entries[name]["size"]] == content


def test_a_file_alone_is_the_root() -> None:
    assert nar_listing.dump(listing_of(File(b"xy"))) == (
        b'{"version":1,"root":{"type":"regular","size":2,"narOffset":96}}'
    )


def test_a_tree_with_names_that_are_not_utf_8_has_no_document() -> None:
    assert nar_listing.dump(listing_of({b"\xff": File()})) is None
    assert nar_listing.dump(listing_of({b"a": Link(b"\xff")})) is None


def test_a_tree_may_be_nested_deeper_than_python_recurses() -> None:
    builder = ListingBuilder()
    for depth in range(3000):
        builder.add(0, b"/".join([b"a"] * depth), 0, b"", 0)
    text = nar_listing.dump(builder.build())
    assert text
    assert text.count(b'"a":') == 2999
    assert text.endswith(b"}}" * 3000 + b"}")
