"""Tests of decoders: bounded pieces, many streams in a row, and input that is refused."""

import bz2
import gzip
import lzma
import random
import re
import shutil
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator

import brotli
import lz4.frame
import pytest
from tests.support.examples import mark_rest

from lamina.compression import decoders, libraries
from lamina.compression.decoders import MAX_PIECE, decode_pieces
from lamina.errors import FormatError, Unavailable

zstd = libraries.zstd()
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "xz": lambda data: lzma.compress(data, preset=0),
    "bzip2": bz2.compress,
    "gzip": lambda data: gzip.compress(data, 1),
    "zstd": zstd.compress,
    "br": lambda data: brotli.compress(data, quality=1),
    "lz4": lambda data: lz4.frame.compress(data, content_checksum=True),
}
WORDS = list(COMPRESS)
COMPRESSED = [word for word in WORDS if word != "none"]
IN_A_ROW = [word for word in COMPRESSED if word != "br"]
DATA = b"".join(b"%d " % (number * number) for number in range(50_000))
SKIPPABLE = b"\x53\x2a\x4d\x18\x05\x00\x00\x00later"


def decode(data: bytes, word: str, portion: int = MAX_PIECE) -> bytes:
    return b"".join(decode_pieces((data[start : start + portion] for start in range(0, len(data), portion)), word))


def expect_error(data: bytes, word: str) -> str:
    with pytest.raises(FormatError) as caught:
        decode(data, word)
    message = str(caught.value)
    assert message.isprintable()
    return message


# --- output


@pytest.mark.parametrize("portion", [1000, MAX_PIECE, 1 << 30])
@pytest.mark.parametrize("word", WORDS)
def test_decoding_gives_the_input_in_bounded_pieces(word: str, portion: int) -> None:
    data = COMPRESS[word](DATA)
    pieces = list(decode_pieces((data[start : start + portion] for start in range(0, len(data), portion)), word))
    assert b"".join(pieces) == DATA
    assert 0 < min(map(len, pieces)) <= max(map(len, pieces)) <= MAX_PIECE
    assert {type(piece) for piece in pieces} == {bytes}


@pytest.mark.parametrize("word", WORDS)
def test_compressed_empty_input_decodes_to_nothing(word: str) -> None:
    assert decode(COMPRESS[word](b""), word) == b""


@pytest.mark.parametrize("word", IN_A_ROW)
def test_streams_in_a_row_are_joined(word: str) -> None:
    compress = COMPRESS[word]
    data = compress(b"one, ") + compress(b"") + compress(DATA[:9000]) + compress(b"last")
    for portion in (1, 7, MAX_PIECE):
        assert decode(data, word, portion) == b"one, " + DATA[:9000] + b"last"


@pytest.mark.parametrize("word", ["zstd", "lz4"])
def test_skippable_frames_are_skipped(word: str) -> None:
    """RFC 8878, 3.1.2, and the frame format of lz4, "Skippable frames"."""
    frame = COMPRESS[word](DATA)
    for data in (SKIPPABLE + frame, frame + SKIPPABLE, SKIPPABLE * 2 + frame + SKIPPABLE * 3 + frame):
        assert decode(data, word) == DATA * data.count(frame)
    assert decode(SKIPPABLE, word) == b""
    expect_error(SKIPPABLE + frame + SKIPPABLE[:-1], word)


@pytest.mark.parametrize("word", IN_A_ROW)
@pytest.mark.parametrize("zeros", mark_rest([1, 2, 3, 4, 512, 400_000], 2))
def test_zeros_after_a_stream_are_padding(word: str, zeros: int) -> None:
    one = COMPRESS[word](DATA[:9000])
    if word == "xz" and zeros % 4:  # the .xz file format, 2.2
        assert "expected a multiple of 4 zeros" in expect_error(one + bytes(zeros), word)
        return
    for portion in (1000, MAX_PIECE):
        assert decode(one + bytes(zeros), word, portion) == DATA[:9000]
        assert decode(one + one + bytes(zeros), word, portion) == DATA[:9000] * 2
    expect_error(bytes(zeros) + one, word)
    expect_error(one + bytes(zeros) + b"x", word)


@pytest.mark.parametrize("word", IN_A_ROW)
def test_zeros_between_streams_are_padding(word: str) -> None:
    one = COMPRESS[word](DATA[:9000])
    assert decode(one + bytes(4) + one + bytes(40_000) + one, word) == DATA[:9000] * 3


def test_padding_of_xz_streams_is_a_multiple_of_four() -> None:
    """The .xz file format, 2.2."""
    one = COMPRESS["xz"](DATA[:9000])
    for data in (one + bytes(6) + one, one + bytes(3) + one):
        assert "expected a multiple of 4 zeros" in expect_error(data, "xz")


def test_brotli_has_no_padding() -> None:
    expect_error(COMPRESS["br"](DATA) + bytes(4), "br")


@pytest.mark.parametrize("word", IN_A_ROW)
def test_the_number_of_tiny_streams_is_bounded(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stream needs a new decoder: 16 MB of empty zstd frames took 17 seconds."""
    monkeypatch.setattr(decoders, "_MAX_EMPTY_STREAMS", 100)
    monkeypatch.setattr(decoders, "_MAX_SHORT_STREAMS", 200)
    empty, tiny = COMPRESS[word](b""), COMPRESS[word](b"x")
    assert decode(empty * 100 + tiny, word) == b"x"
    assert "got more than 100 empty streams, expected fewer" in expect_error(empty * 101, word)
    assert decode(tiny * 200, word) == b"x" * 200
    assert "got more than 200 streams shorter than 512 bytes" in expect_error(tiny * 201, word)


@pytest.mark.parametrize("word", mark_rest(COMPRESSED, 2))
def test_output_comes_before_all_input_is_read(word: str) -> None:
    data = COMPRESS[word](random.Random(5).randbytes(2 << 20))
    asked = 0

    def pieces() -> Iterator[bytes]:
        nonlocal asked
        for start in range(0, len(data), 1 << 16):
            asked += 1
            yield data[start : start + (1 << 16)]

    next(decode_pieces(pieces(), word))
    assert asked < 24, "bzip2 has no output before it has 900 kB of input"


@pytest.mark.parametrize("word", mark_rest(COMPRESSED, 2))
def test_a_decompression_bomb_needs_little_memory(word: str) -> None:
    size = 32 << 20
    bomb = COMPRESS[word](bytes(size))
    tracemalloc.start()
    total = 0
    for piece in decode_pieces([bomb], word):
        assert len(piece) <= MAX_PIECE
        total += len(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == size
    assert peak < 8 << 20


@pytest.mark.parametrize("word", mark_rest(IN_A_ROW, 1))
def test_a_hundred_thousand_tiny_streams_take_linear_time(word: str) -> None:
    one = COMPRESS[word](b"tiny")

    def seconds(count: int, portion: int) -> float:
        start = time.process_time()
        assert decode(one * count, word, portion) == b"tiny" * count
        return time.process_time() - start

    few = seconds(5_000, MAX_PIECE)
    # Twenty times as many streams: with quadratic copying they would take four hundred times as long.
    assert seconds(100_000, 1 << 30) < 100 * few + 1


# --- refused input


@pytest.mark.parametrize("word", COMPRESSED)
def test_empty_input_is_refused(word: str) -> None:
    assert expect_error(b"", word) == f"{word} at byte 0: got the end at byte 0, expected more"
    with pytest.raises(FormatError):
        list(decode_pieces([b"", b""], word))


def test_empty_input_without_compression_is_valid() -> None:
    assert list(decode_pieces([b"", b""], "none")) == []


@pytest.mark.parametrize("word", COMPRESSED)
def test_a_truncated_stream_says_where_it_ends(word: str) -> None:
    data = COMPRESS[word](DATA)
    for size in (1, 3, 10, len(data) // 2, len(data) - 1):
        assert f"got the end at byte {size}, expected more" in expect_error(data[:size], word)


@pytest.mark.parametrize("word", IN_A_ROW)
def test_the_error_of_a_later_stream_has_its_offset(word: str) -> None:
    one = COMPRESS[word](DATA)
    broken = bytearray(one)
    broken[len(one) // 2 : len(one) // 2 + 64] = bytes(64)
    assert expect_error(one + bytes(broken), word).startswith(f"{word} at byte {len(one)}: got ")
    assert expect_error(one + one[:-1], word).startswith(f"{word} at byte {len(one)}: got the end at byte ")


@pytest.mark.parametrize("tail", mark_rest([b"x", b"trailing garbage " * 10, b"\x1f\x8b"], 1))
@pytest.mark.parametrize("word", COMPRESSED)
def test_garbage_after_a_stream_is_refused(word: str, tail: bytes) -> None:
    one = COMPRESS[word](DATA)
    expect_error(one + tail, word)
    with pytest.raises(FormatError):
        list(decode_pieces([one, tail], word))


def test_brotli_is_one_stream() -> None:
    one = COMPRESS["br"](DATA)
    with pytest.raises(FormatError, match=r"^br at byte .*: got more bytes, expected the end$"):
        list(decode_pieces([one, one], "br"))
    expect_error(one + one, "br")


@pytest.mark.parametrize("word", ["lzip", "lzma", "compress", "grzip", "lrzip", "", "XZ", "gz", "\x1b[2J"])
def test_an_unknown_compression_is_refused_at_once_and_the_known_ones_are_named(word: str) -> None:
    with pytest.raises(FormatError, match=r"expected one of none, xz, bzip2, gzip, zstd, br, lz4$") as caught:
        decode_pieces([], word)
    assert str(caught.value).isprintable()


def test_a_zstd_window_is_bounded() -> None:
    """RFC 8878, 3.1.1.1.2: a frame states the memory that it needs, which may be 2 GiB."""
    oversized = zstd.ZstdCompressor(
        options={zstd.CompressionParameter.window_log: 28, zstd.CompressionParameter.content_size_flag: 0}
    )
    frame = oversized.compress(DATA) + oversized.flush()
    assert "memory" in expect_error(frame, "zstd")
    allowed = zstd.ZstdCompressor(
        options={zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    )
    assert decode(allowed.compress(DATA) + allowed.flush(), "zstd") == DATA


def test_an_xz_dictionary_is_bounded() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 20}]
    data = bytearray(lzma.compress(DATA, filters=filters))
    # The .xz file format, 3.1 and 5.3.1: the dictionary's size is a byte of the block header, which ends in a CRC.
    offset = data.index(b"\x21\x01", 12) + 2
    size = (data[12] + 1) * 4
    data[offset] = 38  # 2 GiB
    data[12 + size - 4 : 12 + size] = libraries.crc32()(data[12 : 12 + size - 4]).to_bytes(4, "little")
    assert "emory" in expect_error(bytes(data), "xz")
    data[offset] = 28  # 64 MiB, as of level 9
    data[12 + size - 4 : 12 + size] = libraries.crc32()(data[12 : 12 + size - 4]).to_bytes(4, "little")
    assert decode(bytes(data), "xz") == DATA


def test_lzma_without_the_xz_format_is_refused() -> None:
    expect_error(lzma.compress(DATA, format=lzma.FORMAT_ALONE, preset=0), "xz")


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(
    "error", mark_rest([OSError("broken"), EOFError("gone"), RuntimeError("odd"), Unavailable("no network")], 1)
)
def test_an_error_of_the_input_is_raised(word: str, error: Exception) -> None:
    def pieces() -> Iterator[bytes]:
        yield COMPRESS[word](DATA)[:100]
        raise error

    with pytest.raises(type(error), match=re.escape(str(error))):
        list(decode_pieces(pieces(), word))


@pytest.mark.parametrize("word", ["br", "lz4", "bzip2", "xz"])
def test_a_missing_library_is_named(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = {"br": "brotli", "lz4": "lz4.frame", "bzip2": "bz2", "xz": "lzma"}[word]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(FormatError, match="expected a Python with "):
        decode_pieces([], word)


def test_no_library_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys; from lamina.compression.decoders import decode_pieces; list(decode_pieces([b'x'], 'none'))\n"
        "print(sorted({'brotli', 'lz4', 'lz4.frame', 'backports.zstd', 'lzma', 'bz2', 'isal'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# --- other programs


@pytest.mark.integration
@pytest.mark.parametrize(
    ("program", "word"), [("xz", "xz"), ("zstd", "zstd"), ("bzip2", "bzip2"), ("gzip", "gzip"), ("lz4", "lz4")]
)
def test_decoders_and_programs_read_each_others_output(program: str, word: str) -> None:
    executable = shutil.which(program)
    if not executable:
        pytest.skip(f"{program} is not installed")

    def compress(*options: str) -> bytes:
        return subprocess.run([executable, "-c", *options], input=DATA, capture_output=True, check=True).stdout

    data = compress("-1") + compress("-9")
    assert decode(data, word) == DATA + DATA
    output = subprocess.run([executable, "-dc"], input=COMPRESS[word](DATA) * 2, capture_output=True, check=True).stdout
    assert output == DATA + DATA
    if program == "zstd":
        assert decode(compress("--ultra", "-20", "--long=27"), word) == DATA
