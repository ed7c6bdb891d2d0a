"""Ask for blobs, and fetch them (OCI distribution-spec 1.1, "Pulling blobs").

`lamina.registry.uploads` sends blobs.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import replace

from lamina.core.names import Digest
from lamina.errors import IntegrityError
from lamina.registry.connection import RegistryConnection
from lamina.registry.requests import RegistryRequest, RegistryResponse, registry_errors
from lamina.transports.downloads import Downloader
from lamina.transports.responses import Request, Response

_UNLIMITED = 1 << 62  # the size of the blob is the limit


def find_blob(connection: RegistryConnection, digest: Digest) -> bool:
    """Return whether the repository has the blob with ``digest``. Raises `RegistryError` and `AuthError`."""

    def read(response: RegistryResponse) -> bool:
        if response.status == 404:
            return False
        if response.status != 200:
            raise connection.make_error(response, "the blob or HTTP 404")
        return True

    return connection.perform(_make_request(connection, "HEAD", digest), read)


def read_blob(connection: RegistryConnection, digest: Digest, size: int) -> Iterator[bytes]:
    """Yield the blob with ``digest``, and continue where its connection is cut.

    The blob is known to be right only when the last piece has been taken: use no part of it before.

    Raises:
        IntegrityError: the blob has another size or another digest.
        RegistryError: the repository lacks the blob, or the registry failed.
        AuthError: the registry refuses the credentials, or wants some.

    """
    request = _make_request(connection, "GET", digest)

    @contextlib.contextmanager
    def open_response(part: Request) -> Iterator[Response]:
        ranged = RegistryRequest(part.method, part.url, part.subject, request.scopes, part.headers)
        with connection.open(ranged) as response:
            if response.status not in (200, 404) and not (response.status in (206, 416) and "Range" in part.headers):
                raise connection.make_error(response, "the blob")
            yield response.response

    downloader = Downloader(open_response, connection.policy)
    hasher, received = hashlib.sha256(), 0
    with registry_errors():
        whole = Request("GET", request.url, {}, request.subject)
        for piece in downloader.stream(whole, _UNLIMITED, checked_size=size):
            received += len(piece)
            if received > size:
                raise IntegrityError(request.subject, f"more than {size} bytes", str(size))
            hasher.update(piece)
            yield piece
    if received != size:
        raise IntegrityError(request.subject, f"{received} bytes", str(size))
    if hasher.digest() != digest.raw:
        raise IntegrityError(request.subject, f"the digest {Digest(hasher.digest())}", "the digest that was asked for")


def read_blob_start(connection: RegistryConnection, digest: Digest, size: int) -> bytes:
    """Return the first ``size`` bytes of the blob with ``digest``, or all of a smaller one.

    The bytes are not checked. Of a registry that ignores or refuses ranges, no more is read either. Raises what
    `read_blob` raises for the registry's answer.
    """
    whole = _make_request(connection, "GET", digest)
    request = replace(whole, headers={"Range": f"bytes=0-{size - 1}"})

    def read(response: RegistryResponse) -> bytes | None:
        if response.status == 416:
            return None
        if response.status not in (200, 206):
            raise connection.make_error(response, "the blob")
        start = bytearray()
        for piece in response.response.content():
            start += piece
            if len(start) >= size:
                break
        return bytes(start[:size])

    start = connection.perform(request, read)
    return (connection.perform(whole, read) or b"") if start is None else start


def _make_request(connection: RegistryConnection, method: str, digest: Digest) -> RegistryRequest:
    url = f"/v2/{connection.repository}/blobs/{digest}"
    return RegistryRequest(method, url, f"blob {digest} of {connection.name}", connection.scopes)
