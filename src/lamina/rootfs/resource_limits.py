"""Recognise a shortage that ended a session: temporary space, open files, memory or processes."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from lamina.errors import OutputError
from lamina.messages.shortages import find_errno

# lamina and each program of a session keep about fifteen files open.
_MIN_DESCRIPTORS = 32
# Larger than the space that a full file system may still have for small files.
_PROBE_SIZE = 1 << 16
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_HINTS = {
    errno.ENOSPC: "name another folder with TMPDIR",
    errno.EDQUOT: "name another folder with TMPDIR",
    errno.EMFILE: "allow more open files with ulimit -n",
    errno.ENFILE: "allow more open files with sysctl fs.file-max",
    errno.ENOMEM: "allow more memory",
    errno.EAGAIN: "allow more processes with ulimit -u, or in the container's settings",
}


def check_descriptors() -> None:
    """Raise `OutputError` if this process may not open as many files as a session needs."""
    with contextlib.suppress(ImportError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if 0 <= limit < _MIN_DESCRIPTORS:
            expected = f"at least {_MIN_DESCRIPTORS} to run scripts"
            hint = _HINTS[errno.EMFILE]
            raise OutputError("open files", f"a limit of {limit}", expected, hint=hint)


def find_hint(number: int | None) -> str:
    """Return the hint for the shortage with the errno ``number``, or an empty text if it is not a shortage."""
    return _HINTS.get(number or 0, "")


def make_shortage_error(label: str, number: object) -> OutputError | None:
    """Return the error for the script ``label`` that ended with the errno ``number``, or None if it is no shortage."""
    if not isinstance(number, int) or number not in _HINTS:
        return None
    return OutputError(label, os.strerror(number), "enough resources to run them", hint=_HINTS[number])


def probe_write(folder: Path) -> int | None:
    """Try to write a file to ``folder``; return the errno, or None on success."""
    file = folder / "room"
    try:
        file.write_bytes(bytes(_PROBE_SIZE))
    except OSError as error:
        return error.errno
    finally:
        with contextlib.suppress(OSError):
            file.unlink()
    return None


def find_failure_hint(folder: Path, output: str) -> str:
    """Return a hint for a failed script: the temporary ``folder`` is full, or its ``output`` names a shortage."""
    if probe_write(folder) in _DISK_FULL:
        return f"{folder.parent} is full: {_HINTS[errno.ENOSPC]}"
    number = find_errno(output)
    if number is None or number in _DISK_FULL:  # another folder is full, and lamina cannot know which one
        return ""
    return f"the output names a shortage, {os.strerror(number)}: {_HINTS[number]}"
