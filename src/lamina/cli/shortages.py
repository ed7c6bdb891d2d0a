"""Too little memory, too few threads, processes or open files: how such an error is recognised and reported.

Invariant: what the system refuses to give is never reported as a bug, nor as a fault of the input, wherever it was
refused and whichever library raised it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from lamina.errors import Error, OutputError
from lamina.messages.shortages import find_errno

_MEMORY = OutputError(
    "memory: got too little, expected more",
    hint="raise the limit (ulimit -v, or the container's); --jobs 1 needs less",
)
_THREADS = OutputError(
    "threads and processes: got no more of them from the system, expected enough memory and limits that allow them",
    hint="raise the limits (ulimit -u, ulimit -v, or a container's of pids and of memory); --jobs 1 needs fewer",
)
_FILES = OutputError(
    "open files: got as many as are allowed, expected more",
    hint="raise the limit (ulimit -n); --jobs 1 needs fewer",
)
_SHORTAGE_BY_ERRNO = {
    errno.ENOMEM: _MEMORY,
    errno.EAGAIN: _THREADS,  # what fork says
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
}
_MAX_SEARCHED_LENGTH = 1000


def find_shortage(error: BaseException) -> OutputError | None:
    """Return what was too scarce, where ``error`` or an error that it was raised from says so."""
    return next((found for cause in _causes(error) if (found := _shortage_error(cause))), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """``error`` and those that it was raised from."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__


def _shortage_error(error: BaseException) -> OutputError | None:
    match error:
        case MemoryError():
            return _MEMORY
        case OSError():
            return _SHORTAGE_BY_ERRNO.get(error.errno or 0)
        case Error():  # its words are ours, and the error that it was raised from is looked at too
            return None
    return _SHORTAGE_BY_ERRNO.get(find_errno(str(error)[:_MAX_SEARCHED_LENGTH]) or 0)
