"""A binary cache on the web, for reading.

Invariant: credentials go to the host they are for and to no other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from lamina.errors import NotFound, Unavailable
from lamina.transports.connections import Connections
from lamina.transports.downloads import Downloader
from lamina.transports.environment import basic_auth, read_credentials
from lamina.transports.responses import REDIRECTS, Request, Response
from lamina.transports.retry import DEFAULT_POLICY, RetryPolicy
from lamina.transports.urls import CacheUrl, Origin
from lamina.version import __version__

_MAX_REDIRECTS = 10


class HttpTransport:
    """Files below an http or https URL. Raises `InvalidArgument` for a URL or proxy that cannot be."""

    def __init__(self, url: str, policy: RetryPolicy = DEFAULT_POLICY) -> None:
        self._url = CacheUrl.parse(url)
        self._policy = policy
        self._connections = Connections(policy)
        self._downloader = Downloader(self._open, policy)
        credentials = self._url.credentials or read_credentials(self._url.origin.host)
        self._authorization = basic_auth(*credentials) if credentials is not None else ""

    @property
    def label(self) -> str:
        """The URL without credentials."""
        return self._url.label

    def read(self, name: str, limit: int) -> bytes | None:
        """The whole file, None where it is absent; raises as `Downloader.read` does."""
        return self._downloader.read(self._make_request("GET", name, "zstd, br, gzip"), limit)

    def stream(self, name: str, limit: int) -> Iterator[bytes]:
        """The file in pieces of at most 256 KiB; raises as `Downloader.stream` does.

        A ``name`` with a slash in front is looked for below the server's root and then below the cache, because Nix
        has read it both ways.
        """
        request = self._make_request("GET", name, "identity")
        other = self._url.resolve_below(name)
        if name.startswith("/") and other != request.url:
            try:
                yield from self._downloader.stream(request, limit)
            except NotFound:
                request = replace(request, url=other)
            else:
                return
        yield from self._downloader.stream(request, limit)

    def size(self, name: str) -> int | None:
        """How many bytes the file has, None where it is absent; raises `Unavailable`, also where nobody says."""
        return self._downloader.size(self._make_request("HEAD", name, "identity"))

    def close(self) -> None:
        """Closes all connections."""
        self._connections.close()

    def _make_request(self, method: str, name: str, codings: str) -> Request:
        return Request(method, self._url.resolve(name), {"Accept-Encoding": codings}, self._url.redact(name))

    @contextlib.contextmanager
    def _open(self, request: Request) -> Iterator[Response]:
        """The answer to ``request``, wherever that leads; what is left of it when the block ends is dropped."""
        url = request.url
        for _ in range(_MAX_REDIRECTS + 1):
            headers = request.headers | {"User-Agent": f"lamina/{__version__}"}
            if self._authorization and Origin.of(url) == self._url.origin:
                headers["Authorization"] = self._authorization
            response = Response(
                self._connections.send(request.method, url, headers, request.subject), request, self._policy
            )
            with contextlib.closing(response):
                if response.status not in REDIRECTS:
                    response.raise_for_status()
                    yield response
                    response.drain()
                    return
                url = response.redirect_target(url)
                response.drain()
        raise Unavailable(f"{request.subject}: got more than {_MAX_REDIRECTS} redirects, expected the file")
