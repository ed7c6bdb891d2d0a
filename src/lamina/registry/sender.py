"""Send one request to a registry or a token server, and follow its redirects.

Invariants: an ``Authorization`` is sent only to the origin (scheme, host and port) that it is for. A public server
cannot make the client connect to a private address.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from threading import RLock

from lamina.errors import RegistryError
from lamina.formats.registry_references import is_loopback_host
from lamina.registry.requests import RegistryRequest, RegistryResponse, registry_errors
from lamina.transports.connections import Connections, is_private_host
from lamina.transports.responses import REDIRECTS, Request, Response
from lamina.transports.retry import RetryPolicy
from lamina.transports.urls import Origin
from lamina.version import __version__

_MAX_REDIRECTS = 10
# Only these redirects repeat the method and the body (RFC 9110, 15.4).
_SAME_METHOD = {307, 308}
_SAFE = {"GET", "HEAD"}


class RequestSender:
    """Sends requests over pooled connections, one attempt each; safe for many threads."""

    def __init__(self, policy: RetryPolicy) -> None:
        self.policy = policy
        self._connections = Connections(policy)
        self._direct_connections = Connections(policy, is_direct=True)
        self._public: set[Origin] = set()
        self._lock = RLock()

    @contextlib.contextmanager
    def open(
        self, request: RegistryRequest, authorization: str, origin: Origin, named_by: Origin | None = None
    ) -> Iterator[RegistryResponse]:
        """Send ``request``, whose URL is absolute, and open the response for the block.

        Args:
            request: the request.
            authorization: the value of the header ``Authorization``, or ``""``.
            origin: the server that ``authorization`` is for.
            named_by: the server that named the URL, by default ``origin``. If its address is public, the request goes
                to public addresses only.

        Raises:
            TransientError: there was no response; the request may succeed when it is repeated.
            RegistryError: there is no response, a redirect is not allowed, or there are too many.

        """
        url, source, is_public_only = request.url, named_by or origin, False
        for _ in range(_MAX_REDIRECTS + 1):
            is_public_only |= Origin.of(url) != source and source in self._public
            sent_authorization = authorization if Origin.of(url) == origin else ""
            response = self._send(request, url, sent_authorization, is_public_only=is_public_only)
            with contextlib.closing(response):
                self._remember_public(url, response)
                if response.status not in REDIRECTS:
                    yield RegistryResponse(response, url)
                    response.drain()
                    return
                if request.method not in _SAFE and response.status not in _SAME_METHOD:
                    raise RegistryError(request.subject, f"HTTP {response.status} for {request.method}", "no redirect")
                source = Origin.of(url)
                with registry_errors():
                    url = response.resolve_redirect(url)
                response.drain()
        raise RegistryError(request.subject, f"more than {_MAX_REDIRECTS} redirects", "an answer")

    def close(self) -> None:
        """Close all idle connections."""
        self._connections.close()
        self._direct_connections.close()

    def _send(self, request: RegistryRequest, url: str, authorization: str, *, is_public_only: bool) -> Response:
        headers = {"Accept-Encoding": "identity", "User-Agent": f"lamina/{__version__}", **request.headers}
        if authorization:
            headers["Authorization"] = authorization
        if request.body.size:
            headers["Content-Length"] = str(request.body.size)
        # Docker and other programs in Go use no proxy for this machine (net/http, ProxyFromEnvironment).
        is_here = is_loopback_host(Origin.of(url).host)
        connections = self._direct_connections if is_here else self._connections
        with registry_errors():
            sent = connections.send(
                request.method,
                url,
                headers,
                request.subject,
                request.body.open() if request.body.size else b"",
                read_timeout=request.timeout or None,
                is_public_only=is_public_only,
            )
        described = Request(request.method, url, dict(request.headers), request.subject)
        return Response(sent, described, self.policy)

    def _remember_public(self, url: str, response: Response) -> None:
        """Remember that the server has a public address. Behind a proxy, every name counts as one."""
        origin = Origin.of(url)
        if not response.is_private and not is_private_host(origin.host):
            with self._lock:
                self._public.add(origin)
