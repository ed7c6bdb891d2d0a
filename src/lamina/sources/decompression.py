"""Streams that may be compressed.

Invariant: what a stream is is told by its first bytes, never by a name.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from typing import IO, cast

from lamina import codecs
from lamina.errors import FormatError

MAGIC_SIZE = 6
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
# RFC 8878, 3.1.2: a frame to be skipped, with which some writers begin; its first byte is 0x50 to 0x5f.
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
_XZ = b"\xfd7zXZ\0"
_BZIP2 = re.compile(rb"BZh[1-9]1A")


def broken() -> tuple[type[Exception], ...]:
    """What reading a broken stream raises."""
    return EOFError, zlib.error, gzip.BadGzipFile, *codecs.zstd_errors(), *codecs.xz_errors()


def compression(start: bytes) -> str:
    """How a stream that begins with these `MAGIC_SIZE` bytes is compressed: gz, zstd, xz, bzip2, or none."""
    if start[:2] == _GZIP:
        return "gz"
    if start == _XZ:
        return "xz"
    if start[:4] == _ZSTD or (start[1:4] == _ZSTD_SKIPPABLE and 0x50 <= start[0] <= 0x5F):
        return "zstd"
    return "bzip2" if _BZIP2.match(start) else "none"


def decompressed(stream: IO[bytes]) -> IO[bytes]:
    """``stream`` without its compression: gzip, zstd, xz, or none; any number of members or frames in a row.

    Raises `FormatError` where this Python has no library for it.
    """
    reader = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(_Raw(stream))
    match compression(reader.peek(MAGIC_SIZE)[:MAGIC_SIZE]):
        case "gz":
            return cast("IO[bytes]", gzip.GzipFile(fileobj=reader, mode="rb"))
        case "xz":
            return cast("IO[bytes]", codecs.xz().LZMAFile(reader))
        case "zstd":
            return cast("IO[bytes]", codecs.zstd().ZstdFile(reader))
        case "bzip2":
            raise FormatError("got bzip2, expected gzip, zstd or xz", hint="decompress it first: bunzip2")
    return reader


class _Raw(io.RawIOBase):
    """Any readable as one that `io.BufferedReader` takes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
