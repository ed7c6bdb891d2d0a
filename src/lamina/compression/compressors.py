"""Compression of an archive or a layer.

Invariant: the compressed bytes depend on the bytes, the codec, its level, its library's version and the processor's
class, not on how many processors work on them or in what portions they came. Equal `LayerCompression.identity`, equal
bytes.

gzip: the input is cut into blocks of 1 MiB, each compressed on its own with the 32 KiB before it as dictionary and
ended by a sync flush, and all of them joined into one member (RFC 1951 and 1952), so that blocks can be compressed
side by side. zstd: the library's own threads; it too cuts jobs by size alone as soon as it has one worker.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

from lamina.compression import libraries
from lamina.errors import InvalidArgument
from lamina.messages.redaction import short_repr
from lamina.system.transfer import Write

GZIP_LEVEL = 2
ZSTD_LEVEL = 3
_BLOCK = 1 << 20
_WINDOW = 1 << 15
_MAX_JOBS = 256
# Blocks that wait for a thread, so that none has to wait for a block.
_MAX_AHEAD = 8
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


class Uncompressed:
    """Passes bytes on as they are."""

    def __init__(self, write: Write, jobs: int) -> None:
        self._write = write

    def write(self, data: memoryview) -> None:
        """Passes ``data`` on."""
        self._write(data)

    def close(self) -> None:
        """Nothing is left."""


class Gzip:
    """One gzip member, made by ``jobs`` threads, which end with the compressor or when its ``write`` fails.

    Memory is at most two blocks for each thread and one more, and what became of them, whatever goes through.
    """

    def __init__(self, write: Write, jobs: int, level: int = GZIP_LEVEL) -> None:
        self._tasks: SimpleQueue[_Block | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._jobs = jobs
        self._write = write
        self._deflate = _Deflate(level)
        self._crc32 = libraries.crc32()
        self._checksum = 0
        self._size = 0
        self._waiting: deque[_Block] = deque()
        self._free: list[_Block] = []
        self._block = _Block()
        write(memoryview(_HEADER))

    def write(self, data: memoryview) -> None:
        """Takes the next bytes; what is compressed by now is passed on."""
        self._checksum = self._crc32(data, self._checksum)
        self._size += len(data)
        while data:
            data = data[self._block.fill(data) :]
            if self._block.size == _BLOCK:
                self._submit()
                self._pass_on(self._jobs + min(self._jobs, _MAX_AHEAD))

    def close(self) -> None:
        """Writes the blocks that are left and the trailer."""
        if self._threads and self._block.size:
            self._submit()
        elif self._block.size:
            self._block.compress(self._deflate)
            self._waiting.append(self._block)
        self._pass_on(0)
        self._stop()
        trailer = self._checksum.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little")
        self._write(memoryview(_LAST_BLOCK + trailer))

    def __del__(self) -> None:
        # Whoever fails while it compresses never comes to the end.
        self._end_threads()

    def _submit(self) -> None:
        block = self._block
        self._block = self._free.pop() if self._free else _Block()
        self._block.follow(block)
        if len(self._threads) < self._jobs:
            thread = Thread(target=_compress_blocks, args=(self._tasks, self._deflate), name="lamina-gzip", daemon=True)
            thread.start()
            self._threads.append(thread)
        self._waiting.append(block)
        self._tasks.put(block)

    def _pass_on(self, most_waiting: int) -> None:
        try:
            while len(self._waiting) > most_waiting:
                block = self._waiting.popleft()
                for part in block.result():
                    self._write(memoryview(part))
                self._free.append(block)
        except BaseException:
            self._stop()
            raise

    def _stop(self) -> None:
        self._end_threads()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _end_threads(self) -> None:
        for _ in self._threads:
            self._tasks.put(None)


class _Block:
    """The next bytes to be compressed, behind the last ones before them, and what became of them."""

    def __init__(self) -> None:
        self.size = 0
        self._view = memoryview(bytearray(_WINDOW + _BLOCK))
        self._known = 0
        self._result: SimpleQueue[tuple[bytes, ...] | BaseException] = SimpleQueue()

    def follow(self, other: _Block) -> None:
        """Begins anew, behind a full ``other``."""
        self._view[:_WINDOW] = other._view[_BLOCK:]
        self._known = _WINDOW
        self.size = 0

    def fill(self, data: memoryview) -> int:
        """Takes as much of ``data`` as there is room for, and says how much that was."""
        count = min(len(data), _BLOCK - self.size)
        begin = _WINDOW + self.size
        self._view[begin : begin + count] = data[:count]
        self.size += count
        return count

    def compress(self, deflate: _Deflate) -> None:
        """Does the work, or keeps what it raises for who asks for the result."""
        try:
            window = self._view[_WINDOW - self._known : _WINDOW]
            self._result.put(deflate(window, self._view[_WINDOW : _WINDOW + self.size]))
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            self._result.put(error)

    def result(self) -> tuple[bytes, ...]:
        """Waits for the result, which can be taken once."""
        made = self._result.get()
        if isinstance(made, BaseException):
            raise made
        return made


@dataclass(frozen=True, slots=True)
class _Deflate:
    """How a block is compressed: raw deflate (RFC 1951) of a level, up to a sync flush."""

    level: int

    def __call__(self, window: memoryview, block: memoryview) -> tuple[bytes, ...]:
        options = {"zdict": window} if window else {}
        compressor = libraries.deflate(self.level).compressobj(self.level, zlib.DEFLATED, _RAW_DEFLATE, **options)
        return compressor.compress(block), compressor.flush(zlib.Z_SYNC_FLUSH)


def _compress_blocks(tasks: SimpleQueue[_Block | None], deflate: _Deflate) -> None:
    # Nothing here knows the compressor, which can so be forgotten, and end this.
    while block := tasks.get():
        block.compress(deflate)


class Zstd:
    """One zstd frame, made by ``jobs`` threads of the library."""

    def __init__(self, write: Write, jobs: int, level: int = ZSTD_LEVEL) -> None:
        zstd = libraries.zstd()
        parameter = zstd.CompressionParameter
        options: dict[int, int] = {
            parameter.compression_level: level,
            parameter.nb_workers: jobs,  # never 0, which is another way to compress, with other bytes
            parameter.checksum_flag: 1,
        }
        self._write = write
        self._compressor = zstd.ZstdCompressor(options=options)

    def write(self, data: memoryview) -> None:
        """Takes the next bytes."""
        if data:
            self._pass_on(self._compressor.compress(data))

    def close(self) -> None:
        """Writes what the library still holds."""
        self._pass_on(self._compressor.flush())

    def _pass_on(self, made: bytes) -> None:
        if made:
            self._write(memoryview(made))


COMPRESSORS: Mapping[str, Callable[[Write, int], Compressor]] = {"none": Uncompressed, "gz": Gzip, "zstd": Zstd}
_SUFFIXES = {".gz": "gz", ".tgz": "gz", ".gzip": "gz", ".zst": "zstd", ".zstd": "zstd", ".tzst": "zstd"}
# Compressions and archives that are not written here: an image under such a name would be something else than it says.
_UNSUPPORTED_SUFFIXES = (
    *(".xz", ".txz", ".lzma", ".tlz", ".bz2", ".bzip2", ".tbz", ".tbz2", ".tb2", ".lz4", ".lz", ".lzo", ".tzo", ".br"),
    *(".z", ".taz", ".lrz", ".rz", ".sz", ".zip", ".7z", ".rar", ".sif", ".squashfs", ".sqfs", ".cpio", ".iso"),
)


def compressor_by_name(name: str) -> Callable[[Write, int], Compressor]:
    """The compressor of that name; raises `InvalidArgument`."""
    if not isinstance(name, str) or name not in COMPRESSORS:
        raise InvalidArgument(f"compressor: got {short_repr(name)}, expected one of {', '.join(COMPRESSORS)}")
    return COMPRESSORS[name]


def parse_jobs(jobs: int) -> int:
    """``jobs`` where that is a number of threads; raises `InvalidArgument`."""
    if not isinstance(jobs, int) or isinstance(jobs, bool) or not 1 <= jobs <= _MAX_JOBS:
        raise InvalidArgument(f"jobs: got {short_repr(jobs)}, expected a number from 1 to {_MAX_JOBS}")
    return jobs


def compressor_for_file(file: str) -> str:
    """Return the name of the compressor that a file's ending asks for, in any case; ``none`` if it asks for none.

    Raises `InvalidArgument` for the ending of a compression or archive that lamina does not write.
    """
    lowered = file.lower()
    if lowered.endswith(_UNSUPPORTED_SUFFIXES):
        ending = "." + lowered.rpartition(".")[2]
        raise InvalidArgument(
            f"output: got {short_repr(file)}, a name that ends in {ending}, "
            f"expected .tar, or one of {', '.join(_SUFFIXES)}",
            hint="write to stdout with -o - and let another program do the rest, or say what it is with --compressor",
        )
    return next((name for ending, name in _SUFFIXES.items() if lowered.endswith(ending)), "none")


_LEVELS: Mapping[str, range] = {"none": range(0), "gzip": range(1, 10), "zstd": range(1, 20)}
_DEFAULT_LEVELS = {"none": 0, "gzip": GZIP_LEVEL, "zstd": ZSTD_LEVEL}


@dataclass(frozen=True, slots=True)
class LayerCompression:
    """How every layer of an image is compressed. ``level`` is 0 where ``codec`` is none."""

    codec: str
    level: int

    @classmethod
    def parse(cls, text: str) -> LayerCompression:
        """``none``; ``gzip`` or ``gzip:1`` to ``gzip:9``; ``zstd`` or ``zstd:1`` to ``zstd:19``. Raises
        `InvalidArgument`.

        gzip's levels 1 and 2, of which 2 is the usual one, are isal's, the others zlib's.
        """
        codec, colon, level = text.partition(":") if isinstance(text, str) else ("", "", "")
        levels = _LEVELS.get(codec, ())
        if codec in _LEVELS and not colon:
            return cls(codec, _DEFAULT_LEVELS[codec])
        for number in levels:
            if str(number) == level:
                return cls(codec, number)
        raise InvalidArgument(f"layer compression: got {short_repr(text)}, expected none, gzip[:1-9] or zstd[:1-19]")

    @property
    def is_none(self) -> bool:
        """Whether layers stay as they are."""
        return self.codec == "none"

    @property
    def media_suffix(self) -> str:
        """What OCI's media type of such a layer has behind ``….layer.v1.tar`` (image specification, "Layer")."""
        return "" if self.is_none else f"+{self.codec}"

    @property
    def identity(self) -> str:
        """All that the compressed bytes depend on but the bytes themselves: equal texts, equal bytes.

        The codec, its level, how the input is cut, the library with its version and, where it matters, the class of
        the processor. Raises `FormatError` where there is no such library.
        """
        match self.codec:
            case "gzip":
                return f"{self} 1MiB {libraries.deflate_name(self.level)}"
            case "zstd":
                return f"{self} {libraries.zstd_name()}"
        return str(self)

    def compressor(self, write: Write, jobs: int) -> Compressor:
        """One that passes on to ``write``, with ``jobs`` threads. Raises `FormatError` where there is no library."""
        match self.codec:
            case "gzip":
                return Gzip(write, jobs, self.level)
            case "zstd":
                return Zstd(write, jobs, self.level)
        return Uncompressed(write, jobs)

    def __str__(self) -> str:
        return self.codec if self.is_none else f"{self.codec}:{self.level}"


NO_LAYER_COMPRESSION = LayerCompression("none", 0)
