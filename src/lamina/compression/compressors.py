"""Compress archives and layers with gzip or zstd.

For gzip, the input is cut into blocks of 1 MiB, which threads compress in parallel. Each block is compressed with the
32 KiB before it as dictionary and ends in a sync flush, so that all blocks together form one member (RFC 1951 and
1952). For zstd, the library's own threads are used. With at least one worker, the library also divides its input by
size alone.

Invariant: equal `LayerCompression.identity` and equal input give equal bytes. The bytes do not depend on the number of
threads or on how the input is divided into writes.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from lamina.compression import libraries
from lamina.compression.levels import GZIP_LEVEL, ZSTD_LEVEL, format_codec, parse_codec
from lamina.errors import InvalidArgument
from lamina.messages.redaction import short_repr
from lamina.system.fd_writer import Output

if TYPE_CHECKING:
    from concurrent.futures import Future

_BLOCK = 1 << 20
_WINDOW = 1 << 15
_MAX_JOBS = 256
# How many blocks may be queued in addition to those being compressed, so that no thread waits for its next block.
_MAX_AHEAD = 8
_RAW_DEFLATE = -15
# A header without name and date, in which the operating system is "unknown" (RFC 1952, 2.3).
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LAST_BLOCK = b"\x03\x00"


class Gzip(Output):
    """An output that writes one gzip member with ``jobs`` threads.

    It uses memory for two blocks per thread and one more block, and for their compressed output.
    """

    def __init__(self, out: Output, jobs: int, level: int = GZIP_LEVEL) -> None:
        from lamina.system.threads import ThreadPool  # imported on demand: most images are not compressed

        self._pool = ThreadPool(jobs, "lamina-gzip")
        self._max_waiting = jobs + min(jobs, _MAX_AHEAD)
        self._write = out.write
        self._deflate = _Deflate(level)
        self._crc32 = libraries.crc32()
        self._checksum = 0
        self._size = 0
        self._waiting: deque[tuple[_Block, Future[tuple[bytes, ...]]]] = deque()
        self._free: list[_Block] = []
        self._block = _Block()
        self._write(memoryview(_HEADER))

    def write(self, data: memoryview) -> None:
        """Compress the next bytes and pass on the blocks that are finished."""
        self._checksum = self._crc32(data, self._checksum)
        self._size += len(data)
        while data:
            data = data[self._block.fill(data) :]
            if self._block.size == _BLOCK:
                block = self._block
                self._block = self._free.pop() if self._free else _Block()
                self._block.restart_after(block)
                self._submit(block)
                self._forward_results(self._max_waiting)

    def close(self) -> None:
        """Write the remaining blocks and the trailer, and end the threads."""
        with self._pool:
            if self._size > self._block.size:
                self._submit(self._block)
                self._forward_results(0)
            elif self._size:  # a single block needs no thread
                self._forward(self._block.compress(self._deflate))
        trailer = self._checksum.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little")
        self._write(memoryview(_LAST_BLOCK + trailer))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._pool.__exit__(kind, error, trace)
        super().__exit__(kind, error, trace)

    def _submit(self, block: _Block) -> None:
        self._waiting.append((block, self._pool.submit(partial(block.compress, self._deflate))))

    def _forward_results(self, max_waiting: int) -> None:
        while len(self._waiting) > max_waiting:
            block, compressed = self._waiting.popleft()
            self._forward(compressed.result())
            self._free.append(block)

    def _forward(self, parts: Iterable[bytes]) -> None:
        for part in parts:
            self._write(memoryview(part))


class _Block:
    """A buffer with one block of input and the 32 KiB before it."""

    def __init__(self) -> None:
        self.size = 0
        self._view = memoryview(bytearray(_WINDOW + _BLOCK))
        self._window_size = 0

    def restart_after(self, previous: _Block) -> None:
        """Empty the block and copy the end of the full block ``previous`` as its dictionary."""
        self._view[:_WINDOW] = previous._view[_BLOCK:]
        self._window_size = _WINDOW
        self.size = 0

    def fill(self, data: memoryview) -> int:
        """Append as much of ``data`` as fits, and return the number of bytes."""
        count = min(len(data), _BLOCK - self.size)
        begin = _WINDOW + self.size
        self._view[begin : begin + count] = data[:count]
        self.size += count
        return count

    def compress(self, deflate: _Deflate) -> tuple[bytes, ...]:
        """Return the block compressed."""
        window = self._view[_WINDOW - self._window_size : _WINDOW]
        return deflate(window, self._view[_WINDOW : _WINDOW + self.size])


@dataclass(frozen=True, slots=True)
class _Deflate:
    """A function that compresses a block: raw deflate (RFC 1951) at ``level``, up to a sync flush."""

    level: int

    def __call__(self, window: memoryview, block: memoryview) -> tuple[bytes, ...]:
        options = {"zdict": window} if window else {}
        compressor = libraries.deflate(self.level).compressobj(self.level, zlib.DEFLATED, _RAW_DEFLATE, **options)
        return compressor.compress(block), compressor.flush(zlib.Z_SYNC_FLUSH)


class _LibraryStream(Protocol):
    """The methods that the compressors of zstd, `lzma` and `bz2` have in common."""

    def compress(self, data: memoryview, /) -> bytes: ...

    def flush(self) -> bytes: ...


class LibraryCompressor(Output):
    """An output around the compressor of a library."""

    def __init__(self, out: Output, stream: _LibraryStream) -> None:
        self._write = out.write
        self._stream = stream

    def write(self, data: memoryview) -> None:
        """Compress the next bytes."""
        if data:  # an empty write would end a block of zstd
            self._forward(self._stream.compress(data))

    def close(self) -> None:
        """Write the output that the library still holds."""
        self._forward(self._stream.flush())

    def _forward(self, data: bytes) -> None:
        if data:
            self._write(memoryview(data))


class Zstd(LibraryCompressor):
    """An output that writes one zstd frame with ``jobs`` threads of the library."""

    def __init__(self, out: Output, jobs: int, level: int = ZSTD_LEVEL) -> None:
        zstd = libraries.zstd()
        parameter = zstd.CompressionParameter
        options: dict[int, int] = {
            parameter.compression_level: level,
            parameter.nb_workers: jobs,  # never 0, because the single-threaded mode gives different bytes
            parameter.checksum_flag: 1,
        }
        super().__init__(out, zstd.ZstdCompressor(options=options))


CreateCompressor = Callable[[Output, int], Output]
"""A function that returns an output which compresses with a number of threads and writes to another output.

Closing the returned output does not close the other one.
"""
COMPRESSORS: Mapping[str, CreateCompressor] = {"none": lambda out, _: out, "gz": Gzip, "zstd": Zstd}
_SUFFIXES = {".gz": "gz", ".tgz": "gz", ".gzip": "gz", ".zst": "zstd", ".zstd": "zstd", ".tzst": "zstd"}
# Suffixes of compressions and archive formats that lamina does not write. An image with such a name would be misnamed.
_UNSUPPORTED_SUFFIXES = (
    *(".xz", ".txz", ".lzma", ".tlz", ".bz2", ".bzip2", ".tbz", ".tbz2", ".tb2", ".lz4", ".lz", ".lzo", ".tzo", ".br"),
    *(".z", ".taz", ".lrz", ".rz", ".sz", ".zip", ".7z", ".rar", ".sif", ".squashfs", ".sqfs", ".cpio", ".iso"),
)


def find_compressor(name: str) -> CreateCompressor:
    """Return the compressor called ``name``. Raises `InvalidArgument` if there is none."""
    if not isinstance(name, str) or name not in COMPRESSORS:
        raise InvalidArgument("compressor", short_repr(name), f"one of {', '.join(COMPRESSORS)}")
    return COMPRESSORS[name]


def parse_jobs(jobs: int) -> int:
    """Return ``jobs`` if it is a valid number of threads. Raises `InvalidArgument` otherwise."""
    if not isinstance(jobs, int) or isinstance(jobs, bool) or not 1 <= jobs <= _MAX_JOBS:
        raise InvalidArgument("jobs", short_repr(jobs), f"a number from 1 to {_MAX_JOBS}")
    return jobs


def choose_compressor(file: str) -> str:
    """Return the name of the compressor for a file's suffix, in upper or lower case; ``none`` for other suffixes.

    Raises `InvalidArgument` for the suffix of a compression or archive format that lamina does not write.
    """
    lowered = file.lower()
    if lowered.endswith(_UNSUPPORTED_SUFFIXES):
        ending = "." + lowered.rpartition(".")[2]
        raise InvalidArgument(
            "output",
            f"{short_repr(file)}, a name that ends in {ending}",
            f".tar, or one of {', '.join(_SUFFIXES)}",
            hint="write to stdout with -o - and use another program, or name the compression with --compressor",
        )
    return next((name for ending, name in _SUFFIXES.items() if lowered.endswith(ending)), "none")


CODECS: Mapping[str, Callable[[Output, int, int], Output]] = {"none": lambda out, *_: out, "gzip": Gzip, "zstd": Zstd}
"""Compressors by the name of their codec; they take the number of threads and the level."""


@dataclass(frozen=True, slots=True)
class LayerCompression:
    """The compression of all layers of an image. ``level`` is 0 if ``codec`` is ``none``.

    Attributes:
        codec: ``none``, ``gzip`` or ``zstd``.
        level: the compression level; 0 if ``codec`` is ``none``.
    """

    codec: str
    level: int

    @classmethod
    def parse(cls, text: str) -> LayerCompression:
        """Parse ``none``, ``gzip``, ``gzip:1`` to ``gzip:9``, ``zstd``, or ``zstd:1`` to ``zstd:19``.

        isal compresses levels 1 and 2 of gzip, of which 2 is the default; zlib compresses the others. Raises
        `InvalidArgument` for other texts.
        """
        return cls(*parse_codec(text, "layer compression", tuple(CODECS)))

    @property
    def is_none(self) -> bool:
        """Whether layers stay uncompressed."""
        return self.codec == "none"

    @property
    def identity(self) -> str:
        """A string that names everything that the compressed bytes depend on, apart from the input.

        It contains the codec, its level, the size of gzip's blocks, the library with its version and, where it matters,
        the class of the processor. Raises `FormatError` if the library is missing.
        """
        match self.codec:
            case "gzip":
                return f"{self} 1MiB {libraries.describe_deflate(self.level)}"
            case "zstd":
                return f"{self} {libraries.describe_zstd()}"
        return str(self)

    def create_compressor(self, out: Output, jobs: int) -> Output:
        """Create a compressor that writes to ``out`` with ``jobs`` threads; return ``out`` itself for no compression.

        Raises `FormatError` if the library is missing.
        """
        return CODECS[self.codec](out, jobs, self.level)

    def __str__(self) -> str:
        return format_codec(self.codec, self.level)


NO_LAYER_COMPRESSION = LayerCompression("none", 0)
REGISTRY_LAYER_COMPRESSION = LayerCompression("gzip", GZIP_LEVEL)
"""The compression of layers in a registry, unless another is chosen: all engines read gzip."""
