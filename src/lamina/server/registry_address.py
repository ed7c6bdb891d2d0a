"""The address of a registry, as the client of a request knows it."""

from __future__ import annotations

from lamina.core.names import parse_repository
from lamina.errors import InvalidArgument
from lamina.formats.image_names import split_host
from lamina.messages.redaction import short_repr
from lamina.server.error_documents import RequestRefused
from lamina.server.http_messages import ServerRequest

_HTTP, _HTTPS = "http", "https"
_PORTS = {_HTTP: 80, _HTTPS: 443}


def parse_registry_address(request: ServerRequest) -> str:
    """Return the address of this registry in names of images, as the client of a request knows it.

    It is the ``Host`` header. A host without a dot gets its port, because engines take it for a part of a name on
    Docker Hub otherwise (distribution/reference, splitDockerDomain).

    Raises:
        RequestRefused: there is no such header, or it is not an address (RFC 9112, 3.2).

    """
    header = request.headers.get("host", "")
    host = header.lower()
    if split_host(f"{host}/app")[0] != host:
        host = f"{host}:{_PORTS[request.scheme]}"
    try:
        parse_repository(f"{host}/app")
    except InvalidArgument:
        host = ""
    if not host or "/" in host:
        raise RequestRefused(400, "UNSUPPORTED", f"the Host header is {short_repr(header)}, and not HOST:PORT")
    return host


def make_url(request: ServerRequest, path: str) -> str:
    """Return the URL of ``path`` on this server, as the client of a request reaches it.

    A proxy that ends TLS says so in ``X-Forwarded-Proto``. A client could only fool itself with this header.

    Raises:
        RequestRefused: the ``Host`` header is invalid.

    """
    is_encrypted = _HTTPS in (request.scheme, request.headers.get("x-forwarded-proto", ""))
    return f"{_HTTPS if is_encrypted else _HTTP}://{parse_registry_address(request)}{path}"
