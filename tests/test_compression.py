"""Compression around an archive: the same bytes however they come and whoever works on them."""

from __future__ import annotations

import functools
import gzip
import io
import os
import random
import shutil
import subprocess
import sys
import threading
import tracemalloc
import zlib
from collections.abc import Iterable, Iterator

import pytest

from lamina import codecs
from lamina.errors import InvalidName
from lamina.sinks.compression import COMPRESSORS, by_ending, by_name, thread_count
from lamina.sources.decompression import broken, decompressed

CODECS = ["gz", "zstd"]
BLOCK = 1 << 20


@functools.cache
def sample(size: int, seed: int = 1) -> bytes:
    """Bytes that neither repeat nor resist: words in a random order."""
    words = [b"%x" % number for number in range(1000)]
    source = random.Random(seed)
    return b" ".join(source.choices(words, k=size // 4 + 1))[:size]


def compress(name: str, portions: Iterable[bytes], jobs: int = 1) -> bytes:
    out = io.BytesIO()
    compressor = by_name(name)(out.write, jobs)
    for portion in portions:
        compressor.write(memoryview(portion))
    compressor.close()
    return out.getvalue()


def decompress(name: str, data: bytes) -> bytes:
    return bytes({"gz": gzip.decompress, "zstd": codecs.zstd().decompress}[name](data))


def cut(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


SIZES = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 12345]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CODECS)
def test_what_goes_in_comes_out(name: str, size: int) -> None:
    data = sample(size)
    assert decompress(name, compress(name, [data], 2)) == data


@pytest.mark.parametrize("name", CODECS)
def test_the_bytes_depend_neither_on_the_portions_nor_on_the_threads(name: str) -> None:
    # More than the library gives one of its threads.
    data = b"".join(sample(BLOCK)[number * 999 :] for number in range(12 if name == "zstd" else 5))
    portionings = [
        [data],
        list(cut(data, BLOCK)),
        list(cut(data, 10_240)),
        list(cut(data, 999_983)),
        [b"", data[:1], b"", data[1 : 3 * BLOCK], data[3 * BLOCK :], b""],
    ]
    results = {compress(name, portions, jobs) for portions in portionings for jobs in (1, 2, 4)}
    assert len(results) == 1
    assert decompress(name, results.pop()) == data


@pytest.mark.parametrize("name", CODECS)
def test_what_does_not_compress_hardly_grows(name: str) -> None:
    data = os.urandom(2 * BLOCK)
    packed = compress(name, [data], 2)
    assert decompress(name, packed) == data
    assert len(packed) < len(data) * 1.001 + 1000


@pytest.mark.parametrize("name", CODECS)
def test_matches_reach_over_the_edge_of_a_block(name: str) -> None:
    half = os.urandom(16 << 10)
    data = b"\0" * (BLOCK - len(half)) + half + half
    assert len(compress(name, [data])) < 1.2 * len(half) + 4096


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("name", "tool"), [("gz", ["gunzip", "-t"]), ("gz", ["gzip", "-dc"]), ("zstd", ["zstd", "-dc"])]
)
def test_the_usual_tools_read_it(name: str, tool: list[str], size: int) -> None:
    if not shutil.which(tool[0]):
        pytest.skip(f"{tool[0]} is not installed")
    data = sample(size)
    done = subprocess.run(tool, input=compress(name, [data], 2), check=True, capture_output=True)
    assert done.stderr == b""
    assert done.stdout in (data, b"" if "-t" in tool else data)


def test_a_zstd_tester_finds_its_checksum() -> None:
    if not shutil.which("zstd"):
        pytest.skip("zstd is not installed")
    packed = bytearray(compress("zstd", [sample(BLOCK)]))
    assert subprocess.run(["zstd", "-tq"], input=packed, check=False, capture_output=True).returncode == 0
    packed[-1] ^= 1
    assert subprocess.run(["zstd", "-tq"], input=packed, check=False, capture_output=True).returncode != 0


def test_gzip_names_no_file_no_date_and_no_system() -> None:
    packed = compress("gz", [b"x"])
    assert packed[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    assert packed[-4:] == (1).to_bytes(4, "little")
    assert packed[-8:-4] == zlib.crc32(b"x").to_bytes(4, "little")


def test_gzip_is_one_member_whose_bytes_stand_alone() -> None:
    stream = zlib.decompressobj(31)
    data = sample(3 * BLOCK)
    packed = compress("gz", [data], 2)
    assert stream.decompress(packed) == data
    assert stream.eof
    assert stream.unused_data == b""


def test_without_isal_gzip_is_made_by_zlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "isal", None)
    data = sample(2 * BLOCK + 5)
    assert codecs.deflate() is zlib
    assert decompress("gz", compress("gz", cut(data, 77_777), 2)) == data


def test_no_compression_passes_on_what_it_is_given() -> None:
    assert compress("none", [b"a", b"", b"bc"]) == b"abc"


@pytest.mark.parametrize("name", COMPRESSORS)
def test_what_the_output_raises_comes_through(name: str) -> None:
    taken = 0

    def write(data: memoryview) -> None:
        nonlocal taken
        taken += len(data)
        if taken > 100_000:
            raise OSError(28, "No space left on device")

    def fill() -> None:
        compressor = by_name(name)(write, 2)
        for portion in cut(os.urandom(8 * BLOCK), BLOCK):
            compressor.write(memoryview(portion))
        compressor.close()

    with pytest.raises(OSError, match="No space left on device"):
        fill()


def test_memory_does_not_grow_with_what_is_compressed() -> None:
    def packed(count: int) -> int:
        compressor = by_name("gz")(len, 2)
        tracemalloc.start()
        for _ in range(count):
            compressor.write(memoryview(portion))
        compressor.close()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    portion = sample(BLOCK)
    assert packed(40) < packed(10) + 2 * BLOCK


def test_no_thread_is_left_behind() -> None:
    before = threading.active_count()
    compress("gz", [sample(2 * BLOCK)], 4)
    assert threading.active_count() == before


# Which one


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("x.tar.gz", "gz"),
        ("x.tgz", "gz"),
        ("x.tar.zst", "zstd"),
        ("x.tar", "none"),
        ("x", "none"),
        ("gz", "none"),
        (".gz", "gz"),
        ("x.gz.tar", "none"),
        ("x.GZ", "none"),
        ("-", "none"),
    ],
)
def test_the_ending_of_a_file_asks_for_a_compressor(file: str, name: str) -> None:
    assert by_ending(file) == name


@pytest.mark.parametrize("name", ["", "gzip", "xz", "GZ", None, 5, ["gz"], {"gz": 1}])
def test_an_unknown_compressor_is_invalid(name: str) -> None:
    with pytest.raises(InvalidName, match=r"compressor: got .*, expected one of none, gz, zstd"):
        by_name(name)


@pytest.mark.parametrize("jobs", [0, -1, True, "4", 1.5, None, 10**9])
def test_a_number_of_threads_is_a_number(jobs: int) -> None:
    with pytest.raises(InvalidName, match=r"jobs: got .*, expected a number from 1 to 256"):
        thread_count(jobs)


# Reading


@pytest.mark.parametrize("name", ["gz", "zstd", "none"])
@pytest.mark.parametrize("size", [0, 1, 3, 4, 100_000])
def test_a_stream_is_known_by_its_first_bytes(name: str, size: int) -> None:
    data = sample(size)
    assert decompressed(io.BytesIO(compress(name, [data]))).read() == data


@pytest.mark.parametrize("name", CODECS)
def test_a_stream_that_is_cut_short_is_broken(name: str) -> None:
    packed = compress(name, [sample(BLOCK)])
    for length in (5, 11, len(packed) // 2, len(packed) - 1):
        with pytest.raises((*broken(), OSError)):
            decompressed(io.BytesIO(packed[:length])).read()
