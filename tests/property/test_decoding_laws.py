"""Laws of decoding: how the input is cut means nothing, and whatever comes in, only `FormatError` comes out."""

from __future__ import annotations

import functools
import zlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.compression.test_decoders import COMPRESS, COMPRESSED, DATA, IN_A_ROW, SKIPPABLE, WORDS

from lamina.compression.decoders import MAX_PIECE, decode_pieces
from lamina.errors import FormatError

SMALL = DATA[:3000]


@functools.cache
def small(word: str) -> bytes:
    """Three streams where there may be several, with all a format allows between them."""
    compress = COMPRESS[word]
    if word not in IN_A_ROW:
        return compress(SMALL)
    between = {"xz": bytes(8), "zstd": SKIPPABLE, "lz4": SKIPPABLE}.get(word, b"")
    return compress(SMALL[:1000]) + between + compress(b"") + compress(SMALL[1000:])


@functools.cache
def ends(word: str) -> frozenset[int]:
    """Where the input may end and still be whole."""
    data = small(word)
    if word not in IN_A_ROW:
        return frozenset({len(data)})
    compress = COMPRESS[word]
    first, last = len(compress(SMALL[:1000])), len(compress(SMALL[1000:]))
    behind = len(data) - last
    padding = range(first, first + 9, 4) if word == "xz" else [first]
    return frozenset({*padding, behind - len(compress(b"")), behind, len(data)})


def outcome(pieces: list[bytes], word: str) -> bytes | None:
    """None for a `FormatError`; any other error fails the test."""
    try:
        found = list(decode_pieces(pieces, word))
    except FormatError:
        return None
    assert all(0 < len(piece) <= MAX_PIECE for piece in found)
    return b"".join(found)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    return [data[begin:end] for begin, end in pairwise([0, *sorted(place % (len(data) + 1) for place in places), None])]


PLACES = st.lists(st.integers(0, 1 << 30), max_size=20)


@pytest.mark.parametrize("word", WORDS)
@given(places=PLACES)
@settings(deadline=None, max_examples=60)
def test_any_cut_of_the_input_gives_the_same(word: str, places: list[int]) -> None:
    assert outcome(cut(small(word), places), word) == SMALL


@pytest.mark.parametrize("word", COMPRESSED)
def test_truncation_anywhere_is_refused(word: str) -> None:
    data = small(word)
    for size in range(len(data)):
        found = outcome([data[:size]], word)
        assert (found is not None) == (size in ends(word)), size
        assert found is None or SMALL.startswith(found)


@pytest.mark.parametrize("word", COMPRESSED)
@given(data=st.binary(max_size=200), places=PLACES)
@settings(deadline=None, max_examples=60)
def test_random_bytes_are_refused_or_decoded_however_they_are_cut(word: str, data: bytes, places: list[int]) -> None:
    found = outcome([data], word)
    assert outcome(cut(data, places), word) == found
    outcome([small(word) + data], word)


@pytest.mark.parametrize("word", COMPRESSED)
@given(place=st.integers(0, 1 << 30), value=st.integers(0, 255), places=PLACES)
@settings(deadline=None, max_examples=100)
def test_a_changed_byte_raises_format_error_or_nothing(word: str, place: int, value: int, places: list[int]) -> None:
    data = bytearray(small(word))
    data[place % len(data)] = value
    assert outcome(cut(bytes(data), places), word) == outcome([bytes(data)], word)


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=5), PLACES)
@settings(deadline=None, max_examples=60)
def test_gzip_members_are_what_zlib_makes_of_each(contents: list[bytes], places: list[int]) -> None:
    """RFC 1952, 2.2: the members simply appear one after another in the file."""
    data = b"".join(zlib.compress(content, wbits=31) for content in contents)
    assert outcome(cut(data, places), "gzip") == b"".join(contents)


@pytest.mark.parametrize("word", WORDS)
@given(content=st.binary(max_size=2000), times=st.integers(1, 400))
@settings(deadline=None, max_examples=25)
def test_whatever_is_compressed_comes_back(word: str, content: bytes, times: int) -> None:
    assert outcome([COMPRESS[word](content * times)], word) == content * times
