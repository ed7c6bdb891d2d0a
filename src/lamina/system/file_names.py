"""Check the names of files that callers pass."""

from __future__ import annotations

import os
from typing import TypeAlias

from lamina.errors import InvalidArgument
from lamina.messages.redaction import short_repr

FileName: TypeAlias = str | os.PathLike[str]


def parse_file_name(argument: str, value: FileName, expected: str = "the name of a file", hint: str = "") -> str:
    """Return the file name ``value`` as a string.

    Raises `InvalidArgument` for anything else, with the name of the argument, what was ``expected``, and the hint.
    """
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if isinstance(text, str):
        return text
    raise InvalidArgument(argument, short_repr(value), expected, hint=hint)
