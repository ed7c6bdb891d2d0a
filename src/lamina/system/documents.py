"""Read documents that users pass, such as specs, configs and graphs.

At most a limited number of bytes is read, so an endless file, such as a device or a pipe, is an error.
"""

from __future__ import annotations

import os
import stat
from typing import Any

from lamina.errors import FormatError, InputError, Unavailable
from lamina.formats.json_toml import parse_json
from lamina.messages.sizes import format_size

MAX_BYTES = 16 << 20
"""The limit for most documents. Registries and container engines accept less."""


def read_document(
    file: str | os.PathLike[str], subject: str, expected: str, *, limit: int = MAX_BYTES, hint: str = ""
) -> bytes:
    """Read the whole ``file`` and return its bytes.

    Args:
        file: a regular file, or a pipe such as ``<(command)``.
        subject: the start of an error message, usually the name of the file.
        expected: the expected content in an error message.
        limit: the largest size in bytes.
        hint: the hint in the error for a missing or unreadable file.

    Raises:
        InputError: the file is missing, or cannot be read.
        FormatError: the file is longer than ``limit``.

    """
    try:
        with open(file, "rb", buffering=0) as opened:
            data = _read(opened.fileno(), limit + 1)
    except OSError as error:
        raise InputError(subject, error, expected, hint=hint) from error
    except ValueError as error:
        raise InputError(subject, "a NUL in its name", expected, hint=hint) from error
    if len(data) > limit:
        raise FormatError(subject, f"more than {format_size(limit)}", expected)
    return data


def read_json(
    file: str | os.PathLike[str], subject: str, expected: str, *, limit: int = MAX_BYTES, hint: str = ""
) -> Any:
    """Read the JSON in ``file``; arguments and errors are those of `read_document` and `parse_json`."""
    return parse_json(read_document(file, subject, expected, limit=limit, hint=hint), subject, expected)


def check_file(file: str | os.PathLike[str], subject: str, expected: str, *, limit: int = MAX_BYTES) -> None:
    """Check ``file`` before a library reads the whole file, which would never end for a device or a pipe.

    Raises:
        OSError: the file does not exist, or it cannot be examined.
        Unavailable: it is neither a regular file of at most ``limit`` bytes nor a folder.

    """
    status = os.stat(file)
    if stat.S_ISREG(status.st_mode) and status.st_size > limit:
        raise Unavailable(subject, f"more than {format_size(limit)}", expected)
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise Unavailable(subject, "a device or pipe", expected)


def _read(fd: int, limit: int) -> bytes:
    """Read at most ``limit`` bytes; a pipe delivers them in pieces."""
    pieces = []
    while limit and (piece := os.read(fd, min(limit, 1 << 20))):
        pieces.append(piece)
        limit -= len(piece)
    return b"".join(pieces)
