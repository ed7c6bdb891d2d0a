"""The libraries that compress: which one, wherever lamina runs.

Invariant: none is imported before something is to be compressed or decompressed.
"""

from __future__ import annotations

import sys
import zlib
from typing import Any


def zstd() -> Any:
    """The module ``compression.zstd`` of Python 3.14, for older Pythons its backport."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def deflate() -> Any:
    """isal's zlib, fifteen times as fast, where it has a compiled core, else the standard library's."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib
    return isal_zlib
