"""Compression around an archive.

Invariant: the compressed bytes depend on the bytes, the codec and its library's version, not on how many processors
work on them or in what portions they came.

gzip: the input is cut into blocks of 1 MiB, each compressed on its own with the 32 KiB before it as dictionary and
ended by a sync flush, and all of them joined into one member (RFC 1951 and 1952), so that blocks can be compressed
side by side. zstd: the library's own threads; it too cuts jobs by size alone as soon as it has one worker.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from lamina import codecs
from lamina.engine import Write
from lamina.errors import InvalidName, shown

GZIP_LEVEL = 2
ZSTD_LEVEL = 3
_BLOCK = 1 << 20
_WINDOW = 1 << 15
_MOST_JOBS = 256
_RAW_DEFLATE = -15
# No name, no date, and "unknown" for the operating system.
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LAST_BLOCK = b"\x03\x00"


class Compressor(Protocol):
    """Takes bytes and passes them on compressed."""

    def write(self, data: memoryview) -> None:
        """Takes the next bytes."""

    def close(self) -> None:
        """Writes what is left; without it the result is not whole."""


class Plain:
    """Passes bytes on as they are."""

    def __init__(self, write: Write, jobs: int) -> None:
        self._write = write

    def write(self, data: memoryview) -> None:
        """Passes ``data`` on."""
        self._write(data)

    def close(self) -> None:
        """Nothing is left."""


class Gzip:
    """One gzip member, made by ``jobs`` threads."""

    def __init__(self, write: Write, jobs: int) -> None:
        self._write = write
        self._pool = ThreadPoolExecutor(jobs, "lamina-gzip")
        self._most_waiting = 2 * jobs
        self._waiting: deque[Future[bytes]] = deque()
        self._block = bytearray()
        self._dictionary = b""
        self._checksum = 0
        self._size = 0
        write(memoryview(_HEADER))

    def write(self, data: memoryview) -> None:
        """Takes the next bytes; what is compressed by now is passed on."""
        self._checksum = zlib.crc32(data, self._checksum)
        self._size += len(data)
        while data:
            part = data[: _BLOCK - len(self._block)]
            self._block += part
            data = data[len(part) :]
            if len(self._block) == _BLOCK:
                self._submit()

    def close(self) -> None:
        """Writes the blocks that are left and the trailer."""
        if self._block:
            self._submit()
        self._pass_on(0)
        self._pool.shutdown()
        trailer = self._checksum.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little")
        self._write(memoryview(_LAST_BLOCK + trailer))

    def _submit(self) -> None:
        block = bytes(self._block)
        self._block.clear()
        self._waiting.append(self._pool.submit(_deflate, block, self._dictionary))
        self._dictionary = block[-_WINDOW:]
        self._pass_on(self._most_waiting)

    def _pass_on(self, most_waiting: int) -> None:
        while len(self._waiting) > most_waiting:
            self._write(memoryview(self._waiting.popleft().result()))


class Zstd:
    """One zstd frame, made by ``jobs`` threads of the library."""

    def __init__(self, write: Write, jobs: int) -> None:
        zstd = codecs.zstd()
        parameter = zstd.CompressionParameter
        options: dict[int, int] = {
            parameter.compression_level: ZSTD_LEVEL,
            parameter.nb_workers: jobs,
            parameter.checksum_flag: 1,
        }
        self._write = write
        self._compressor = zstd.ZstdCompressor(options=options)

    def write(self, data: memoryview) -> None:
        """Takes the next bytes."""
        self._write(memoryview(self._compressor.compress(data)))

    def close(self) -> None:
        """Writes what the library still holds."""
        self._write(memoryview(self._compressor.flush()))


COMPRESSORS: Mapping[str, Callable[[Write, int], Compressor]] = {"none": Plain, "gz": Gzip, "zstd": Zstd}
_ENDINGS = {".gz": "gz", ".tgz": "gz", ".zst": "zstd"}


def by_name(name: str) -> Callable[[Write, int], Compressor]:
    """The compressor of that name; raises `InvalidName`."""
    if not isinstance(name, str) or name not in COMPRESSORS:
        raise InvalidName(f"compressor: got {shown(name)}, expected one of {', '.join(COMPRESSORS)}")
    return COMPRESSORS[name]


def thread_count(jobs: int) -> int:
    """``jobs`` where that is a number of threads; raises `InvalidName`."""
    if not isinstance(jobs, int) or isinstance(jobs, bool) or not 1 <= jobs <= _MOST_JOBS:
        raise InvalidName(f"jobs: got {shown(jobs)}, expected a number from 1 to {_MOST_JOBS}")
    return jobs


def by_ending(file: str) -> str:
    """The name of the compressor that a file's ending asks for."""
    return next((name for ending, name in _ENDINGS.items() if file.endswith(ending)), "none")


def _deflate(block: bytes, dictionary: bytes) -> bytes:
    library = codecs.deflate()
    options = {"zdict": dictionary} if dictionary else {}
    compressor = library.compressobj(GZIP_LEVEL, zlib.DEFLATED, _RAW_DEFLATE, **options)
    return bytes(compressor.compress(block) + compressor.flush(zlib.Z_SYNC_FLUSH))
