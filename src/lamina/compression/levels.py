"""Parse and format codecs with their compression levels, such as ``zstd:19``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lamina.errors import InvalidArgument
from lamina.messages.redaction import short_repr

GZIP_LEVEL = 2
ZSTD_LEVEL = 3
_LEVELS: Mapping[str, tuple[int, range]] = {
    "none": (0, range(0)),
    "gzip": (GZIP_LEVEL, range(1, 10)),
    "zstd": (ZSTD_LEVEL, range(1, 20)),
    "xz": (6, range(10)),
    "bzip2": (9, range(1, 10)),
}
"""The default level of each codec, and the levels that may be given."""


def parse_codec(text: str, subject: str, codecs: Sequence[str]) -> tuple[str, int]:
    """Parse ``CODEC`` or ``CODEC:LEVEL``.

    Args:
        text: the text to parse.
        subject: the start of an error message.
        codecs: the codecs that may be given, in the order in which an error lists them.

    Returns:
        The codec and its level, which is 0 for ``none``.

    Raises:
        InvalidArgument: the codec is not one of ``codecs``, or has no such level.

    """
    codec, colon, level = text.partition(":") if isinstance(text, str) else ("", "", "")
    if codec in codecs:
        default, levels = _LEVELS[codec]
        if not colon:
            return codec, default
        if level in map(str, levels):
            return codec, int(level)
    *others, last = map(_describe, codecs)
    raise InvalidArgument(subject, short_repr(text), f"{', '.join(others)} or {last}")


def format_codec(codec: str, level: int) -> str:
    """Return the text that `parse_codec` parses."""
    return f"{codec}:{level}" if _LEVELS[codec][1] else codec


def _describe(codec: str) -> str:
    levels = _LEVELS[codec][1]
    return f"{codec}[:{levels[0]}-{levels[-1]}]" if levels else codec
