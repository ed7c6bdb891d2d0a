"""The columnar form of the entries of a store path."""

import pytest

from lamina.core.nodes import Directory, Extent, Regular, Symlink
from lamina.errors import FormatError
from lamina.formats.listing import EXECUTABLE, FILE, FOLDER, SYMLINK, Entry, Listing, ListingBuilder, ListingEntry

ENTRIES: list[ListingEntry] = [
    (FOLDER, b"", 0, b"", 0),
    (EXECUTABLE, b"a", 5, b"", 1_000_000_007),
    (FOLDER, b"b", 0, b"", 0),
    (SYMLINK, b"b/link", 0, b"../a", 0),
    (FILE, b"\xff", 1 << 40, b"", 7),
]


def build(entries: list[ListingEntry]) -> Listing:
    builder = ListingBuilder()
    for entry in entries:
        builder.add(*entry)
    return builder.build()


@pytest.mark.parametrize("count", [0, 1, 5, 4096, 4097, 9000])
def test_a_listing_gives_its_entries_back(count: int) -> None:
    entries = (ENTRIES * 1800)[:count]
    listing = build(entries)
    assert list(listing) == entries
    assert Listing.parse(listing.dump()) == listing
    assert len(listing.chunks) == -(-count // 4096)


def test_an_entry_takes_seventeen_bytes_and_its_name() -> None:
    one, two = build(ENTRIES[:1]), build([*ENTRIES[:1], (FILE, b"name", 1, b"", 1)])
    assert two.memory_size - one.memory_size == 17 + len(b"\0name")


def test_names_are_searched_and_checked() -> None:
    listing = build(ENTRIES)
    assert listing.contains_name(b"ink")
    assert not listing.contains_name(b"../a"), "the target of a symlink is no name"
    assert not listing.is_utf8
    assert build(ENTRIES[:4]).is_utf8


def test_an_entry_of_a_node_has_its_fields() -> None:
    extent = Extent.whole(b"/f", 5, 3)
    assert Entry.from_node(Regular(b"a", True, 5, extent)) == (EXECUTABLE, b"a", 5, b"", extent)
    assert Entry.from_node(Regular(b"a", False, 1, b"x")) == (FILE, b"a", 1, b"", b"x")
    assert Entry.from_node(Symlink(b"l", b"t")) == (SYMLINK, b"l", 0, b"t", b"")
    assert Entry.from_node(Directory(b"")) == (FOLDER, b"", 0, b"", b"")


def test_bytes_that_are_no_listing_are_refused() -> None:
    data = build(ENTRIES).dump()
    damaged = [data[:length] for length in range(1, len(data))]
    damaged += [data + b"x", data[:16] + b"\x09" + data[17:], data[:4] + bytes(4) + data[8:]]
    for text in damaged:
        with pytest.raises(FormatError, match=r"listing at byte \d+: got "):
            Listing.parse(text)
