"""The stage that compresses, alone: stdin to stdout, as `lamina build` has it behind an archive.

Invariant: nothing of lamina but the compressor is in between, so that what is measured is the stage.

    python bench/stage.py gz|zstd JOBS < sample > compressed
"""

from __future__ import annotations

import os
import sys

from lamina.compression.compressors import find_compressor

_PORTION = 1 << 20


def main() -> None:
    """Compresses with the codec and the number of threads that the arguments name."""
    codec, jobs = sys.argv[1:]

    def write(data: memoryview) -> None:
        while data:
            data = data[os.write(1, data) :]

    compressor = find_compressor(codec)(write, int(jobs))
    while data := os.read(0, _PORTION):
        compressor.write(memoryview(data))
    compressor.close()


if __name__ == "__main__":
    main()
