"""Requests to a registry and its responses (OCI distribution-spec 1.1, "Endpoints" and "Error Codes")."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urljoin

from lamina.errors import FormatError, InvalidArgument, RegistryError, StoreError
from lamina.formats.json_toml import parse_json
from lamina.messages.redaction import cut
from lamina.transports.responses import Response
from lamina.transports.retry import NETWORK_HINT, TransientError
from lamina.transports.urls import Origin, redact_url, strip_credentials

UNREACHABLE_HINT = "check the network, the proxy and the spelling of the registry's host"
_MAX_ERROR_DOCUMENT = 1 << 14
_MAX_ERROR_LENGTH = 160
_NEXT_PAGE = re.compile(r'<[^>?]*\?([^>#]*)[^>]*>[^,]*;\s*rel="?next"?')


@dataclass(frozen=True, slots=True)
class RequestBody:
    """The body of a request, which is opened again for every attempt.

    Attributes:
        size: its length in bytes.
        open: returns its pieces from the beginning.
    """

    size: int
    open: Callable[[], Iterable[bytes]] = field(repr=False)

    @classmethod
    def of(cls, data: bytes) -> RequestBody:
        """Return a body that is in memory."""
        return cls(len(data), lambda: (data,))


EMPTY_BODY = RequestBody(0, lambda: ())


@dataclass(frozen=True, slots=True)
class RegistryRequest:
    """A request that may have to be sent several times: after a redirect, a login, or a failure.

    Attributes:
        method: the request's method.
        url: an absolute URL, or a path of the registry that begins with a slash.
        subject: what the request is about, in messages.
        scopes: what a token must allow, such as ``repository:me/app:pull,push``.
        headers: more headers.
        body: what is sent.
        timeout: the maximum time in seconds until the response begins; 0 for that of the retry policy.
        may_be_forbidden: whether HTTP 403 is a response like others, and not an error.
    """

    method: str
    url: str
    subject: str
    scopes: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: RequestBody = EMPTY_BODY
    timeout: float = 0.0
    may_be_forbidden: bool = False


class RegistryResponse:
    """A response whose status and headers have been received, and the ``url`` that it came from."""

    def __init__(self, response: Response, url: str) -> None:
        self.response = response
        self.url = url
        self.status: int = response.status
        self._error: list[str] = []

    def header(self, name: str) -> str:
        """Return the value of the header ``name``, or ``""`` if it is absent."""
        return self.response.header(name)

    @property
    def media_type(self) -> str:
        """The media type in the header ``Content-Type``, without parameters; ``""`` if it is absent."""
        return self.header("Content-Type").partition(";")[0].strip()

    @property
    def next_query(self) -> str:
        """The query of the next page in the header ``Link`` (RFC 8288), or ``""`` if this is the last page.

        The rest of the URL is not used, so that a page is always asked of the registry itself.
        """
        found = _NEXT_PAGE.search(self.header("Link"))
        return found[1] if found else ""

    def read(self, limit: int) -> bytes:
        """Return the content. Raises `RegistryError` if it has more than ``limit`` bytes, and `TransientError`."""
        if (self.response.length or 0) > limit:
            raise self._length_error(self.response.length, limit)
        document = bytearray()
        try:
            with registry_errors():
                for piece in self.response.content():
                    document += piece
                    if len(document) > limit:
                        raise self._length_error(f"more than {limit}", limit)
        except FormatError as error:  # a content coding that is broken
            raise error.convert(RegistryError) from None
        if self.response.length is not None and not self.response.codings and len(document) != self.response.length:
            raise TransientError(f"the end of the response at byte {len(document)} of {self.response.length}")
        return bytes(document)

    def resolve_location(self) -> str:
        """Return the absolute URL in the header ``Location``, without credentials.

        A registry behind a server for TLS may not know that it is reached with https. Such a location stays on https.
        Raises `RegistryError` if the URL is missing or invalid.
        """
        location = self.header("Location")
        try:
            target = strip_credentials(urljoin(self.url, location))
            origin, here = Origin.of(target), Origin.of(self.url)
        except (InvalidArgument, ValueError):
            origin = None
        if not location or origin is None:
            got = f"the location {redact_url(location)}" if location else "no Location"
            raise RegistryError(self.response.subject, got, "the URL of an upload")
        if here.scheme == "https" and origin.scheme == "http":
            if origin.host != here.host:
                raise RegistryError(self.response.subject, f"the location {redact_url(target)}", "https://")
            rest = target.partition("://")[2]
            target = f"{self.url.partition('://')[0]}://{self.url.partition('://')[2].partition('/')[0]}/"
            target += rest.partition("/")[2]
        return target

    def describe(self, hide: Callable[[str], str] = str) -> str:
        """Return the status with the first error of the registry's document, whose text is passed through ``hide``."""
        text = hide(self._read_error())
        return f"HTTP {self.status} ({cut(text, _MAX_ERROR_LENGTH)})" if text else f"HTTP {self.status}"

    @property
    def error_code(self) -> str:
        """The code of the first error in the document, such as ``MANIFEST_UNKNOWN``, or ``""``."""
        return self._read_error().partition(":")[0]

    def _read_error(self) -> str:
        """Return ``CODE: message`` of the first error in the document, or ``""``; the document is read once."""
        if not self._error:
            self._error.append(self._parse_error())
        return self._error[0]

    def _parse_error(self) -> str:
        try:
            document = parse_json(self.read(_MAX_ERROR_DOCUMENT), self.response.subject)
        except (FormatError, RegistryError, TransientError):
            return ""
        fields = document if isinstance(document, dict) else {}
        errors = fields.get("errors")
        first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
        # Token servers that follow OAuth 2 (RFC 6749, 5.2) have other names for the two.
        code, message = (
            first.get("code") or fields.get("error"),
            first.get("message") or fields.get("error_description"),
        )
        return ": ".join(str(part) for part in (code, message) if isinstance(part, str) and part)

    def _length_error(self, got: object, limit: int) -> RegistryError:
        return RegistryError(self.response.subject, f"{got} bytes", f"at most {limit}")


@contextmanager
def registry_errors() -> Iterator[None]:
    """Translate the errors of connections, which are those of stores, to `RegistryError`."""
    try:
        yield
    except StoreError as error:
        translated = error.convert(RegistryError)
        if error.hint == NETWORK_HINT:
            translated.hint = UNREACHABLE_HINT
        raise translated from error.__cause__
