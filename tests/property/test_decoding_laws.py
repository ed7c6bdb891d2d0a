"""Laws of decoding: the division of the input has no effect, and bad input raises only `FormatError`."""

from __future__ import annotations

import functools
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.unit.compression.test_decoders import COMPRESS, COMPRESSED, DATA, IN_A_ROW, SKIPPABLE, WORDS

from lamina.compression.decoders import MAX_PIECE, decode_pieces
from lamina.errors import FormatError

SMALL = DATA[:3000]


@functools.cache
def compress_small(word: str) -> bytes:
    """Return three streams, with what the format allows between them, or one if the format has a single stream."""
    compress = COMPRESS[word]
    if word not in IN_A_ROW:
        return compress(SMALL)
    between = {"xz": bytes(8), "zstd": SKIPPABLE, "lz4": SKIPPABLE}.get(word, b"")
    return compress(SMALL[:1000]) + between + compress(b"") + compress(SMALL[1000:])


@functools.cache
def valid_sizes(word: str) -> frozenset[int]:
    """Return the sizes at which the input may end and still be valid."""
    data = compress_small(word)
    if word not in IN_A_ROW:
        return frozenset({len(data)})
    compress = COMPRESS[word]
    first, last = len(compress(SMALL[:1000])), len(compress(SMALL[1000:]))
    last_start = len(data) - last
    padding = range(first, first + 9, 4) if word == "xz" else [first]
    return frozenset({*padding, last_start - len(compress(b"")), last_start, len(data)})


def try_decode(pieces: list[bytes], word: str) -> bytes | None:
    """Decode ``pieces``; None for a `FormatError`. Any other error fails the test."""
    try:
        found = list(decode_pieces(pieces, word))
    except FormatError:
        return None
    assert all(0 < len(piece) <= MAX_PIECE for piece in found)
    return b"".join(found)


def cut(data: bytes, offsets: list[int]) -> list[bytes]:
    return [
        data[begin:end] for begin, end in pairwise([0, *sorted(offset % (len(data) + 1) for offset in offsets), None])
    ]


OFFSETS = st.lists(st.integers(0, 1 << 30), max_size=20)


@pytest.mark.parametrize("word", WORDS)
@given(offsets=OFFSETS)
@examples(60)
def test_any_division_of_the_input_gives_the_same_output(word: str, offsets: list[int]) -> None:
    assert try_decode(cut(compress_small(word), offsets), word) == SMALL


@pytest.mark.parametrize("word", COMPRESSED)
def test_truncation_anywhere_is_refused(word: str) -> None:
    data = compress_small(word)
    for size in range(len(data)):
        found = try_decode([data[:size]], word)
        assert (found is not None) == (size in valid_sizes(word)), size
        assert found is None or SMALL.startswith(found)


@pytest.mark.parametrize("word", COMPRESSED)
@given(data=st.binary(max_size=200), offsets=OFFSETS)
@examples(60)
def test_random_bytes_have_the_same_result_for_any_division(word: str, data: bytes, offsets: list[int]) -> None:
    found = try_decode([data], word)
    assert try_decode(cut(data, offsets), word) == found
    try_decode([compress_small(word) + data], word)


@pytest.mark.parametrize("word", COMPRESSED)
@given(offset=st.integers(0, 1 << 30), value=st.integers(0, 255), offsets=OFFSETS)
@examples(100)
def test_a_changed_byte_raises_format_error_or_nothing(word: str, offset: int, value: int, offsets: list[int]) -> None:
    data = bytearray(compress_small(word))
    data[offset % len(data)] = value
    assert try_decode(cut(bytes(data), offsets), word) == try_decode([bytes(data)], word)


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=5), OFFSETS)
@examples(60)
def test_gzip_members_are_decoded_one_after_another(contents: list[bytes], offsets: list[int]) -> None:
    """RFC 1952, 2.2: the members simply appear one after another in the file."""
    data = b"".join(zlib.compress(content, wbits=31) for content in contents)
    assert try_decode(cut(data, offsets), "gzip") == b"".join(contents)


@pytest.mark.parametrize("word", WORDS)
@given(content=st.binary(max_size=2000), times=st.integers(1, 400))
@examples(25)
def test_compressed_bytes_decode_to_the_input(word: str, content: bytes, times: int) -> None:
    assert try_decode([COMPRESS[word](content * times)], word) == content * times
