"""Laws of the format of nix-store --export."""

from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.support.factories import Item, trees
from tests.unit.formats.test_nix_export import DATA, exported, nar_of, parsed

from lamina.core.names import NIX32, StorePath
from lamina.errors import FormatError
from lamina.formats.nix_export import ExportedPath

BASES = st.builds("{}-{}".format, st.text(NIX32, min_size=32, max_size=32), st.text("abc019+-._?=", min_size=1))
PATHS = BASES.map(StorePath.parse_base)
ENTRIES = st.tuples(trees(), st.builds(ExportedPath, PATHS, st.frozensets(PATHS, max_size=4), st.just("") | BASES))


@given(st.lists(ENTRIES, max_size=3), st.integers(1, 100), st.binary(max_size=9))
@examples(100)
def test_an_export_parses_back(entries: list[tuple[Item, ExportedPath]], read_size: int, rest: bytes) -> None:
    """`parse` yields the paths that were exported, and reads nothing beyond the end."""
    paths = [(nar_of(item), found) for item, found in entries]
    assert parsed(exported(*paths) + rest, read_size) == (paths, rest)


@given(st.data())
@examples(200)
def test_a_changed_byte_is_refused_or_parsed(data: st.DataObject) -> None:
    changed = bytearray(DATA)
    # The content of the long file in the middle does not matter.
    offset = data.draw(st.integers(0, 600) | st.integers(len(DATA) - 900, len(DATA) - 1))
    changed[offset] = data.draw(st.integers(0, 255))
    try:
        parsed(bytes(changed))
    except FormatError:
        return


@given(st.binary(max_size=200))
@examples(100)
def test_garbage_raises_format_error_and_nothing_else(data: bytes) -> None:
    for text in (data, DATA[:8] + data, DATA[: 8 + len(nar_of({}))] + data):
        try:
            paths, _ = parsed(text)
        except FormatError:
            continue
        assert not paths
