"""The page for people at ``/``, as an answer to a browser."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from lamina.server.http_messages import ServerRequest, ServerResponse
from lamina.server.ranges import matches_tag
from lamina.server.registry_address import parse_registry_address
from lamina.server.respond import check_method

PAGE_PATH = "/"


@dataclass(frozen=True, slots=True)
class WebPage:
    """A page.

    Attributes:
        document: its HTML in UTF-8.
        policy: what the browser may load and run (W3C, Content Security Policy 3).
    """

    document: bytes
    policy: str


MakePage = Callable[[str], WebPage]
"""Returns the page for clients that reach the server under this address, ``HOST[:PORT]``."""


def respond_with_page(request: ServerRequest, make_page: MakePage) -> ServerResponse:
    """Return the answer to a request for the page.

    Raises:
        RequestRefused: the method is not allowed, or the ``Host`` header is invalid.

    """
    check_method(request)
    page = make_page(parse_registry_address(request))
    tag = f'"{hashlib.sha256(page.document).hexdigest()}"'
    # A browser asks each time, because an image may have become ready.
    headers = (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", f"{page.policy}; frame-ancestors 'none'"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cache-Control", "private, no-cache"),
        ("ETag", tag),
    )
    if matches_tag(request.headers.get("if-none-match", ""), tag):
        return ServerResponse(304, headers)
    body = () if request.method == "HEAD" else (page.document,)
    return ServerResponse(200, (*headers, ("Content-Length", str(len(page.document)))), body)
