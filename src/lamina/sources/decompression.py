"""Streams that may be compressed.

Invariant: what a stream is is told by its first bytes, never by a name.
"""

from __future__ import annotations

import gzip
import io
import zlib
from typing import IO, cast

from lamina import codecs

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"


def broken() -> tuple[type[Exception], ...]:
    """What reading a broken stream raises."""
    return EOFError, zlib.error, gzip.BadGzipFile, codecs.zstd().ZstdError


def decompressed(stream: IO[bytes]) -> IO[bytes]:
    """``stream`` without its compression: gzip, zstd, or none."""
    reader = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(_Raw(stream))
    start = reader.peek(len(_ZSTD))[: len(_ZSTD)]
    if start[: len(_GZIP)] == _GZIP:
        return cast("IO[bytes]", gzip.GzipFile(fileobj=reader, mode="rb"))
    if start == _ZSTD:
        return cast("IO[bytes]", codecs.zstd().ZstdFile(reader))
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
