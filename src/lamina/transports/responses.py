"""Interpret the response of a web server: its status, its redirects and its content.

Each status has its meaning from RFC 9110, as Nix interprets it (Nix source, filetransfer.cc). Content that is shorter
than the length that the server announced raises `TransientError`.
"""

from __future__ import annotations

import contextlib
import email.utils
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urljoin

from urllib3 import BaseHTTPResponse

from lamina.compression.decoders import decode_pieces
from lamina.errors import FormatError, InvalidArgument, Unavailable, error_context
from lamina.messages.redaction import short_repr
from lamina.transports.connections import credentials_error, is_private_peer, translate_errors
from lamina.transports.retry import RetryPolicy, TransientError
from lamina.transports.urls import Origin, redact_url, strip_credentials

PIECE = 1 << 18
REDIRECTS = {301, 302, 303, 307, 308}
METHOD_UNSUPPORTED = {405, 501}
_ABSENT = {404, 410}
_PERMANENT = {501, 505, 511}
_TRANSIENT = {408, 425, 429}
_MAX_DRAINED = 1 << 16
# Maps names of content codings (RFC 9110, 8.4.1) to names of decoders.
_CODINGS = {"gzip": "gzip", "x-gzip": "gzip", "br": "br", "zstd": "zstd"}
_MAX_CODINGS = 2


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request. ``headers`` and ``subject`` stay the same when a redirect is followed."""

    method: str
    url: str
    headers: dict[str, str]
    subject: str
    """The name of the file in messages."""
    body: bytes = field(default=b"", repr=False)


class Response:
    """A response whose status and headers have been received; its content is read from the connection."""

    def __init__(self, response: BaseHTTPResponse, request: Request, policy: RetryPolicy) -> None:
        self._response = response
        self._request = request
        self._policy = policy
        self._is_consumed = False
        self.status: int = response.status

    def header(self, name: str) -> str:
        """Return the value of the header ``name``, or ``""`` if it is absent."""
        return str(self._response.headers.get(name, "")).strip()

    @property
    def is_absent(self) -> bool:
        """Whether the status says that the file does not exist.

        For an absent file, a bucket whose listing is forbidden responds with 403, and so do servers in front of such a
        bucket (Nix source, HttpBinaryCacheStore::fileExists). A 403 that asks for credentials has the header
        ``WWW-Authenticate`` (RFC 9110, 11.6.1) and does not count as absent.
        """
        return self.status in _ABSENT or (self.status == 403 and not self.header("WWW-Authenticate"))

    @property
    def is_transient(self) -> bool:
        """Whether the status says that the same request may succeed later."""
        return self.status in _TRANSIENT or (self.status >= 500 and self.status not in _PERMANENT)

    @property
    def is_private(self) -> bool:
        """Whether the server has a private address; False behind a proxy, where the address is unknown."""
        return is_private_peer(self._response)

    @property
    def subject(self) -> str:
        """The name of the file in messages."""
        return self._request.subject

    @property
    def codings(self) -> list[str]:
        """The content codings, in the order in which they have to be decoded."""
        names = [name.strip().lower() for name in self.header("Content-Encoding").split(",")]
        return [name for name in reversed(names) if name not in ("", "identity")]

    @property
    def length(self) -> int | None:
        """The number of bytes that are sent as content, or None if it is unknown."""
        text = self.header("Content-Length")
        if not re.fullmatch("[0-9]{1,18}", text) or self.header("Transfer-Encoding"):
            return None
        return int(text)

    def require_length(self) -> int:
        """Return the file's size in bytes. Raises `Unavailable` if the response does not state it."""
        if self.length is None or self.codings:
            raise Unavailable(self._request.subject, "no Content-Length", "one")
        return self.length

    def raise_for_status(self) -> None:
        """Raise the error that the status represents, if any.

        The following are not errors here, because callers handle them: the file itself, its absence, the result of a
        range request, and a HEAD request that the server does not support.

        Raises:
            TransientError: the request may succeed later.
            Unavailable: any other status.

        """
        subject = self._request.subject
        status = self.status
        if status == 200 or self.is_absent or (status in (206, 416) and "Range" in self._request.headers):
            return
        if status in METHOD_UNSUPPORTED and self._request.method == "HEAD":
            return
        if self.is_transient:
            retry_after = self.retry_after
            self.drain()
            raise TransientError(f"HTTP {status}", retry_after)
        if status in (401, 403, 407):
            raise credentials_error(subject, status)
        raise Unavailable(subject, f"HTTP {status}", "the file")

    def resolve_redirect(self, url: str) -> str:
        """Return the URL that the redirect from ``url`` leads to, without credentials.

        Raises `Unavailable` if it is not an http or https URL, or leads from https to http.
        """
        location = self.header("Location")
        with contextlib.suppress(UnicodeError):  # http.client decodes headers as Latin-1, but servers send UTF-8
            location = location.encode("latin-1").decode()
        try:
            target = strip_credentials(urljoin(url, location))
            origin = Origin.of(target)
        except (InvalidArgument, ValueError):  # urljoin raises ValueError; its text may repeat a part of a password
            target, origin = "", None
        if not location or origin is None:
            got = f"a redirect to {redact_url(location)}" if location else "a redirect to nowhere"
            raise Unavailable(self._request.subject, got, "http:// or https://")
        if origin.scheme == "http" and Origin.of(url).scheme == "https":
            raise Unavailable(
                self._request.subject, f"a redirect to {redact_url(target)}", "one that stays with https://"
            )
        return target

    def content(self) -> Iterator[bytes]:
        """Return the decoded content in pieces.

        Raises:
            TransientError: the connection was cut.
            FormatError: a content coding is broken.
            Unavailable: a content coding is not supported.

        """
        pieces = self._stream_raw()
        codings = self.codings
        if not codings:
            return pieces
        unknown = [name for name in codings if name not in _CODINGS]
        if unknown or len(codings) > _MAX_CODINGS:
            got = f"Content-Encoding {short_repr(', '.join(reversed(codings))[:60])}"
            raise Unavailable(self._request.subject, got, f"one of {', '.join(_CODINGS)}")
        for name in codings:
            pieces = decode_pieces(pieces, _CODINGS[name])
        return self._with_subject(pieces)

    def drain(self) -> None:
        """Read and discard the rest of the content, if it is short, so that the connection can be used again."""
        if self._is_consumed or (self._request.method != "HEAD" and (self.length or 0) > _MAX_DRAINED):
            return
        size = 0
        with contextlib.suppress(TransientError, Unavailable):
            for piece in self._stream_raw():
                size += len(piece)
                if size > _MAX_DRAINED:
                    break

    def close(self) -> None:
        """Return the connection to the pool if all content has been read, otherwise close it."""
        if self._is_consumed:
            self._response.release_conn()
        else:
            self._response.close()

    def _stream_raw(self) -> Iterator[bytes]:
        response = self._response
        # Bytes after the announced length do not belong to this response.
        remaining = self.length
        if self._request.method == "HEAD":
            remaining = 0
        while True:
            with translate_errors(self._request.subject, self._policy):
                piece = response.read1(PIECE if remaining is None else max(min(PIECE, remaining), 1))
            if not piece:
                break
            if remaining is not None:
                remaining -= len(piece)
            yield piece
            if remaining == 0:
                break
        self._is_consumed = True

    def _with_subject(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        with error_context(self._request.subject, FormatError):
            yield from pieces

    @property
    def retry_after(self) -> float:
        """The number of seconds that the server asks to wait (RFC 9110, 10.2.3).

        If the server gives a date, it is compared with the response's own date, so that only the server's clock counts.
        """
        text = self.header("Retry-After")
        if re.fullmatch("[0-9]{1,9}", text):
            return float(text)
        try:
            retry_at, now = map(email.utils.parsedate_to_datetime, (text, self.header("Date")))
            return max((retry_at - now).total_seconds(), 0.0)
        except (TypeError, ValueError, OverflowError):
            return 0.0
