"""Detect the compression of a stream by its first bytes, never by a file name, and decode image files and layers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain

from lamina.compression.decoders import decode_pieces
from lamina.errors import FormatError

MAGIC_SIZE = 6
"""The number of bytes that `detect_compression` needs."""
_MAGIC = {
    "gzip": re.compile(rb"\x1f\x8b"),
    # A zstd file may begin with a skippable frame (RFC 8878, 3.1.2).
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
    "xz": re.compile(rb"\xfd7zXZ\0"),
    # After the level comes the start of a block or the end of an empty stream. Fewer bytes could be the start of a
    # text.
    "bzip2": re.compile(rb"BZh[1-9](?:1A|\x17r)"),
    "lz4": re.compile(rb"\x04\x22\x4d\x18"),
}
_IMAGE_HINTS = {"bzip2": "decompress it first: bunzip2", "lz4": "decompress it first: lz4 -d"}


def detect_compression(start: bytes) -> str:
    """Return Nix's name for the compression of a stream that begins with these `MAGIC_SIZE` bytes.

    The name is ``none`` if the stream is not recognised. Brotli streams are never recognised, because they have no
    magic number.
    """
    return next((name for name, magic in _MAGIC.items() if magic.match(start)), "none")


def detect_and_decode(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress ``pieces``, which are gzip, zstd, xz or uncompressed.

    There may be any number of members or frames in a row, padded with zeros.

    Each piece of the result has at most `lamina.compression.decoders.MAX_PIECE` bytes. Raises `FormatError` if the
    stream is broken, truncated or compressed in another way, or if this Python lacks the library for it.
    """
    rest = iter(pieces)
    start = b""
    for piece in rest:
        start += piece
        if len(start) >= MAGIC_SIZE:
            break
    compression = detect_compression(start)
    if compression in _IMAGE_HINTS:
        raise FormatError(got=compression, expected="gzip, zstd or xz", hint=_IMAGE_HINTS[compression])
    return decode_pieces(chain([start], rest), compression)
