"""Secret keys in files.

Invariant: a key's file is its owner's alone, and is never written over; no error shows what is in one.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from lamina.errors import InvalidArgument, NotFound, OutputError, Unavailable, output_error
from lamina.formats.keys import SecretKey
from lamina.messages.redaction import short_repr

_MAX_BYTES = 4096
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def read_key(file: Path) -> SecretKey:
    """The secret key in ``file``. Raises `NotFound`, `Unavailable`, `InvalidArgument` for what is none."""
    try:
        with file.open("rb") as opened:
            data = opened.read(_MAX_BYTES)
    except (FileNotFoundError, ValueError) as error:
        raise NotFound(f"{file}: got nothing there, expected a secret key") from error
    except OSError as error:
        raise Unavailable(f"{file}: got {error.strerror}, expected to read a secret key") from error
    # Nothing of what is in the file may get into an error, not even as its cause.
    text = data.decode("utf-8", "replace")
    try:
        return SecretKey.parse(text)
    except InvalidArgument as error:
        raise InvalidArgument(f"{file}: {error}") from None


def write_key(key: SecretKey, file: Path) -> None:
    """Writes ``key`` to a new ``file`` that only its owner may read. Raises `OutputError`, also where there is one."""
    try:
        number = os.open(file, _FLAGS, 0o600)
    except FileExistsError as error:
        raise OutputError(f"{file}: got a file there already, expected none: keys are not written over") from error
    except OSError as error:
        raise output_error(str(file), error) from error
    except ValueError as error:
        raise InvalidArgument(f"key file: got {short_repr(str(file))}, expected the name of a file") from error
    try:
        with os.fdopen(number, "wb") as opened:
            opened.write(str(key).encode())
    except OSError as error:
        with contextlib.suppress(OSError):
            file.unlink()
        raise output_error(str(file), error) from error
