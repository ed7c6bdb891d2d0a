"""A binary cache on the web, for reading.

Invariant: credentials go to the host they are for and to no other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from lamina.errors import NotFound, Unavailable
from lamina.transports.connections import Connections
from lamina.transports.downloads import Downloads
from lamina.transports.environment import basic, credentials_for
from lamina.transports.responses import REDIRECTS, Answer, Request
from lamina.transports.retry import PATIENT, Patience
from lamina.transports.urls import CacheUrl, Origin
from lamina.version import __version__

_MOST_REDIRECTS = 10


class HttpTransport:
    """Files below an http or https URL. Raises `InvalidName` for a URL or proxy that cannot be."""

    def __init__(self, url: str, patience: Patience = PATIENT) -> None:
        self._url = CacheUrl.parse(url)
        self._patience = patience
        self._connections = Connections(patience)
        self._downloads = Downloads(self._answer, patience)
        credentials = self._url.credentials or credentials_for(self._url.origin.host)
        self._authorization = basic(*credentials) if credentials is not None else ""

    @property
    def where(self) -> str:
        """The URL without credentials."""
        return self._url.where

    def read(self, name: str, limit: int) -> bytes | None:
        """The whole file, None where it is absent; raises as `Downloads.read` does."""
        return self._downloads.read(self._request("GET", name, "zstd, br, gzip"), limit)

    def stream(self, name: str, limit: int) -> Iterator[bytes]:
        """The file in pieces of at most 256 KiB; raises as `Downloads.stream` does.

        A ``name`` with a slash in front is looked for below the server's root and then below the cache, because Nix
        has read it both ways.
        """
        request = self._request("GET", name, "identity")
        other = self._url.below_cache(name)
        if name.startswith("/") and other != request.url:
            try:
                yield from self._downloads.stream(request, limit)
            except NotFound:
                request = replace(request, url=other)
            else:
                return
        yield from self._downloads.stream(request, limit)

    def size(self, name: str) -> int | None:
        """How many bytes the file has, None where it is absent; raises `Unavailable`, also where nobody says."""
        return self._downloads.size(self._request("HEAD", name, "identity"))

    def close(self) -> None:
        """Closes all connections."""
        self._connections.close()

    def _request(self, method: str, name: str, codings: str) -> Request:
        return Request(method, self._url.at(name), {"Accept-Encoding": codings}, self._url.shown(name))

    @contextlib.contextmanager
    def _answer(self, request: Request) -> Iterator[Answer]:
        """The answer to ``request``, wherever that leads; what is left of it when the block ends is dropped."""
        url = request.url
        for _ in range(_MOST_REDIRECTS + 1):
            headers = request.headers | {"User-Agent": f"lamina/{__version__}"}
            if self._authorization and Origin.of(url) == self._url.origin:
                headers["Authorization"] = self._authorization
            answer = Answer(
                self._connections.send(request.method, url, headers, request.subject), request, self._patience
            )
            with contextlib.closing(answer):
                if answer.status not in REDIRECTS:
                    answer.check()
                    yield answer
                    answer.drain()
                    return
                url = answer.target(url)
                answer.drain()
        raise Unavailable(f"{request.subject}: got more than {_MOST_REDIRECTS} redirects, expected the file")
