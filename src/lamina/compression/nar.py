"""Compress NARs for a binary cache.

`lamina.compression.decoders` can decode the streams, and so can every version of Nix that supports the compression.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lamina.compression import libraries
from lamina.compression.compressors import CODECS, LibraryCompressor
from lamina.compression.levels import format_codec, parse_codec
from lamina.system.fd_writer import Output

# The codecs in the order in which messages list them, with the suffixes that Nix appends to the name of a NAR. Nothing
# depends on the suffixes (Nix source, libstore, binary-cache-store).
_SUFFIXES = {"none": "", "zstd": ".zst", "xz": ".xz", "gzip": ".gz", "bzip2": ".bz2"}


@dataclass(frozen=True, slots=True)
class NarCompression:
    """The compression of NARs: one of Nix's names for algorithms, and a level."""

    algorithm: str
    level: int

    @classmethod
    def parse(cls, text: str) -> NarCompression:
        """Parse ``ALGORITHM`` or ``ALGORITHM:LEVEL``. Raises `InvalidArgument` for anything else."""
        return cls(*parse_codec(text, "compression", tuple(_SUFFIXES)))

    def __str__(self) -> str:
        return format_codec(self.algorithm, self.level)

    @property
    def suffix(self) -> str:
        """The suffix after ``.nar`` in a file's name."""
        return _SUFFIXES[self.algorithm]

    def create_compressor(self, out: Output, threads: int) -> Output:
        """Create a compressor that writes to ``out``; return ``out`` itself for ``none``.

        Raises `FormatError` if the library is missing.
        """
        return _CODECS[self.algorithm](out, threads, self.level)


_CODECS: Mapping[str, Callable[[Output, int, int], Output]] = {
    **CODECS,
    "xz": lambda out, _, level: LibraryCompressor(out, libraries.load("xz").LZMACompressor(preset=level)),
    "bzip2": lambda out, _, level: LibraryCompressor(out, libraries.load("bzip2").BZ2Compressor(level)),
}
