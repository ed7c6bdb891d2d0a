"""One answer of a web server: what its status stands for, where it leads, and its content.

Invariant: content that ends ends where the server said it would, or it ends in `TransientError`.

RFC 9110; which status means what is as in Nix (Nix source, filetransfer.cc).
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
from lamina.errors import FormatError, InvalidArgument, Unavailable
from lamina.messages.redaction import short_repr
from lamina.transports.connections import credentials_error, translate_errors
from lamina.transports.retry import RetryPolicy, TransientError
from lamina.transports.urls import Origin, redact_url, strip_credentials

PIECE = 1 << 18
REDIRECTS = {301, 302, 303, 307, 308}
METHOD_UNSUPPORTED = {405, 501}
_ABSENT = {404, 410}
_PERMANENT = {501, 505, 511}
_TRANSIENT = {408, 425, 429}
_MAX_DRAINED = 1 << 16
# Names of codings (RFC 9110, 8.4.1), and Nix's for the same.
_CODINGS = {"gzip": "gzip", "x-gzip": "gzip", "br": "br", "zstd": "zstd"}
_MAX_CODINGS = 2


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, wherever redirects lead."""

    method: str
    url: str
    headers: dict[str, str]
    subject: str
    """What messages call it."""
    body: bytes = field(default=b"", repr=False)


class Response:
    """A status, headers, and content that is yet to come."""

    def __init__(self, response: BaseHTTPResponse, request: Request, policy: RetryPolicy) -> None:
        self._response = response
        self._request = request
        self._policy = policy
        self._is_consumed = False
        self.status = response.status

    def header(self, name: str) -> str:
        """Its value, or ``""``."""
        return str(self._response.headers.get(name, "")).strip()

    @property
    def is_absent(self) -> bool:
        """Whether the server says that there is no such file.

        A bucket that may not be listed says 403, and so do servers in front of one (Nix source,
        HttpBinaryCacheStore::fileExists). A server that wants credentials says so (RFC 9110, 11.6.1).
        """
        return self.status in _ABSENT or (self.status == 403 and not self.header("WWW-Authenticate"))

    @property
    def is_transient(self) -> bool:
        """Whether the status says that it may go well the next time."""
        return self.status in _TRANSIENT or (self.status >= 500 and self.status not in _PERMANENT)

    @property
    def subject(self) -> str:
        """What messages call it."""
        return self._request.subject

    @property
    def codings(self) -> list[str]:
        """What the content was encoded with, the last first."""
        names = [name.strip().lower() for name in self.header("Content-Encoding").split(",")]
        return [name for name in reversed(names) if name not in ("", "identity")]

    @property
    def length(self) -> int | None:
        """How many bytes its content has as it is sent, where that is known."""
        text = self.header("Content-Length")
        if not re.fullmatch("[0-9]{1,18}", text) or self.header("Transfer-Encoding"):
            return None
        return int(text)

    def require_length(self) -> int:
        """How many bytes the file has; raises `Unavailable` where that is not said."""
        if self.length is None or self.codings:
            raise Unavailable(f"{self._request.subject}: got no Content-Length, expected one")
        return self.length

    def raise_for_status(self) -> None:
        """Raises what the status stands for where that is neither the file, its absence, nor for others to judge."""
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
        raise Unavailable(f"{subject}: got HTTP {status}, expected the file")

    def redirect_target(self, url: str) -> str:
        """Where the redirect from ``url`` leads; raises `Unavailable` where nobody should go."""
        location = self.header("Location")
        with contextlib.suppress(UnicodeError):  # headers are read as Latin-1, whatever they are
            location = location.encode("latin-1").decode()
        try:
            redirect_target = strip_credentials(urljoin(url, location))
            origin = Origin.of(redirect_target)
        except (InvalidArgument, ValueError):  # the latter from urljoin, whose text may repeat a part of a password
            redirect_target, origin = "", None
        if not location or origin is None:
            got = f"a redirect to {redact_url(location)}" if location else "a redirect to nowhere"
            raise Unavailable(f"{self._request.subject}: got {got}, expected http:// or https://")
        if origin.scheme == "http" and Origin.of(url).scheme == "https":
            raise Unavailable(
                f"{self._request.subject}: got a redirect to {redact_url(redirect_target)}, "
                "expected one that stays with https://"
            )
        return redirect_target

    def content(self) -> Iterator[bytes]:
        """Its content without codings; raises `TransientError` where it is cut, `FormatError` for a broken coding."""
        pieces = self._raw()
        codings = self.codings
        if not codings:
            return pieces
        unknown = [name for name in codings if name not in _CODINGS]
        if unknown or len(codings) > _MAX_CODINGS:
            got = f"Content-Encoding {short_repr(', '.join(reversed(codings))[:60])}"
            raise Unavailable(f"{self._request.subject}: got {got}, expected one of {', '.join(_CODINGS)}")
        for name in codings:
            pieces = decode_pieces(pieces, _CODINGS[name])
        return self._with_subject(pieces)

    def drain(self) -> None:
        """Reads what little is left, so that the connection can be used again."""
        if self._is_consumed or (self._request.method != "HEAD" and (self.length or 0) > _MAX_DRAINED):
            return
        size = 0
        with contextlib.suppress(TransientError, Unavailable):
            for piece in self._raw():
                size += len(piece)
                if size > _MAX_DRAINED:
                    break

    def close(self) -> None:
        """Gives the connection back where all of the content came, else closes it."""
        if self._is_consumed:
            self._response.release_conn()
        else:
            self._response.close()

    def _raw(self) -> Iterator[bytes]:
        response = self._response
        # More than was announced is not of this answer.
        left = self.length
        if self._request.method == "HEAD":
            left = 0
        while True:
            with translate_errors(self._request.subject, self._policy):
                piece = response.read1(PIECE if left is None else max(min(PIECE, left), 1))
            if not piece:
                break
            if left is not None:
                left -= len(piece)
            yield piece
            if left == 0:
                break
        self._is_consumed = True

    def _with_subject(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from pieces
        except FormatError as error:
            raise FormatError(f"{self._request.subject}: {error}", hint=error.hint) from error

    @property
    def retry_after(self) -> float:
        """How many seconds the server asks to wait (RFC 9110, 10.2.3); its own clock counts, where it says a date."""
        text = self.header("Retry-After")
        if re.fullmatch("[0-9]{1,9}", text):
            return float(text)
        try:
            then, now = map(email.utils.parsedate_to_datetime, (text, self.header("Date")))
            return max((then - now).total_seconds(), 0.0)
        except (TypeError, ValueError, OverflowError):
            return 0.0
