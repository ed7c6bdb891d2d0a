"""The libraries that compress: which one, wherever lamina runs.

Invariant: none is imported before something is to be compressed or decompressed.
"""

from __future__ import annotations

import sys
import zlib
from typing import Any

from lamina.errors import FormatError


def zstd() -> Any:
    """The module ``compression.zstd`` of Python 3.14, for older Pythons its backport; raises `FormatError` without."""
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError as error:
        raise FormatError(
            f"zstd: got {error}, expected a Python that has it", hint="use Python 3.14, or install backports.zstd"
        ) from error
    return zstd


def zstd_errors() -> tuple[type[Exception], ...]:
    """What the module raises for broken data; nothing where there is no such module."""
    try:
        return (zstd().ZstdError,)
    except FormatError:
        return ()


def deflate() -> Any:
    """isal's zlib, fifteen times as fast, where it has a compiled core, else the standard library's."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib
    return isal_zlib


def xz() -> Any:
    """The module ``lzma``; raises `FormatError` where Python was built without it."""
    try:
        import lzma
    except ImportError as error:
        raise FormatError(
            f"xz: got {error}, expected a Python that has it", hint="decompress it first, or use another Python"
        ) from error
    return lzma


def xz_errors() -> tuple[type[Exception], ...]:
    """What the module raises for broken data; nothing where there is no such module."""
    try:
        return (xz().LZMAError,)
    except FormatError:
        return ()
