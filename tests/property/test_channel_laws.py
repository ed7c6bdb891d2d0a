"""Laws of channels: whatever is named, only lamina's own errors come of it, and a list kept is a list found again."""

from __future__ import annotations

import lzma
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.test_name_match_laws import ASKED, PATHS

from lamina.core.name_match import match_paths
from lamina.core.names import StorePath
from lamina.errors import Error
from lamina.stores.local.channel import DAY, ChannelReader, open_channel
from lamina.transports.open import open_transport

NAMED = st.one_of(
    st.text(),
    st.builds("file://{}".format, st.text()),
    st.builds("file:///{}".format, st.text("ab/.%?#@:", max_size=9)),
    st.builds("https://{}".format, st.text("ab/.%?#@:[]", max_size=9)),
    st.builds("nixos-{}".format, st.text("0123456789.-unstable", max_size=9)),
)


@given(NAMED)
@settings(deadline=None, max_examples=300)
def test_whatever_is_named_raises_an_error_of_lamina_s_or_nothing(where: str) -> None:
    try:
        open_channel(where, open_transport, None, offline=True, now=0.0)
    except Error as error:
        said = str(error)
    else:
        said = ""
    assert said.isprintable()


class Memory:
    """A folder of one file."""

    label = "https://host"

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, name: str, limit: int) -> bytes:
        return self._data

    def close(self) -> None:
        pass


@given(PATHS.filter(bool), ASKED, st.floats(0, 10 * DAY))
@settings(deadline=None, max_examples=50)
def test_a_list_that_is_kept_finds_what_it_found(paths: list[StorePath], name: str, later: float) -> None:
    now = 1_800_000_000.0
    data = lzma.compress("".join(f"{path}\n" for path in paths).encode(), preset=0)

    def opener(url: str) -> ChannelReader:
        return Memory(data)

    with TemporaryDirectory() as folder:
        first = open_channel("nixos-unstable", opener, Path(folder), offline=False, now=now)
        again = open_channel("nixos-unstable", opener, Path(folder), offline=True, now=now + later)
    assert first.find(name) == again.find(name) == match_paths(paths, name)
    assert abs(again.age - later) < 0.01
    assert not first.warnings
    assert len(again.warnings) == 1, "its age"
