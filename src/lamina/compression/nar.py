"""The compressions in which NARs go to a binary cache.

Every stream can be decoded by `lamina.compression.decoders` and by each Nix that knows the compression's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lamina.compression import libraries
from lamina.compression.compressors import GZIP_LEVEL, ZSTD_LEVEL, Compressor, Gzip, Plain, Zstd
from lamina.errors import FormatError, InvalidName, shown
from lamina.system.transfer import Write

_WORDS = "none, zstd[:1-19], xz[:0-9], gzip[:1-9] or bzip2[:1-9]"
_LEVELS: Mapping[str, range] = {
    "none": range(0),
    "zstd": range(1, 20),
    "xz": range(10),
    "gzip": range(1, 10),
    "bzip2": range(1, 10),
}
_USUAL = {"none": 0, "zstd": ZSTD_LEVEL, "xz": 6, "gzip": GZIP_LEVEL, "bzip2": 9}
# What Nix puts behind the name of a NAR; nothing depends on it (Nix source, libstore, binary-cache-store).
_ENDINGS = {"none": "", "zstd": ".zst", "xz": ".xz", "gzip": ".gz", "bzip2": ".bz2"}


@dataclass(frozen=True, slots=True)
class NarCompression:
    """One of Nix's words, and how hard it tries."""

    word: str
    level: int

    @classmethod
    def parse(cls, text: str) -> NarCompression:
        """``WORD`` or ``WORD:LEVEL``; raises `InvalidName`."""
        word, colon, level = text.partition(":") if isinstance(text, str) else ("", "", "")
        if word in _LEVELS and not colon:
            return cls(word, _USUAL[word])
        if word in _LEVELS and re.fullmatch("[0-9]{1,2}", level) and int(level) in _LEVELS[word]:
            return cls(word, int(level))
        raise InvalidName(f"compression: got {shown(text)}, expected {_WORDS}")

    def __str__(self) -> str:
        return self.word if self.word == "none" else f"{self.word}:{self.level}"

    @property
    def ending(self) -> str:
        """What stands behind ``.nar`` in a file's name."""
        return _ENDINGS[self.word]

    def compressor(self, write: Write, threads: int) -> Compressor:
        """One that passes on to ``write``. Raises `FormatError` where there is no library for it."""
        return _COMPRESSORS[self.word](write, threads, self.level)


class _Inner(Protocol):
    """What the standard library's compressors are."""

    def compress(self, data: memoryview, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Simple:
    def __init__(self, write: Write, inner: _Inner) -> None:
        self._write = write
        self._inner = inner

    def write(self, data: memoryview) -> None:
        self._pass_on(self._inner.compress(data))

    def close(self) -> None:
        self._pass_on(self._inner.flush())

    def _pass_on(self, made: bytes) -> None:
        if made:
            self._write(memoryview(made))


def _xz(write: Write, threads: int, level: int) -> Compressor:
    lzma: Any = libraries.xz()
    return _Simple(write, lzma.LZMACompressor(lzma.FORMAT_XZ, preset=level))


def _bzip2(write: Write, threads: int, level: int) -> Compressor:
    try:
        import bz2
    except ImportError as error:
        raise FormatError(f"bzip2: got {error}, expected a Python that has it") from error
    return _Simple(write, bz2.BZ2Compressor(level))


_COMPRESSORS: Mapping[str, Callable[[Write, int, int], Compressor]] = {
    "none": lambda write, threads, _: Plain(write, threads),
    "zstd": Zstd,
    "gzip": Gzip,
    "xz": _xz,
    "bzip2": _bzip2,
}
