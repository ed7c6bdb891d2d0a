"""Read a binary cache over HTTP.

Invariant: credentials are sent only to the origin (scheme, host and port) that they belong to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from lamina.errors import NotFound, Unavailable
from lamina.transports.connections import Connections
from lamina.transports.downloads import Downloader
from lamina.transports.environment import format_basic_auth, read_credentials
from lamina.transports.responses import REDIRECTS, Request, Response
from lamina.transports.retry import RetryPolicy
from lamina.transports.urls import CacheUrl, Origin
from lamina.version import __version__

_MAX_REDIRECTS = 10


class HttpTransport:
    """Files below an http or https URL. Raises `InvalidArgument` for an invalid URL."""

    def __init__(self, url: str, policy: RetryPolicy) -> None:
        self._url = CacheUrl.parse(url)
        self._policy = policy
        self._connections = Connections(policy)
        self._downloader = Downloader(self._open, policy)
        credentials = self._url.credentials or read_credentials(self._url.origin.host)
        self._authorization = format_basic_auth(*credentials) if credentials is not None else ""

    @property
    def label(self) -> str:
        """The URL without credentials, for messages."""
        return self._url.label

    def read(self, name: str, limit: int) -> bytes | None:
        """Read the whole file, or return None if it is absent. Raises what `Downloader.read` raises."""
        return self._downloader.read(self._make_request(name, "zstd, br, gzip"), limit)

    def stream(self, name: str, limit: int) -> Iterator[bytes]:
        """Yield the file in pieces of at most 256 KiB. Raises what `Downloader.stream` raises.

        A ``name`` with a leading slash is requested relative to the server's root first and then relative to the cache,
        because versions of Nix differ in how they resolve it.
        """
        request = self._make_request(name, "identity")
        fallback_url = self._url.resolve_below(name)
        if name.startswith("/") and fallback_url != request.url:
            try:
                yield from self._downloader.stream(request, limit)
            except NotFound:
                request = replace(request, url=fallback_url)
            else:
                return
        yield from self._downloader.stream(request, limit)

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    def _make_request(self, name: str, codings: str) -> Request:
        return Request("GET", self._url.resolve(name), {"Accept-Encoding": codings}, self._url.redact(name))

    @contextlib.contextmanager
    def _open(self, request: Request) -> Iterator[Response]:
        """Send ``request``, follow redirects, and open the response for the block; discard its unread content."""
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
                url = response.resolve_redirect(url)
                response.drain()
        raise Unavailable(request.subject, f"more than {_MAX_REDIRECTS} redirects", "the file")
