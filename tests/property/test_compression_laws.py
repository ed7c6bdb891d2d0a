"""Laws of compression."""

import io
import zlib
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples

from lamina.compression.compressors import LayerCompression
from lamina.errors import InvalidArgument
from lamina.system.fd_writer import FunctionOutput

COMPRESSIONS = st.one_of(
    st.just(LayerCompression("none", 0)),
    st.builds(LayerCompression, st.just("gzip"), st.integers(1, 9)),
    st.builds(LayerCompression, st.just("zstd"), st.integers(1, 19)),
)
SIMILAR_TEXTS = st.one_of(
    st.text(),
    st.text("gzipstdnoe:0123456789 ", max_size=8),
    st.builds("{}:{}".format, st.sampled_from(["none", "gzip", "zstd"]), st.one_of(st.integers(-5, 30), st.text())),
)
DATA = b"".join(b"%d " % (number * number) for number in range(500_000))


@given(COMPRESSIONS)
def test_a_layer_compression_parses_from_its_text(compression: LayerCompression) -> None:
    assert LayerCompression.parse(str(compression)) == compression


@given(SIMILAR_TEXTS)
@examples(300)
def test_any_text_is_a_layer_compression_or_invalid(text: str) -> None:
    try:
        found = LayerCompression.parse(text)
    except InvalidArgument:
        return
    assert str(found) == text or text == found.codec


@given(st.lists(st.integers(0, len(DATA)), max_size=20), st.integers(1, 4))
@examples(20)
def test_gzip_output_is_one_member_for_any_division_of_the_input(offsets: list[int], jobs: int) -> None:
    """RFC 1952, 2.2: a member is a header, one deflate stream, a CRC-32 and a length."""
    out = io.BytesIO()
    compressor = LayerCompression("gzip", 2).create_compressor(FunctionOutput(out.write), jobs)
    for begin, end in pairwise([0, *sorted(offsets), len(DATA)]):
        compressor.write(memoryview(DATA)[begin:end])
    compressor.close()
    assert out.getvalue() == compress_at_once()
    reader = zlib.decompressobj(31)
    assert reader.decompress(out.getvalue()) == DATA
    assert reader.eof
    assert not reader.unused_data


def compress_at_once() -> bytes:
    out = io.BytesIO()
    compressor = LayerCompression("gzip", 2).create_compressor(FunctionOutput(out.write), 1)
    compressor.write(memoryview(DATA))
    compressor.close()
    return out.getvalue()
