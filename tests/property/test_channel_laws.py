"""Laws of channels: any name raises only errors of lamina, and a stored list is found again."""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st
from tests.property.test_name_match_laws import PATHS, QUERIES
from tests.support.examples import examples

from lamina.core.name_match import match_paths
from lamina.core.names import StorePath
from lamina.errors import Error
from lamina.stores.local.channel import DAY, open_channel
from lamina.stores.transport import Transport
from lamina.transports.open import open_transport

NAMES_AND_URLS = st.one_of(
    st.text(),
    st.builds("file://{}".format, st.text()),
    st.builds("file:///{}".format, st.text("ab/.%?#@:", max_size=9)),
    st.builds("https://{}".format, st.text("ab/.%?#@:[]", max_size=9)),
    st.builds("nixos-{}".format, st.text("0123456789.-unstable", max_size=9)),
)


@given(NAMES_AND_URLS)
@examples(300)
def test_any_name_of_a_channel_opens_or_raises_a_lamina_error(name_or_url: str) -> None:
    try:
        open_channel(name_or_url, open_transport, None, offline=True, now=0.0)
    except Error as error:
        message = str(error)
    else:
        message = ""
    assert message.isprintable()


class OneFileTransport:
    """A transport with one file."""

    label = "https://host"

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, name: str, limit: int) -> bytes:
        return self._data

    def stream(self, name: str, limit: int) -> Iterator[bytes]:
        yield self._data

    def close(self) -> None:
        pass


@given(PATHS.filter(bool), QUERIES, st.floats(0, 10 * DAY))
@examples(50)
def test_a_stored_list_finds_the_same_paths(paths: list[StorePath], name: str, later: float) -> None:
    now = 1_800_000_000.0
    data = lzma.compress("".join(f"{path}\n" for path in paths).encode(), preset=0)

    def opener(url: str) -> Transport:
        return OneFileTransport(data)

    with TemporaryDirectory() as folder:
        first = open_channel("nixos-unstable", opener, Path(folder), offline=False, now=now)
        again = open_channel("nixos-unstable", opener, Path(folder), offline=True, now=now + later)
    assert first.find(name) == again.find(name) == match_paths(paths, name)
    assert abs(again.age - later) < 0.01
    assert not first.warnings
    assert len(again.warnings) == 1, "its age"
