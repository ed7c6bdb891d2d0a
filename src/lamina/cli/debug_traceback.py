"""The traceback that ``--debug`` prints.

Invariant: the traceback contains no value that the user gave. The message of an exception from outside of lamina may
repeat such a value, for example a part of a password, so only the type of such an exception is shown, and for an
`OSError` the system's description of its errno.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator

from lamina.errors import Error


def format_traceback(error: BaseException) -> Iterator[str]:
    """Yield the lines of the traceback of ``error``, after those of the exceptions that caused it."""
    for number, link in enumerate(reversed(_collect_chain(error))):
        if number:
            yield "which led to:"
        yield "Traceback (most recent call last):"
        for frame in traceback.format_tb(link.__traceback__):
            yield from frame.rstrip("\n").split("\n")
        kind = type(link)
        yield f"{kind.__module__}.{kind.__qualname__}{_format_message(link)}"


def _collect_chain(error: BaseException) -> list[BaseException]:
    """Return ``error`` and the exceptions that caused it, newest first."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return chain


def _format_message(error: BaseException) -> str:
    text = str(error) if isinstance(error, Error) else isinstance(error, OSError) and error.strerror
    return f": {text}" if text else ""
