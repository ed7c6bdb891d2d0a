"""Which library compresses, and how it is described where equal texts have to mean equal bytes."""

import sys
import zlib

import pytest

from lamina.compression import libraries
from lamina.errors import FormatError


def test_the_fast_levels_use_isal_if_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert libraries.deflate(6) is zlib
    monkeypatch.setitem(sys.modules, "isal", None)
    assert libraries.deflate(1) is zlib
    assert libraries.describe_deflate(1) == libraries.describe_deflate(6)


def test_every_library_computes_the_same_crc() -> None:
    assert libraries.crc32()(b"world", libraries.crc32()(b"hello ")) == zlib.crc32(b"hello world")


def test_the_descriptions_name_library_and_version() -> None:
    assert libraries.describe_deflate(9).startswith(f"zlib {zlib.ZLIB_RUNTIME_VERSION} {sys.platform} ")
    assert libraries.describe_zstd() == f"libzstd {libraries.zstd().zstd_version}"


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "expected"),
    [
        ("aarch64", None, "aarch64"),
        ("", "flags: sse4_2", "unknown"),
        ("x86_64", "model name: x\nflags\t\t: fpu sse4_2 avx\n", "x86-64 sse4.2"),
        ("AMD64", "flags : fpu sse4_1", "x86-64 no-sse4.2"),
        ("x86_64", "", "x86-64 sse-unknown"),
        ("x86_64", None, "x86-64 sse-unknown"),
    ],
)
def test_a_processor_is_classified_by_what_isal_depends_on(machine: str, cpuinfo: str | None, expected: str) -> None:
    assert libraries.classify_processor(machine, cpuinfo) == expected


@pytest.mark.parametrize(
    ("codec", "modules", "hint"),
    [
        ("zstd", ["compression.zstd", "backports.zstd"], "use Python 3.14, or install backports.zstd"),
        ("gzip", ["zlib"], "decompress it first, or use another Python"),
        ("xz", ["lzma"], "decompress it first, or use another Python"),
        ("bzip2", ["bz2"], "decompress it first, or use another Python"),
        ("br", ["brotli"], "install brotli"),
        ("lz4", ["lz4.frame"], "install lz4"),
    ],
)
def test_a_missing_library_is_an_error_with_what_to_do(
    codec: str, modules: list[str], hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert libraries.load(codec).__name__ in modules
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(FormatError, match=f"^{codec}: got .*, expected a Python with {codec}$") as caught:
        libraries.load(codec)
    assert caught.value.hint == hint
