"""The compressions of NARs: their names, levels and suffixes, and that each is decoded again."""

import io
import sys

import pytest

from lamina.compression.decoders import decode_pieces
from lamina.compression.nar import NarCompression
from lamina.errors import FormatError, InvalidArgument
from lamina.system.fd_writer import FunctionOutput

DATA = b"some content " * 20_000


@pytest.mark.parametrize(
    ("text", "suffix"),
    [("none", ""), ("zstd", ".zst"), ("zstd:5", ".zst"), ("xz:1", ".xz"), ("gzip:9", ".gz"), ("bzip2:1", ".bz2")],
)
def test_a_nar_is_compressed_and_decoded_again(text: str, suffix: str) -> None:
    compression = NarCompression.parse(text)
    assert compression.suffix == suffix
    output = io.BytesIO()
    compressor = compression.create_compressor(FunctionOutput(output.write), 1)
    for start in range(0, len(DATA), 100_000):
        compressor.write(memoryview(DATA)[start : start + 100_000])
    compressor.close()
    assert b"".join(decode_pieces([output.getvalue()], compression.algorithm)) == DATA


@pytest.mark.parametrize("text", ["none", "zstd:5", "bzip2:1"])
def test_a_compression_is_written_as_it_is_read(text: str) -> None:
    assert NarCompression.parse(str(NarCompression.parse(text))) == NarCompression.parse(text)


@pytest.mark.parametrize("text", ["", "lzip", "zstd:99", "none:1", "br", "xz:x", ":3"])
def test_another_name_or_level_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="compression: got "):
        NarCompression.parse(text)


@pytest.mark.parametrize(("text", "module"), [("xz", "lzma"), ("bzip2", "bz2")])
def test_a_missing_library_is_an_error(text: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(FormatError, match=f"{text}: got .*expected a Python with "):
        NarCompression.parse(text).create_compressor(FunctionOutput(len), 1)
