"""Secret signing keys in files.

Invariant: only the owner can read a key file that this module writes, no existing file is overwritten, and no error
message shows a file's content.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from lamina.errors import InvalidArgument, OutputError, output_error
from lamina.formats.keys import SecretKey
from lamina.messages.redaction import short_repr
from lamina.system.documents import read_document

_MAX_BYTES = 4096
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def read_key(file: Path) -> SecretKey:
    """Read the secret key in ``file``.

    Raises:
        InputError: the file is missing, or cannot be read.
        InvalidArgument: the file does not contain a secret key.
    """
    data = read_document(file, str(file), "a secret key", limit=_MAX_BYTES)
    # No part of the file's content may appear in an error, not even in its cause.
    text = data.decode("utf-8", "replace")
    try:
        return SecretKey.parse(text)
    except InvalidArgument as error:
        raise error.add_context(file) from None


def write_key(key: SecretKey, file: Path) -> None:
    """Write ``key`` to a new ``file`` that only its owner can read; raise `OutputError` if the file exists."""
    try:
        fd = os.open(file, _FLAGS, 0o600)
    except FileExistsError as error:
        raise OutputError(file, "an existing file", "no file, because keys are never overwritten") from error
    except OSError as error:
        raise output_error(str(file), error) from error
    except ValueError as error:
        raise InvalidArgument("key file", short_repr(str(file)), "the name of a file") from error
    try:
        with os.fdopen(fd, "wb") as opened:
            opened.write(str(key).encode())
    except OSError as error:
        with contextlib.suppress(OSError):
            file.unlink()
        raise output_error(str(file), error) from error
