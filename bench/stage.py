"""Compress stdin to stdout with lamina's compressor alone, to measure the last stage of `lamina build`.

No other part of lamina runs, so that the measured time is that of the compressor.

    python bench/stage.py gz|zstd JOBS < sample > compressed
"""

from __future__ import annotations

import os
import sys

from lamina.compression.compressors import find_compressor
from lamina.system.fd_writer import FdWriter

_PORTION = 1 << 20


def main() -> None:
    """Compress with the codec and the number of threads from the arguments."""
    codec, jobs = sys.argv[1:]

    with find_compressor(codec)(FdWriter(1, "stdout"), int(jobs)) as compressor:
        while data := os.read(0, _PORTION):
            compressor.write(memoryview(data))


if __name__ == "__main__":
    main()
