"""Laws of listings, and of layers packed from them."""

import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.support.factories import Item, nodes, packed_bytes, path, trees, write

from lamina.errors import FormatError
from lamina.formats import nar
from lamina.formats.listing import EXECUTABLE, FILE, FOLDER, SYMLINK, Listing, ListingBuilder, ListingEntry
from lamina.formats.tar import Owner
from lamina.layering import LayerPlan
from lamina.layers.layer import StoreLayer
from lamina.layers.packed import ListedLayer, ListedPath, PackedLayer
from lamina.system import locations, narfile
from lamina.system.walk import list_tree, walk

OWNER = Owner(7, 8, "root", "é")
names = st.binary(min_size=1, max_size=30).filter(lambda name: b"\0" not in name)
sizes = st.integers(0, 2**63 - 1)
mtimes = st.integers(-(2**63), 2**63 - 1)
entries: st.SearchStrategy[ListingEntry] = st.one_of(
    st.tuples(st.just(FOLDER), names, st.just(0), st.just(b""), st.just(0)),
    st.tuples(st.just(SYMLINK), names, st.just(0), names, st.just(0)),
    st.tuples(st.sampled_from((FILE, EXECUTABLE)), names, sizes, st.just(b""), mtimes),
)


def listing_of(found: list[ListingEntry]) -> Listing:
    builder = ListingBuilder()
    for entry in found:
        builder.add(*entry)
    return builder.build()


@given(st.lists(entries, max_size=50))
def test_a_listing_parses_back(found: list[ListingEntry]) -> None:
    """``Listing.parse(listing.dump()) == listing``, and it iterates over what was added."""
    listing = listing_of(found)
    assert list(listing) == found
    assert Listing.parse(listing.dump()) == listing


@given(st.lists(entries, min_size=1, max_size=9), st.data())
def test_changed_bytes_raise_format_error_or_are_a_listing(found: list[ListingEntry], data: st.DataObject) -> None:
    """Truncated or changed bytes raise `FormatError`, or are a complete listing."""
    raw = bytearray(listing_of(found).dump())
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw) - 1))]
    else:
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        parsed = Listing.parse(bytes(raw))
    except FormatError:
        return
    assert Listing.parse(parsed.dump()) == parsed
    assert all(len(entry) == 5 for entry in parsed)


@pytest.mark.parametrize("count", [4095, 4096, 4097, 10_000])
def test_a_listing_of_many_entries_is_in_chunks(count: int) -> None:
    found: list[ListingEntry] = [(FILE, b"%06d" % number, number, b"", -number) for number in range(count)]
    listing = listing_of(found)
    assert list(listing) == found
    assert Listing.parse(listing.dump()) == listing
    assert len(listing.chunks) == -(-count // 4096)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are not UTF-8")
@given(trees())
@examples(100)
def test_a_layer_from_a_listing_equals_one_from_nodes(tree: Item) -> None:
    """The same nodes give the same layer, whether they come as nodes or as a listing."""
    with tempfile.TemporaryDirectory() as folder:
        top = os.fsencode(Path(folder, path("A").base))
        write(tree, top)
        listing = list_tree(top)
        assert listing is not None
        assert list(locations.iter_nodes(listing, top)) == list(walk(top))
        from_nodes = StoreLayer(LayerPlan((path("A"),)), lambda _: walk(top), OWNER, 5).pack()
        assert_packs_alike(listed_layer(top), from_nodes)


@given(trees())
@examples(100)
def test_a_layer_from_a_nar_equals_one_from_disk(tree: Item) -> None:
    """A folder on disk and a NAR give the same layer."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "x.nar")
        file.write_bytes(b"".join(cast("Iterable[bytes]", nar.dump(nodes(tree)))))
        archive = narfile.nar_extent(os.fsencode(file))
        listing = narfile.list_nar(archive)
        assert list(locations.iter_nodes(listing, archive)) == list(narfile.read_nodes(archive))
        from_nodes = StoreLayer(LayerPlan((path("A"),)), lambda _: nodes(tree), OWNER, 5).pack()
        assert_packs_alike(listed_layer(archive), from_nodes)


def listed_layer(location: locations.Location) -> ListedLayer:
    listing = locations.list_location(location)
    assert listing is not None
    return ListedLayer((ListedPath(str(path("A")).encode(), location, listing),), OWNER, 5)


def assert_packs_alike(listed: ListedLayer, other: PackedLayer) -> None:
    packed = listed.pack()
    assert packed.size == other.size
    assert packed_bytes(packed) == packed_bytes(other)
