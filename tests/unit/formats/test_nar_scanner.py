"""The fast parser of archives returns the same entries as `nar.parse`, or refuses the archive."""

import pytest
from tests.support.factories import File, Item, Link, nodes, packed_bytes

from lamina.core.nodes import Extent
from lamina.formats import nar
from lamina.formats.listing import Entry, ListingEntry
from lamina.formats.nar_scanner import ScanError, scan
from lamina.layers.packed import PackedLayer

TREE: Item = {
    b"a": File(b"x" * 5000, executable=True),
    b"b": {b"c": {b"d": File(b"")}, b"e": Link(b"../a"), b"f": {}},
    b"n" * 255: Link(b"t" * 200),
}


def dump(item: Item) -> bytes:
    return packed_bytes(PackedLayer(0, iter(nar.dump(nodes(item)))))


def entries_of(item: Item) -> list[ListingEntry]:
    found = []
    for node in nodes(item):
        kind, path, size, target, content = Entry.from_node(node)
        assert not isinstance(content, Extent)
        found.append((kind, path, size, target, 9 if kind in (2, 3) else 0))
    return found


@pytest.mark.parametrize("item", [TREE, File(b"x"), Link(b"x"), {}], ids=["tree", "file", "link", "folder"])
def test_the_entries_are_those_of_the_archive(item: Item) -> None:
    assert list(scan(dump(item), 9)) == entries_of(item)


def test_an_archive_that_is_cut_or_continued_is_refused() -> None:
    data = dump(TREE)
    for length in range(0, len(data), 37):
        with pytest.raises(ScanError):
            list(scan(data[:length], 0))
    with pytest.raises(ScanError):
        list(scan(data + bytes(8), 0))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"directory", b"directorz"),
        (b"nix-archive-1", b"nix-archive-2"),
        (b"symlink", b"symlinc"),
        (b"../a\0", b"../a\1"),
    ],
)
def test_other_tokens_are_refused(old: bytes, new: bytes) -> None:
    with pytest.raises(ScanError):
        list(scan(dump(TREE).replace(old, new, 1), 0))
