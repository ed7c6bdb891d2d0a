"""The headers with which a client asks for a part of a blob, or only for a document that it lacks (RFC 9110)."""

from __future__ import annotations

import re

# RFC 9110, 14.1.2: "bytes=FIRST-LAST", "bytes=FIRST-" and "bytes=-LENGTH".
_RANGE = re.compile(r"bytes=[ \t]*(?:([0-9]{1,20})-([0-9]{0,20})|-([0-9]{1,20}))[ \t]*", re.IGNORECASE)
_TAG = re.compile(r'(?:W/)?("[^"]*")')


class UnsatisfiableRange(Exception):
    """A range that has no byte of the content."""


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """Return the start and the end, not included, of the one range that a ``Range`` header asks for.

    None means all of the content: a header that is invalid, or asks for several ranges, is ignored (RFC 9110, 14.2).

    Args:
        header: the value of the header; empty if there is none.
        size: the number of bytes of the content.

    Raises:
        UnsatisfiableRange: no byte of the content is in the range.

    """
    found = _RANGE.fullmatch(header)
    if not found:
        return None
    first, last, length = found.groups()
    if length is not None:
        start, end = max(size - int(length), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:  # which makes the header invalid
            return None
    if start >= end:
        raise UnsatisfiableRange
    return start, end


def matches_tag(header: str, entity_tag: str) -> bool:
    """Return whether an ``If-None-Match`` header names the entity tag of what it asks for (RFC 9110, 13.1.2)."""
    return header.strip() == "*" or entity_tag in _TAG.findall(header)
