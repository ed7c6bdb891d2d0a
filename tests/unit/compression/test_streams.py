"""Streams are recognised by their first bytes, and decoded if an image may be compressed in that way."""

import bz2
import gzip
import lzma
from collections.abc import Callable

import brotli
import lz4.frame
import pytest

from lamina.compression import libraries
from lamina.compression.streams import MAGIC_SIZE, detect_and_decode, detect_compression
from lamina.errors import FormatError

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": gzip.compress,
    "zstd": libraries.zstd().compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "lz4": lz4.frame.compress,
    "br": brotli.compress,
}
IMAGE_CODECS = ["gzip", "zstd", "xz"]
SKIPPABLE = b"\x53\x2a\x4d\x18\x05\x00\x00\x00later"


@pytest.mark.parametrize("word", COMPRESS)
@pytest.mark.parametrize("content", [b"", b"/nix/store/x"])
def test_all_but_brotli_is_recognised_by_its_first_bytes(word: str, content: bytes) -> None:
    assert detect_compression(COMPRESS[word](content)[:MAGIC_SIZE]) == ("none" if word == "br" else word)


@pytest.mark.parametrize("first_byte", [0x50, 0x53, 0x5F])
def test_a_skippable_frame_begins_a_zstd_stream(first_byte: int) -> None:
    assert detect_compression(bytes([first_byte]) + SKIPPABLE[1:MAGIC_SIZE]) == "zstd"
    assert b"".join(detect_and_decode([SKIPPABLE, COMPRESS["zstd"](b"data")])) == b"data"


@pytest.mark.parametrize("start", [b"", b"\x1f", b"BZh", b"BZh9x", b"BZh91.tar", b"{", b"/nix/s", b"\x60\x2a\x4d\x18"])
def test_other_bytes_are_recognised_as_uncompressed(start: bytes) -> None:
    assert detect_compression(start[:MAGIC_SIZE]) == "none"


@pytest.mark.parametrize("word", ["none", *IMAGE_CODECS])
@pytest.mark.parametrize("size", [0, 1, 3, 4, 100_000])
@pytest.mark.parametrize("portion", [1, MAGIC_SIZE, 1 << 20])
def test_a_stream_is_decoded_by_its_first_bytes(word: str, size: int, portion: int) -> None:
    data = b"words " * (size // 6) + b"x" * (size % 6)
    packed = COMPRESS[word](data)
    if len(packed) / portion > 10_000:
        packed, data = packed[:10_000], data[:10_000]
    pieces = [packed[start : start + portion] for start in range(0, len(packed), portion)]
    assert b"".join(detect_and_decode(pieces)) == data


@pytest.mark.parametrize("word", IMAGE_CODECS)
def test_a_truncated_stream_is_refused(word: str) -> None:
    packed = COMPRESS[word](bytes(range(256)) * 100)
    for length in (MAGIC_SIZE, 11, len(packed) // 2, len(packed) - 1):
        with pytest.raises(FormatError):
            list(detect_and_decode([packed[:length]]))


@pytest.mark.parametrize(("word", "program"), [("bzip2", "bunzip2"), ("lz4", "lz4 -d")])
def test_a_compression_that_no_image_has_is_refused_with_the_program_that_decodes_it(word: str, program: str) -> None:
    with pytest.raises(FormatError, match=f"^got {word}, expected gzip, zstd or xz$") as caught:
        detect_and_decode([COMPRESS[word](b"data")])
    assert caught.value.hint == f"decompress it first: {program}"
