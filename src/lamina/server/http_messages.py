"""Requests and responses of HTTP, as values that no network library has to know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

Headers = tuple[tuple[str, str], ...]
"""Names and values, in the order in which they are sent."""


class Content(Protocol):
    """Bytes of a known length, any part of which can be read."""

    @property
    def size(self) -> int:
        """The number of bytes."""

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from ``start`` up to ``end``, which is not included.

        Raises `lamina.Error` if they cannot be read, or are not what they should be. The last byte of the content is
        yielded only if all of it is right.
        """


@dataclass(frozen=True, slots=True)
class BytesContent:
    """Content in memory."""

    data: bytes

    @property
    def size(self) -> int:
        """The number of bytes."""
        return len(self.data)

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from ``start`` up to ``end``."""
        yield self.data[start:end]


@dataclass(frozen=True, slots=True)
class ServerRequest:
    """A request.

    Attributes:
        method: such as ``GET``.
        path: the path as the client sent it, percent-encoded and without the query.
        query: what follows the question mark; empty if there is none.
        headers: the values by lower-case names.
        scheme: ``http`` or ``https``.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    scheme: str = "http"


@dataclass(frozen=True, slots=True)
class ServerResponse:
    """The answer to a request.

    Attributes:
        status: the status code.
        headers: the headers, ``Content-Length`` included where HTTP has one.
        body: the pieces of the body, which can be iterated over once; empty for the answer to ``HEAD``.
        problem: why the request was refused; empty if it was not.
    """

    status: int
    headers: Headers = ()
    body: Iterable[bytes] = ()
    problem: str = ""
