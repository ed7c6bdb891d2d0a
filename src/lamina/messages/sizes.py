"""Format sizes for people in bytes, KiB, MiB, GiB and TiB, which are powers of 1024 (IEC 80000-13).

JSON documents have sizes in bytes instead.
"""

from __future__ import annotations

_UNITS = ("KiB", "MiB", "GiB", "TiB")


def format_size(size: float) -> str:
    """Return a size in bytes as text with a binary unit.

    Args:
        size: the number of bytes.

    Returns:
        A text such as ``12 B``, ``1.5 MiB`` or ``912 MiB``.

    """
    if size < 1024:
        return f"{int(size)} B"
    exponent = 1
    while size >= 1023.5 * 1024**exponent and exponent < len(_UNITS):
        exponent += 1
    value = size / 1024**exponent
    return f"{value:.{1 if value < 99.95 else 0}f} {_UNITS[exponent - 1]}"
