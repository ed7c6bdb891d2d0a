"""Laws of lists of store paths."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.test_name_match_laws import ASKED, PATHS
from tests.unit.formats.test_channel_index import LIST

from lamina.core.name_match import match_paths
from lamina.core.names import StorePath
from lamina.errors import FormatError
from lamina.formats import channel_index


@given(PATHS, ASKED)
def test_a_list_finds_what_fits_among_all_paths(paths: list[StorePath], name: str) -> None:
    """Searching the text gives what choosing among all of its paths gives."""
    found = channel_index.parse("".join(f"{path}\n" for path in paths).encode())
    assert found.find(name) == match_paths(paths, name)


@given(st.dictionaries(st.text(max_size=5), PATHS.filter(bool).map(lambda paths: paths[0])), ASKED)
def test_json_finds_its_names_and_what_fits(paths: dict[str, StorePath], name: str) -> None:
    found = channel_index.parse(json.dumps({key: str(path) for key, path in paths.items()}).encode())
    assert all(found.find(key) == (path,) for key, path in paths.items())
    assert name in paths or found.find(name) == match_paths(paths.values(), name)


@given(st.one_of(st.binary(), st.binary().map(lambda data: b"{" + data), st.binary().map(lambda data: LIST + data)))
@settings(max_examples=300)
def test_garbage_raises_format_error_and_nothing_else(data: bytes) -> None:
    try:
        found = channel_index.parse(data)
    except FormatError:
        return
    assert found.find("") == ()


@given(st.integers(0, len(LIST) - 1), st.integers(0, 255))
def test_every_line_that_is_read_is_a_path(place: int, value: int) -> None:
    data = bytearray(LIST)
    data[place] = value
    try:
        channel_index.parse(bytes(data))
    except FormatError:
        return
    assert all(StorePath.parse(line.decode()) for line in data.split(b"\n") if line.strip())
