"""The libraries that compress: which one, wherever lamina runs.

Invariant: none is imported before something is to be compressed or decompressed.
"""

from __future__ import annotations

import sys
import zlib
from typing import Any

from lamina.errors import FormatError

ISAL_LEVELS = (1, 2)
_X86 = "x86-64"


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


def deflate(level: int) -> Any:
    """The module that makes gzip of ``level``: isal's zlib, fifteen times as fast, where it has a compiled core and
    the level, else the standard library's.

    isal's other levels are not used, for at 3 its bytes depend on the processor's generation.
    """
    if level in ISAL_LEVELS:
        try:
            from isal import isal_zlib
        except ImportError:
            return zlib
        return isal_zlib
    return zlib


def crc32() -> Any:
    """The fastest function there is that goes on with a CRC-32, as `zlib.crc32` does."""
    return deflate(ISAL_LEVELS[0]).crc32


def deflate_name(level: int) -> str:
    """Which library makes gzip of ``level``, in which version, for which processor; one name, the same bytes."""
    import platform

    if deflate(level) is zlib:
        # Some systems, and the one for s390x, change zlib and leave its version as it is.
        return f"zlib {zlib.ZLIB_RUNTIME_VERSION} {sys.platform} {_machine(platform.machine())}"
    import isal

    return f"isal {isal.__version__} isa-l {isal.ISAL_VERSION} {processor_class(platform.machine(), _cpuinfo())}"


def zstd_name() -> str:
    """Which zstd there is, in which version; its bytes depend on no processor."""
    return f"libzstd {zstd().zstd_version}"


def processor_class(machine: str, cpuinfo: str | None) -> str:
    """What isal's bytes depend on: the kind of ``machine``, and for x86-64 whether it has SSE 4.2, whose CRC is isal's
    hash. ``cpuinfo`` is Linux's ``/proc/cpuinfo``, None where there is none; then nobody knows.
    """
    kind = _machine(machine)
    if kind != _X86:
        return kind
    flags = next((line.split() for line in (cpuinfo or "").splitlines() if line.startswith("flags")), None)
    if flags is None:
        return f"{kind} sse-unknown"
    return f"{kind} sse4.2" if "sse4_2" in flags else f"{kind} no-sse4.2"


def _machine(name: str) -> str:
    return _X86 if name.lower() in {"x86_64", "amd64"} else name.lower() or "unknown"


def _cpuinfo() -> str | None:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return None


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
