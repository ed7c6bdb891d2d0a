"""Parse the URLs of caches and of the files in them, and remove credentials from URLs.

Invariant: the result of `redact_url` contains no user, password, query or fragment, even if the URL is invalid.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from lamina.errors import FormatError, InvalidArgument
from lamina.messages.redaction import clean_url, short_repr

DEFAULT_PORTS = {"http": 80, "https": 443}
_WEB = re.compile("https?://", re.IGNORECASE)
# Settings that Nix reads from a cache's URL (Nix manual, "Store Types"). They are not sent to the server.
SETTINGS = frozenset(
    {
        "compression",
        "compression-level",
        "index-debug-info",
        "local-nar-cache",
        "log-compression",
        "ls-compression",
        "narinfo-compression",
        "parallel-compression",
        "path-info-cache-size",
        "priority",
        "secret-key",
        "secret-keys",
        "store",
        "system-features",
        "trusted",
        "want-mass-query",
        "write-nar-listing",
    }
)


def redact_url(url: str) -> str:
    """Return ``url``, valid or not, without secrets, for messages."""
    text = clean_url(url)
    return text if text.isprintable() else short_repr(text)


def try_split_url(url: str) -> SplitResult | None:
    """Return the parts of ``url``, or None if its host or port is invalid.

    This is the only caller of `urlsplit`, whose errors repeat a part of the URL that may belong to a password.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def split_url(url: str) -> SplitResult:
    """Return the parts of ``url``.

    Raises:
        InvalidArgument: ``url`` cannot be parsed, or has a fragment, which no cache's URL has.

    """
    parts = try_split_url(url)
    if parts is None:
        raise InvalidArgument(f"cache {redact_url(url)}", "no valid host and port", "a URL", hint=_escaping_hint(url))
    if not url.isprintable() or " " in url:
        raise InvalidArgument(f"cache {redact_url(url)}", "a space or control character", "a valid URL")
    if "#" in url:
        raise InvalidArgument(f"cache {redact_url(url)}", "a '#'", "a URL without a fragment", hint=_escaping_hint(url))
    return parts


def _escaping_hint(url: str) -> str:
    return "in a user or password, write / as %2F, ? as %3F, # as %23 and @ as %40" if "@" in url else ""


@dataclass(frozen=True, slots=True)
class Origin:
    """The scheme, host and port of a URL. Credentials belong to one origin."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """Return the origin of an http or https ``url``.

        Raises:
            InvalidArgument: ``url`` has another scheme, no host, or no valid port.

        """
        parts = try_split_url(url)
        if parts is None or parts.scheme not in DEFAULT_PORTS or not parts.hostname:
            raise InvalidArgument(f"URL {redact_url(url)}", "no HTTP host and port", "http:// or https://")
        return cls(parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme])


def format_host(origin: Origin) -> str:
    """Return ``HOST``, or ``HOST:PORT`` if the port is not that of the scheme."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return host if origin.port == DEFAULT_PORTS[origin.scheme] else f"{host}:{origin.port}"


@dataclass(frozen=True, slots=True)
class CacheUrl:
    """The URL of a cache that is accessed over HTTP."""

    label: str
    """The URL without credentials and query, for messages."""
    origin: Origin
    base: str = field(repr=False)
    """The URL to which names of files are appended, without credentials, query and trailing slash."""
    query: str = field(repr=False)
    """The query that is added to every request."""
    credentials: tuple[str, str] | None = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> CacheUrl:
        """Parse a cache's URL. Raises `InvalidArgument` if it is not an http or https URL with a host."""
        parts = split_url(url)
        try:
            origin = Origin.of(url)
        except InvalidArgument:
            raise InvalidArgument(
                f"cache {redact_url(url)}", "no host", "http://HOST or https://HOST", hint=_escaping_hint(url)
            ) from None
        user, password = parts.username, parts.password
        credentials = None if user is None else (unquote(user), unquote(password or ""))
        sent = [setting for setting in parts.query.split("&") if setting and setting.partition("=")[0] not in SETTINGS]
        base = strip_credentials(url).partition("?")[0].rstrip("/")
        return cls(redact_url(url).rstrip("/"), origin, base, "&".join(sent), credentials)

    def resolve(self, name: str) -> str:
        """Return the URL of the file ``name``, which is a URL relative to the cache, or an absolute URL.

        A leading slash stands for the server's root (RFC 3986; Nix 2.34); `resolve_below` resolves it the other way.
        Raises `FormatError` if ``name`` is an invalid URL, or if its scheme is not the cache's.
        """
        text = name.partition("#")[0]
        if _WEB.match(text):
            return self._check_absolute(text)
        base = self.base
        if text.startswith("/"):
            scheme, _, rest = base.partition("://")
            base = f"{scheme}://{rest.partition('/')[0]}"
        return self._with_query(base, text.removeprefix("/"))

    def resolve_below(self, name: str) -> str:
        """Return the URL of the file ``name`` below the cache, and ignore a leading slash (Nix up to 2.26)."""
        return self._with_query(self.base, name.partition("#")[0].removeprefix("/"))

    def _check_absolute(self, text: str) -> str:
        text = strip_credentials(text)
        try:
            origin = Origin.of(text)
        except InvalidArgument:
            raise FormatError(self.label, f"{redact_url(text)} for a file", "a URL") from None
        if origin.scheme != self.origin.scheme:
            expected = f"{self.origin.scheme}://, the scheme of the cache"
            raise FormatError(self.label, f"the URL {redact_url(text)} for a file", expected)
        return text

    def _with_query(self, base: str, text: str) -> str:
        path, _, query = text.partition("?")
        queries = "&".join(part for part in (query, self.query) if part)
        return f"{base}/{path}?{queries}" if queries else f"{base}/{path}"

    def redact(self, name: str) -> str:
        """Return the URL of the file ``name`` without secrets, for messages."""
        return redact_url(name if _WEB.match(name) else f"{self.label}/{name.removeprefix('/')}")


def check_file_name(subject: str, name: str) -> str:
    """Return ``name`` unchanged if it is the name of a file below ``subject``.

    Raises `FormatError` if it contains NUL, or an empty, ``.`` or ``..`` component, which may lead elsewhere.
    """
    if "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise FormatError(subject, f"the name {short_repr(name)} for a file", "a name inside the cache")
    return name


def strip_credentials(url: str) -> str:
    """Return ``url`` without user and password."""
    scheme, separator, rest = url.partition("://")
    end = min((index for index in map(rest.find, "/?#") if index >= 0), default=len(rest))
    return f"{scheme}{separator}{rest[:end].rpartition('@')[2]}{rest[end:]}"
