"""Laws of the Nix archive."""

from hypothesis import example, given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.support.factories import Item, nodes, packed_bytes, trees

from lamina.core.nodes import Directory, Node, Regular, Symlink
from lamina.errors import FormatError
from lamina.formats import nar
from lamina.formats.listing import EXECUTABLE, FILE, FOLDER, SYMLINK, ListingEntry
from lamina.formats.nar_scanner import ScanError, scan
from lamina.layers.packed import PackedLayer


def dumped(item: Item) -> bytes:
    return packed_bytes(PackedLayer(0, iter(nar.dump(nodes(item)))))


def reread(data: bytes) -> bytes | None:
    """Parse ``data`` and dump it again, or return None for an invalid archive."""
    try:
        found = tuple(nar.parse_bytes(data))
    except FormatError:
        assert scanned(data) is None
        return None
    assert scanned(data) == [entry(node) for node in found]
    return packed_bytes(PackedLayer(0, iter(nar.dump(found))))


def scanned(data: bytes) -> list[ListingEntry] | None:
    """Return the entries that the fast parser finds in ``data``, or None if it refuses it."""
    try:
        return list(scan(data, 7))
    except ScanError:
        return None


def entry(node: Node) -> ListingEntry:
    match node:
        case Regular(path, executable, size):
            return EXECUTABLE if executable else FILE, path, size, b"", 7
        case Symlink(path, target):
            return SYMLINK, path, 0, target, 0
        case Directory(path):
            return FOLDER, path, 0, b"", 0


@given(trees())
@examples(150)
def test_an_archive_parses_back(item: Item) -> None:
    """``dump(parse(nar)) == nar``, and ``parse(dump(nodes)) == nodes``."""
    data = dumped(item)
    assert tuple(nar.parse_bytes(data)) == nodes(item)
    assert reread(data) == data


@given(trees())
@examples(100)
def test_parents_come_first_and_siblings_ascend(item: Item) -> None:
    """Nodes come in NAR order: parents first, siblings by the bytes of their names."""
    paths = [node.path for node in nar.parse_bytes(dumped(item))]
    assert paths == sorted(paths, key=lambda path: path.split(b"/") if path else [])
    assert all(path.rpartition(b"/")[0] in paths for path in paths)


@given(trees(), st.data())
@examples(150)
def test_a_changed_byte_is_refused_or_gives_another_archive(item: Item, data: st.DataObject) -> None:
    """Anything that ``dump`` cannot write raises `FormatError`: a parsed archive dumps to the same bytes."""
    original = dumped(item)
    offset = data.draw(st.integers(0, len(original) - 1))
    changed = bytearray(original)
    changed[offset] = data.draw(st.integers(0, 255))
    assert reread(bytes(changed)) in (None, bytes(changed))


@given(trees(), st.data())
@examples(100)
def test_a_truncated_or_extended_archive_is_refused(item: Item, data: st.DataObject) -> None:
    original = dumped(item)
    assert reread(original[: data.draw(st.integers(0, len(original) - 1))]) is None
    assert reread(original + data.draw(st.binary(min_size=1, max_size=16))) is None


@given(trees(), st.data())
@examples(100)
def test_inserted_or_removed_bytes_are_refused_or_give_another_archive(item: Item, data: st.DataObject) -> None:
    original = dumped(item)
    words = [offset * 8 for offset in range(len(original) // 8 + 1)]
    first, second, third = sorted(data.draw(st.tuples(*[st.sampled_from(words)] * 3)))
    removed = original[:first] + original[second:]
    moved = original[:first] + original[second:third] + original[first:second] + original[third:]
    repeated = original[:second] + original[first:]
    for changed in (removed, moved, repeated):
        assert reread(changed) in (None, changed)


@given(st.binary(max_size=200))
@example(b"")
@examples(100)
def test_garbage_raises_format_error_and_nothing_else(data: bytes) -> None:
    assert reread(data) is None
    assert reread(dumped({})[:24] + data) in (None, dumped({})[:24] + data)


def test_every_bit_of_a_small_archive_matters() -> None:
    """A changed bit is refused, or gives another archive."""
    original = dumped({b"a": {b"b": {}}})
    for offset in range(len(original)):
        for bit in range(8):
            changed = bytearray(original)
            changed[offset] ^= 1 << bit
            assert reread(bytes(changed)) in (None, bytes(changed)), (offset, bit)
