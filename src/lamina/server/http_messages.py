"""Requests and responses of HTTP, as values that no network library has to know."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lamina.errors import Unavailable

Headers = tuple[tuple[str, str], ...]
"""Names and values, in the order in which they are sent."""


@dataclass(frozen=True, slots=True)
class FilePart:
    """A part of a file, which a server may send without reading it. ``bytes`` reads it.

    Attributes:
        fd: the descriptor of the file, which is open until the next piece of the body is asked for.
        offset: the first byte.
        size: the number of bytes.
    """

    fd: int
    offset: int
    size: int

    def fileno(self) -> int:
        """Return the descriptor, as files do."""
        return self.fd

    def __len__(self) -> int:
        return self.size

    def __bytes__(self) -> bytes:
        """Read the part. Raises `OSError`, and `Unavailable` if the file is too short."""
        pieces, start, end = [], self.offset, self.offset + self.size
        while start < end:
            piece = os.pread(self.fd, end - start, start)
            if not piece:
                raise Unavailable("file", f"{start} bytes", str(end))
            pieces.append(piece)
            start += len(piece)
        return b"".join(pieces)

    def split(self, size: int) -> Iterator[FilePart]:
        """Yield parts of at most ``size`` bytes."""
        for offset in range(0, self.size, size):
            yield FilePart(self.fd, self.offset + offset, min(size, self.size - offset))


Piece = bytes | FilePart
"""A piece of a body. An empty one says that the next bytes are not there yet."""


class Content(Protocol):
    """Bytes of a known length, any part of which can be read."""

    @property
    def size(self) -> int:
        """The number of bytes."""

    def read(self, start: int, end: int) -> Iterator[Piece]:
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

    def read(self, start: int, end: int) -> Iterator[Piece]:
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
    body: Iterable[Piece] = ()
    problem: str = ""
