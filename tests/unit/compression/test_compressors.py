"""Tests of compressors: equal bytes for any division of the input and any number of threads."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import threading
import tracemalloc
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from tests.support.examples import mark_rest
from tests.support.paths import GOLDEN

from lamina.compression import libraries
from lamina.compression.compressors import (
    COMPRESSORS,
    Gzip,
    LayerCompression,
    choose_compressor,
    find_compressor,
    parse_jobs,
)
from lamina.errors import InvalidArgument
from lamina.system.fd_writer import FunctionOutput

CODECS = ["gz", "zstd"]
# Both levels of isal, one of zlib, and two of zstd, at which its threads get portions of 2 and of 8 MiB.
LAYER_CODECS = ["gzip:1", "gzip:2", "gzip:3", "zstd:1", "zstd:3"]
BLOCK = 1 << 20
RECORDED: dict[str, str] = json.loads((GOLDEN / "compression.json").read_text())["digests"]


@functools.cache
def sample(size: int, seed: int = 1) -> bytes:
    """Return bytes of medium compressibility: words in a random order."""
    words = [b"%x " % (number * 997) for number in range(256)]
    return b"".join(map(words.__getitem__, random.Random(seed).randbytes(size // 4)))[:size]


def compress(name: str, portions: Iterable[bytes], jobs: int = 1) -> bytes:
    out = io.BytesIO()
    compressor = find_compressor(name)(FunctionOutput(out.write), jobs)
    for portion in portions:
        compressor.write(memoryview(portion))
    compressor.close()
    return out.getvalue()


def decompress(name: str, data: bytes) -> bytes:
    return bytes({"gz": gzip.decompress, "zstd": libraries.zstd().decompress}[name](data))


def compress_layer(text: str, portions: Iterable[bytes], jobs: int = 1) -> bytes:
    out = io.BytesIO()
    compressor = LayerCompression.parse(text).create_compressor(FunctionOutput(out.write), jobs)
    for portion in portions:
        compressor.write(memoryview(portion))
    compressor.close()
    return out.getvalue()


def decompress_layer(text: str, data: bytes) -> bytes:
    return decompress("gz" if text.startswith("gzip") else "zstd", data)


def cut(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


SIZES = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 12345]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CODECS)
def test_compressed_bytes_decompress_to_the_input(name: str, size: int) -> None:
    data = sample(size)
    assert decompress(name, compress(name, [data], 2)) == data


def divide_in_several_ways(data: bytes) -> Iterator[list[bytes]]:
    source = random.Random(2)
    yield [data]
    yield [b"", data[:1], b"", data[1 : 3 * BLOCK], data[3 * BLOCK :], b""]
    yield list(cut(data, 251))
    yield list(cut(data, BLOCK))
    yield list(cut(data, 999_983))
    offsets = sorted(source.choices(range(len(data)), k=100))
    yield [data[begin:end] for begin, end in zip([0, *offsets], [*offsets, len(data)], strict=True)]


@pytest.mark.parametrize("text", mark_rest(LAYER_CODECS, 2))
def test_the_bytes_depend_neither_on_the_portions_nor_on_the_threads(text: str) -> None:
    # More than zstd gives to one thread: compressible bytes, random ones, zeros, and a repetition.
    parts = [sample(BLOCK), random.Random(3).randbytes(BLOCK // 2), bytes(BLOCK // 2), sample(BLOCK)[999:]]
    data = b"".join(parts * (3 if text.startswith("zstd") else 1))
    results = {compress_layer(text, portions, jobs) for portions in divide_in_several_ways(data) for jobs in (1, 2, 4)}
    assert len(results) == 1
    assert decompress_layer(text, results.pop()) == data


@pytest.mark.parametrize("text", LAYER_CODECS)
def test_empty_input_gives_equal_bytes_for_any_division(text: str) -> None:
    results = {compress_layer(text, portions, jobs) for portions in ([], [b""], [b"", b""]) for jobs in (1, 2)}
    assert len(results) == 1
    assert decompress_layer(text, results.pop()) == b""


@pytest.mark.parametrize("name", CODECS)
def test_an_archive_is_compressed_like_a_layer_at_the_default_level(name: str) -> None:
    data = sample(2 * BLOCK)
    assert compress(name, [data], 2) == compress_layer({"gz": "gzip"}.get(name, name), [data])


def recorded_input() -> bytes:
    """Return the input of the recorded digests: 9.5 MiB from one hash, equal in every Python."""
    words = [b"%x " % (number**3) for number in range(256)]
    return b"".join(map(words.__getitem__, hashlib.shake_128(b"lamina").digest(1_550_000)))


@pytest.mark.parametrize("text", mark_rest(LAYER_CODECS, 2))
def test_an_identity_gives_the_recorded_bytes(text: str) -> None:
    # The digests were recorded with the libraries in requirements/; other versions have other identities.
    expected = RECORDED.get(LayerCompression.parse(text).identity)
    assert expected in (None, hashlib.sha256(compress_layer(text, [recorded_input()], 2)).hexdigest())


@pytest.mark.parametrize("name", CODECS)
def test_incompressible_input_hardly_grows(name: str) -> None:
    data = os.urandom(2 * BLOCK)
    packed = compress(name, [data], 2)
    assert decompress(name, packed) == data
    assert len(packed) < len(data) * 1.001 + 1000


@pytest.mark.parametrize("name", CODECS)
def test_matches_cross_the_boundary_of_a_block(name: str) -> None:
    half = os.urandom(16 << 10)
    data = b"\0" * (BLOCK - len(half)) + half + half
    assert len(compress(name, [data])) < 1.2 * len(half) + 4096


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("name", "tool"), [("gz", ["gunzip", "-t"]), ("gz", ["gzip", "-dc"]), ("zstd", ["zstd", "-dc"])]
)
def test_standard_tools_read_the_output(name: str, tool: list[str], size: int) -> None:
    if not shutil.which(tool[0]):
        pytest.skip(f"{tool[0]} is not installed")
    data = sample(size)
    done = subprocess.run(tool, input=compress(name, [data], 2), check=True, capture_output=True)
    assert done.stderr == b""
    assert done.stdout in (data, b"" if "-t" in tool else data)


def test_zstd_output_has_a_checksum() -> None:
    if not shutil.which("zstd"):
        pytest.skip("zstd is not installed")
    packed = bytearray(compress("zstd", [sample(BLOCK)]))
    assert subprocess.run(["zstd", "-tq"], input=packed, check=False, capture_output=True).returncode == 0
    packed[-1] ^= 1
    assert subprocess.run(["zstd", "-tq"], input=packed, check=False, capture_output=True).returncode != 0


def test_the_gzip_header_has_no_file_name_no_date_and_no_system() -> None:
    packed = compress("gz", [b"x"])
    assert packed[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    assert packed[-4:] == (1).to_bytes(4, "little")
    assert packed[-8:-4] == zlib.crc32(b"x").to_bytes(4, "little")


def test_gzip_output_is_one_member() -> None:
    stream = zlib.decompressobj(31)
    data = sample(3 * BLOCK)
    packed = compress("gz", [data], 2)
    assert stream.decompress(packed) == data
    assert stream.eof
    assert stream.unused_data == b""


def test_without_isal_gzip_is_made_by_zlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "isal", None)
    data = sample(2 * BLOCK + 5)
    assert libraries.deflate(2) is zlib
    assert decompress("gz", compress("gz", cut(data, 77_777), 2)) == data
    assert LayerCompression.parse("gzip:2").identity.startswith(f"gzip:2 1MiB zlib {zlib.ZLIB_RUNTIME_VERSION} ")


def test_the_compressor_none_passes_bytes_on() -> None:
    assert compress("none", [b"a", b"", b"bc"]) == b"abc"


@pytest.mark.parametrize("name", COMPRESSORS)
def test_an_error_of_the_output_is_raised(name: str) -> None:
    taken = 0

    def write(data: memoryview) -> None:
        nonlocal taken
        taken += len(data)
        if taken > 100_000:
            raise OSError(28, "No space left on device")

    def fill() -> None:
        with find_compressor(name)(FunctionOutput(write), 2) as compressor:
            for portion in cut(os.urandom(8 * BLOCK), BLOCK):
                compressor.write(memoryview(portion))

    with pytest.raises(OSError, match="No space left on device"):
        fill()


@pytest.mark.parametrize("fails_in_the_block", [True, False])
def test_a_failing_output_leaves_no_thread_and_nothing_hangs(fails_in_the_block: bool) -> None:
    before = threading.active_count()
    fails = False

    def write(data: memoryview) -> None:
        if fails:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left on device"), Gzip(FunctionOutput(write), 4) as compressor:  # noqa: PT012
        for portion in cut(sample((15 if fails_in_the_block else 3) * BLOCK), BLOCK):
            fails = not fails_in_the_block or threading.active_count() > before + 1
            compressor.write(memoryview(portion))
    assert threading.active_count() == before


def test_an_output_that_fails_at_the_header_raises() -> None:
    def write(data: memoryview) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        Gzip(FunctionOutput(write), 2)


def test_an_error_of_the_library_is_raised() -> None:
    before = threading.active_count()
    with pytest.raises(ValueError, match="nvalid"), Gzip(FunctionOutput(len), 2, level=77) as compressor:
        compressor.write(memoryview(sample(6 * BLOCK)))
    assert threading.active_count() == before


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_memory_is_a_few_blocks_for_each_thread(jobs: int) -> None:
    portion = sample(BLOCK)
    compressor = Gzip(FunctionOutput(len), jobs)
    tracemalloc.start()
    for _ in range(40):
        compressor.write(memoryview(portion))
    compressor.close()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Two blocks per thread, which wait or are compressed, and as much again for their compressed output.
    assert peak < (4 * jobs + 2) * BLOCK


def test_no_thread_is_left_behind() -> None:
    before = threading.active_count()
    compress("gz", [sample(2 * BLOCK)], 4)
    assert threading.active_count() == before


def test_an_error_in_the_block_ends_the_threads() -> None:
    before = threading.active_count()
    with pytest.raises(KeyError), Gzip(FunctionOutput(len), 2) as compressor:  # noqa: PT012
        compressor.write(memoryview(sample(3 * BLOCK)))
        assert threading.active_count() == before + 2
        raise KeyError
    assert threading.active_count() == before


def test_input_of_less_than_a_block_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", None)
    assert decompress("gz", compress("gz", cut(sample(BLOCK - 1), 1000), 4)) == sample(BLOCK - 1)


# --- choice of a compressor


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
        ("x.GZ", "gz"),
        ("x.tar.zstd", "zstd"),
        ("x.xz.tar", "none"),
        ("xz", "none"),
        ("-", "none"),
    ],
)
def test_the_suffix_of_a_file_chooses_the_compressor(file: str, name: str) -> None:
    assert choose_compressor(file) == name


UNSUPPORTED_FILES = (
    "x.tar.xz x.txz x.tar.bz2 x.tbz2 x.tar.lz4 x.tar.lz x.tar.lzma x.tar.br x.tar.Z x.zip x.7z X.TAR.XZ .xz x.sif"
)


@pytest.mark.parametrize("file", UNSUPPORTED_FILES.split())
def test_a_suffix_of_an_unsupported_format_is_invalid(file: str) -> None:
    """Otherwise the name of the file would be wrong."""
    with pytest.raises(
        InvalidArgument, match=r"^output: got '.*', a name that ends in \.\w+, expected \.tar, or one of"
    ) as caught:
        choose_compressor(file)
    assert "--compressor" in caught.value.hint


@pytest.mark.parametrize("name", ["", "gzip", "xz", "GZ", None, 5, ["gz"], {"gz": 1}])
def test_an_unknown_compressor_is_invalid(name: str) -> None:
    with pytest.raises(InvalidArgument, match=r"compressor: got .*, expected one of none, gz, zstd"):
        find_compressor(name)


@pytest.mark.parametrize("jobs", [0, -1, True, "4", 1.5, None, 10**9])
def test_an_invalid_number_of_threads_is_refused(jobs: int) -> None:
    with pytest.raises(InvalidArgument, match=r"jobs: got .*, expected a number from 1 to 256"):
        parse_jobs(jobs)


# --- compression of layers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", "none"),
        ("gzip", "gzip:2"),
        ("gzip:1", "gzip:1"),
        ("gzip:9", "gzip:9"),
        ("zstd", "zstd:3"),
        ("zstd:19", "zstd:19"),
    ],
)
def test_a_layer_compression_is_a_codec_and_a_level(text: str, expected: str) -> None:
    compression = LayerCompression.parse(text)
    assert str(compression) == expected
    assert compression.is_none == (text == "none")


@pytest.mark.parametrize(
    "text",
    [
        *("", "gz", "xz", "GZIP", "none:", "none:0", "none:1", ":", ":3", None, 2, ["gzip"]),
        *("gzip:", "gzip:0", "gzip:10", "gzip:02", "gzip: 2", "gzip:2 ", "gzip:+2", "gzip:\u0662", "gzip:2:2"),
        *("zstd:", "zstd:0", "zstd:20", "zstd:-1", "zstd:3\n"),
    ],
)
def test_any_other_layer_compression_is_invalid(text: str) -> None:
    with pytest.raises(
        InvalidArgument, match=r"layer compression: got .*, expected none, gzip\[:1-9\] or zstd\[:1-19\]$"
    ):
        LayerCompression.parse(text)


def test_the_layer_compression_none_passes_bytes_on() -> None:
    assert compress_layer("none", [b"a", b"", b"bc"]) == b"abc"
    assert LayerCompression.parse("none").identity == "none"


@pytest.mark.parametrize("text", LAYER_CODECS)
@pytest.mark.parametrize("size", [0, 5, 2 * BLOCK + 12345])
def test_standard_tools_read_a_layer_of_every_level(text: str, size: int) -> None:
    tool = "gunzip" if text.startswith("gzip") else "zstd"
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not installed")
    data = sample(size)
    done = subprocess.run([tool, "-dc"], input=compress_layer(text, [data], 2), check=True, capture_output=True)
    assert (done.stdout, done.stderr) == (data, b"")


def test_identities_differ_by_codec_and_level() -> None:
    texts = ["none", *(f"gzip:{level}" for level in range(1, 10)), *(f"zstd:{level}" for level in range(1, 20))]
    assert len({LayerCompression.parse(text).identity for text in texts}) == len(texts)


def test_an_identity_names_the_library_and_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    zstd = libraries.zstd()
    assert LayerCompression.parse("zstd").identity == f"zstd:3 libzstd {zstd.zstd_version}"
    monkeypatch.setattr(zstd, "zstd_version", "1.99")
    assert LayerCompression.parse("zstd").identity == "zstd:3 libzstd 1.99"
    monkeypatch.setattr(zlib, "ZLIB_RUNTIME_VERSION", "1.3.1.zlib-ng")
    assert LayerCompression.parse("gzip:6").identity.startswith(f"gzip:6 1MiB zlib 1.3.1.zlib-ng {sys.platform} ")


def test_an_identity_of_isal_names_both_versions_and_the_class_of_the_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    isal = pytest.importorskip("isal")
    cpuinfo = Path("/proc/cpuinfo")
    processor = libraries.classify_processor(platform.machine(), cpuinfo.read_text() if cpuinfo.exists() else None)
    expected = f"gzip:2 1MiB isal {isal.__version__} isa-l {isal.ISAL_VERSION} {processor}"
    assert LayerCompression.parse("gzip").identity == expected
    monkeypatch.setattr(isal, "__version__", "1.99")
    assert LayerCompression.parse("gzip").identity != expected
    assert "isal" not in LayerCompression.parse("gzip:3").identity


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "expected"),
    [
        ("x86_64", "processor\t: 0\nflags\t\t: fpu sse4_1 sse4_2 avx\n", "x86-64 sse4.2"),
        ("AMD64", "flags : sse4_2", "x86-64 sse4.2"),
        ("x86_64", "processor\t: 0\nflags\t\t: fpu sse4_1 sse4_2x\nbugs\t: sse4_2\n", "x86-64 no-sse4.2"),
        ("x86_64", "processor\t: 0\n", "x86-64 sse-unknown"),
        ("x86_64", "", "x86-64 sse-unknown"),
        ("AMD64", None, "x86-64 sse-unknown"),
        ("aarch64", "Features\t: fp asimd crc32\n", "aarch64"),
        ("i686", "flags : sse4_2", "i686"),
        ("", None, "unknown"),
    ],
)
def test_the_processor_class_has_what_isals_bytes_depend_on(machine: str, cpuinfo: str | None, expected: str) -> None:
    assert libraries.classify_processor(machine, cpuinfo) == expected


def test_no_codec_is_imported_before_it_is_used() -> None:
    code = (
        "import sys, lamina.compression.compressors as c\n"
        "for text in ('none', 'gzip', 'gzip:6', 'zstd'): c.LayerCompression.parse(text)\n"
        "print([m for m in sys.modules if m.split('.')[0] in {'isal', 'backports', 'compression', 'lzma', 'platform'}])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_an_image_that_is_not_compressed_imports_no_thread_pool() -> None:
    """`concurrent.futures` imports `logging`, which takes a tenth of the time that the program needs to start."""
    code = "import sys, lamina.api.images; print('concurrent.futures' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"
