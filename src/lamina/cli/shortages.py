"""Recognise errors that mean too little memory or too few threads, processes or open files.

Invariant: a resource that the system refuses is never reported as a bug in lamina or as a fault of the input, wherever
it is refused and whichever library raises the error.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from functools import partial

from lamina.errors import Error, OutputError
from lamina.messages.shortages import find_errno

_MEMORY = partial(
    OutputError,
    "memory",
    got="too little",
    expected="more",
    hint="raise the limit (ulimit -v, or the container's); commands with --jobs need less with --jobs 1",
)
_THREADS = partial(
    OutputError,
    "threads and processes",
    got="no more of them from the system",
    expected="enough memory and limits that allow them",
    hint="raise the limits (ulimit -u, ulimit -v, or a container's of pids and of memory); commands with --jobs need "
    "fewer with --jobs 1",
)
_FILES = partial(
    OutputError,
    "open files",
    got="as many as are allowed",
    expected="more",
    hint="raise the limit (ulimit -n); commands with --jobs need fewer with --jobs 1",
)
_SHORTAGE_BY_ERRNO = {
    errno.ENOMEM: _MEMORY,
    errno.EAGAIN: _THREADS,  # from fork(2)
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
}
_MAX_SEARCHED_LENGTH = 1000


def find_shortage(error: BaseException) -> OutputError | None:
    """Return the error to report if ``error``, or an error that it was raised from, means a shortage."""
    return next((make() for cause in _iterate_causes(error) if (make := _classify(cause))), None)


def _iterate_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and the errors that it was raised from, newest first."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__


def _classify(error: BaseException) -> Callable[[], OutputError] | None:
    match error:
        case MemoryError():
            return _MEMORY
        case OSError():
            return _SHORTAGE_BY_ERRNO.get(error.errno or 0)
        case Error():  # lamina's own message says nothing about it; the cause of this error is classified separately
            return None
    return _SHORTAGE_BY_ERRNO.get(find_errno(str(error)[:_MAX_SEARCHED_LENGTH]) or 0)
