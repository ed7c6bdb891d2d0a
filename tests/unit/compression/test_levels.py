"""Codecs with their levels, as layers and NARs are compressed with them."""

import pytest

from lamina.compression.compressors import LayerCompression
from lamina.compression.levels import format_codec, parse_codec
from lamina.compression.nar import NarCompression
from lamina.errors import InvalidArgument

CODECS = ("none", "gzip", "zstd", "xz", "bzip2")


@pytest.mark.parametrize(
    ("codec", "default", "first", "last"), [("gzip", 2, 1, 9), ("zstd", 3, 1, 19), ("xz", 6, 0, 9), ("bzip2", 9, 1, 9)]
)
def test_a_codec_has_a_default_level_and_a_range(codec: str, default: int, first: int, last: int) -> None:
    assert parse_codec(codec, "compression", CODECS) == (codec, default)
    for level in range(first, last + 1):
        assert parse_codec(f"{codec}:{level}", "compression", CODECS) == (codec, level)
        assert format_codec(codec, level) == f"{codec}:{level}"
    for level in (first - 1, last + 1):
        with pytest.raises(InvalidArgument):
            parse_codec(f"{codec}:{level}", "compression", CODECS)


def test_none_has_no_level() -> None:
    assert parse_codec("none", "compression", CODECS) == ("none", 0)
    assert format_codec("none", 0) == "none"


@pytest.mark.parametrize(
    "text", ["", "br", "none:", "none:0", "gzip:", "gzip:02", "gzip:+2", "gzip:2:2", "GZIP", None, 2]
)
def test_any_other_text_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^level: got .*, expected none, xz\[:0-9\] or gzip\[:1-9\]$"):
        parse_codec(text, "level", ("none", "xz", "gzip"))


def test_layers_and_nars_have_codecs_of_their_own() -> None:
    with pytest.raises(InvalidArgument, match=r"^layer compression: got 'xz', expected none, gzip.* or zstd"):
        LayerCompression.parse("xz")
    with pytest.raises(InvalidArgument, match=r"^compression: got 'br', expected none, zstd.*, xz.*, gzip.* or bzip2"):
        NarCompression.parse("br")
