"""Detect and decode the compression of image files and layers.

The decoder is chosen by the first bytes of a stream, never by a file name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain

from lamina.compression.decoders import decode_pieces
from lamina.errors import FormatError

MAGIC_SIZE = 6
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
# A skippable frame (RFC 8878, 3.1.2), with which some programs begin a file; its first byte is 0x50 to 0x5f.
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
_XZ = b"\xfd7zXZ\0"
_BZIP2 = re.compile(rb"BZh[1-9]1A")
_DECODERS = {"gz": "gzip", "zstd": "zstd", "xz": "xz", "none": "none"}


def detect_image_compression(start: bytes) -> str:
    """Return the compression of a stream that begins with these `MAGIC_SIZE` bytes: gz, zstd, xz, bzip2, or none."""
    if start[:2] == _GZIP:
        return "gz"
    if start == _XZ:
        return "xz"
    if start[:4] == _ZSTD or (start[1:4] == _ZSTD_SKIPPABLE and 0x50 <= start[0] <= 0x5F):
        return "zstd"
    return "bzip2" if _BZIP2.match(start) else "none"


def detect_and_decode(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress ``pieces``: gzip, zstd, xz, or none; any number of members or frames in a row, padded with zeros.

    Each piece of the result has at most `lamina.compression.decoders.MAX_PIECE` bytes. Raises `FormatError` if the
    stream is broken, truncated or compressed in another way, or if this Python lacks the library for it.
    """
    rest = iter(pieces)
    start = b""
    for piece in rest:
        start += piece
        if len(start) >= MAGIC_SIZE:
            break
    compression = detect_image_compression(start[:MAGIC_SIZE])
    if compression not in _DECODERS:
        raise FormatError(f"got {compression}, expected gzip, zstd or xz", hint="decompress it first: bunzip2")
    return decode_pieces(chain([start], rest), _DECODERS[compression])
