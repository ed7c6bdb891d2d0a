"""The traceback that ``--debug`` prints.

Invariant: it holds no value of the user's. An exception that is not lamina's may repeat one in its message, such as a
part of a password, so of those only the type is shown.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator

from lamina.errors import Error


def format_traceback(error: BaseException) -> Iterator[str]:
    """Yield the lines of the traceback of ``error``, after those of the exceptions that it came from."""
    for number, link in enumerate(reversed(_chain(error))):
        if number:
            yield "which led to:"
        yield "Traceback (most recent call last):"
        for frame in traceback.format_tb(link.__traceback__):
            yield from frame.rstrip("\n").split("\n")
        kind = type(link)
        yield f"{kind.__module__}.{kind.__qualname__}{_message(link)}"


def _chain(error: BaseException) -> list[BaseException]:
    """Return ``error`` and what it came from, the newest first."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return chain


def _message(error: BaseException) -> str:
    if isinstance(error, Error):
        return f": {error}"
    if isinstance(error, OSError) and error.strerror:
        return f": {error.strerror}"
    return ""
