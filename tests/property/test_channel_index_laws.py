"""Laws of lists of store paths."""

import json

from hypothesis import given
from hypothesis import strategies as st
from tests.property.test_name_match_laws import PATHS, QUERIES
from tests.support.examples import examples
from tests.unit.formats.test_channel_index import LIST

from lamina.core.name_match import match_paths
from lamina.core.names import StorePath
from lamina.errors import FormatError
from lamina.formats import channel_index


@given(PATHS, QUERIES)
def test_a_list_finds_the_paths_that_match(paths: list[StorePath], name: str) -> None:
    """Searching the text gives the same as matching all of its paths."""
    found = channel_index.parse("".join(f"{path}\n" for path in paths).encode())
    assert found.find(name) == match_paths(paths, name)


@given(st.dictionaries(st.text(max_size=5), PATHS.filter(bool).map(lambda paths: paths[0])), QUERIES)
def test_json_finds_aliases_and_matching_paths(paths: dict[str, StorePath], name: str) -> None:
    found = channel_index.parse(json.dumps({key: str(path) for key, path in paths.items()}).encode())
    assert all(found.find(key) == (path,) for key, path in paths.items())
    assert name in paths or found.find(name) == match_paths(paths.values(), name)


@given(st.one_of(st.binary(), st.binary().map(lambda data: b"{" + data), st.binary().map(lambda data: LIST + data)))
@examples(300)
def test_garbage_raises_format_error_and_nothing_else(data: bytes) -> None:
    try:
        found = channel_index.parse(data)
    except FormatError:
        return
    assert found.find("") == ()


@given(st.integers(0, len(LIST) - 1), st.integers(0, 255))
def test_every_line_of_a_valid_list_is_a_path(offset: int, value: int) -> None:
    data = bytearray(LIST)
    data[offset] = value
    try:
        channel_index.parse(bytes(data))
    except FormatError:
        return
    assert all(StorePath.parse(line.decode()) for line in data.split(b"\n") if line.strip())
