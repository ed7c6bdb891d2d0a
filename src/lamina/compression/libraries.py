"""Choose the compression libraries of the Python that lamina runs in.

A library is imported only when something is compressed or decompressed with it.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from lamina.errors import FormatError

ISAL_LEVELS = (1, 2)
_X86 = "x86-64"


_OTHER_PYTHON = "decompress it first, or use another Python"
_LIBRARIES: Mapping[str, tuple[str, str]] = {
    "gzip": ("zlib", _OTHER_PYTHON),
    "zstd": (
        "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd",
        "use Python 3.14, or install backports.zstd",
    ),
    "xz": ("lzma", _OTHER_PYTHON),
    "bzip2": ("bz2", _OTHER_PYTHON),
    "br": ("brotli", "install brotli"),
    "lz4": ("lz4.frame", "install lz4"),
}
"""The module of each codec, and what to do if it is missing: Python can be built without its compression modules."""


def load(codec: str) -> Any:
    """Import the module that compresses and decompresses ``codec``. Raises `FormatError` if it is missing."""
    module, hint = _LIBRARIES[codec]
    try:
        return import_module(module)
    except ImportError as error:
        raise FormatError(codec, error, f"a Python with {codec}", hint=hint) from error


def zstd() -> Any:
    """Return the module ``compression.zstd`` of Python 3.14, or its backport. Raises `FormatError` if it is missing."""
    return load("zstd")


def deflate(level: int) -> Any:
    """Return the module that compresses gzip at ``level``: isal's zlib, or that of the standard library.

    isal is fifteen times as fast and is used for `ISAL_LEVELS` if it is installed with its compiled core. Its other
    levels are not used, because at level 3 its bytes depend on the generation of the processor.
    """
    if level in ISAL_LEVELS:
        try:
            from isal import isal_zlib
        except ImportError:
            return zlib
        return isal_zlib
    return zlib


def crc32() -> Any:
    """Return the fastest available function that computes a CRC-32 in steps, with the signature of `zlib.crc32`."""
    return deflate(ISAL_LEVELS[0]).crc32


def describe_deflate(level: int) -> str:
    """Return the name, version and processor class of the library for gzip ``level``; equal texts mean equal bytes."""
    import platform

    if deflate(level) is zlib:
        # Some systems, and the build for s390x, patch zlib without changing its version.
        return f"zlib {zlib.ZLIB_RUNTIME_VERSION} {sys.platform} {_normalise_machine(platform.machine())}"
    import isal

    return (
        f"isal {isal.__version__} isa-l {isal.ISAL_VERSION} {classify_processor(platform.machine(), _read_cpuinfo())}"
    )


def describe_zstd() -> str:
    """Return the name and version of the zstd library, whose bytes do not depend on the processor."""
    return f"libzstd {zstd().zstd_version}"


def classify_processor(machine: str, cpuinfo: str | None) -> str:
    """Return the properties of the processor that isal's bytes depend on.

    These are the architecture and, for x86-64, whether it has SSE 4.2, because isal uses its CRC instruction for
    hashing.

    Args:
        machine: The architecture, as `platform.machine` returns it.
        cpuinfo: The contents of Linux's ``/proc/cpuinfo``; None if that file does not exist, so SSE 4.2 is unknown.
    """
    architecture = _normalise_machine(machine)
    if architecture != _X86:
        return architecture
    flags = next((line.split() for line in (cpuinfo or "").splitlines() if line.startswith("flags")), None)
    if flags is None:
        return f"{architecture} sse-unknown"
    return f"{architecture} sse4.2" if "sse4_2" in flags else f"{architecture} no-sse4.2"


def _normalise_machine(name: str) -> str:
    return _X86 if name.lower() in {"x86_64", "amd64"} else name.lower() or "unknown"


def _read_cpuinfo() -> str | None:
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return None
