"""Durations as Go, Dockerfiles and Compose files write them: ``30s``, ``1m30s``, ``500ms`` (Go: time.ParseDuration)."""

from __future__ import annotations

import re
from fractions import Fraction

_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART = re.compile(r"([0-9]{1,18}(?:\.[0-9]{0,18})?)(ns|us|µs|ms|s|m|h)")
_MAX_LENGTH = 100


def parse_duration(text: str) -> int | None:
    """Return the nanoseconds of a duration that is not negative, or None if ``text`` is not one.

    >>> parse_duration("1m30s")
    90000000000
    """
    if text == "0":
        return 0
    if not text or len(text) > _MAX_LENGTH or not re.fullmatch(f"(?:{_PART.pattern})+", text):
        return None
    return int(sum(Fraction(number) * _NANOSECONDS[unit] for number, unit in _PART.findall(text)))
