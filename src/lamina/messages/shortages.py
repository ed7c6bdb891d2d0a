"""Messages of programs and libraries about a shortage of memory, disk space, open files or processes."""

from __future__ import annotations

import errno

# Python's threads, and programs and libraries in other languages, report a shortage only in words.
_ERRNO_OF_PHRASE = {
    "resource temporarily unavailable": errno.EAGAIN,
    "cannot fork": errno.EAGAIN,
    "can't start new thread": errno.EAGAIN,
    "can't spawn worker thread": errno.EAGAIN,
    "failed to spawn thread": errno.EAGAIN,
    "cannot allocate memory": errno.ENOMEM,
    "failed to map segment": errno.ENOMEM,
    "not enough memory": errno.ENOMEM,
    "out of memory": errno.ENOMEM,
    "insufficient memory": errno.ENOMEM,
    "allocation error": errno.ENOMEM,
    "too many open files": errno.EMFILE,
    "no space left on device": errno.ENOSPC,
    "disk quota exceeded": errno.EDQUOT,
}


def find_errno(text: str) -> int | None:
    """Return the error number of the shortage that a message describes, or None if it describes none."""
    words = text.lower()
    return next((number for phrase, number in _ERRNO_OF_PHRASE.items() if phrase in words), None)
