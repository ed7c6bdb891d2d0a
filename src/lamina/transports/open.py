"""Open the transport for the URL of a binary cache.

A URL that cannot be used is refused before any request is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.errors import InvalidArgument
from lamina.messages.redaction import short_repr
from lamina.transports.retry import current_policy, shorten_waits, use_policy
from lamina.transports.urls import redact_url

if TYPE_CHECKING:  # each is imported when a URL needs it
    from lamina.transports.files import FileTransport
    from lamina.transports.http import HttpTransport
    from lamina.transports.s3 import S3Transport

_READABLE = "file:///FOLDER, http://HOST, https://HOST or s3://BUCKET"
_WRITABLE = "file:///FOLDER or s3://BUCKET"
# Schemes of stores that require Nix itself, on this or another machine (Nix manual, "Store Types").
_NIX_STORES = {"auto", "daemon", "dummy", "local", "local-overlay", "mounted-ssh-ng", "ssh", "ssh-ng", "unix"}


def check_url(url: str) -> str:
    """Return ``url`` if lamina can read caches with its scheme. Raises `InvalidArgument` otherwise."""
    _parse_scheme(url, _READABLE)
    return url


def check_writable_url(url: str) -> str:
    """Return ``url`` if lamina can read and write caches at it, without opening it. Raises `InvalidArgument`."""
    scheme = _parse_scheme(url, _WRITABLE)
    if scheme == "file":
        from lamina.transports.files import parse_folder_url

        parse_folder_url(url)
    elif scheme == "s3":
        from lamina.transports.s3_urls import BucketUrl

        BucketUrl.parse(url)
    else:
        raise _read_only_error(url, scheme)
    return url


def open_transport(url: str) -> HttpTransport | FileTransport | S3Transport:
    """Return the transport that reads the cache at ``url``. Raises `InvalidArgument`."""
    if _parse_scheme(url, _READABLE) in ("http", "https"):
        from lamina.transports.http import HttpTransport

        return HttpTransport(url, current_policy())
    return open_writable(url)


def open_writable(url: str) -> FileTransport | S3Transport:
    """Return the transport that reads and writes the cache at ``url``.

    Raises `InvalidArgument` if the URL is invalid, or if its scheme can only be read.
    """
    scheme = _parse_scheme(url, _WRITABLE)
    if scheme == "file":
        from lamina.transports.files import FileTransport

        return FileTransport(url)
    if scheme == "s3":
        from lamina.transports.s3 import S3Transport

        return S3Transport(url, current_policy())
    raise _read_only_error(url, scheme)


def open_optional(url: str) -> FileTransport | S3Transport:
    """Return what `open_writable` returns, for a place that a run can do without; it gives up soon."""
    with use_policy(shorten_waits(current_policy())):
        return open_writable(url)


def is_nix_store(url: str) -> bool:
    """Return whether ``url`` names a store that only Nix can open, such as ``daemon`` or ``local?root=/x``."""
    scheme, separator, _ = url.partition(":")
    return url.partition("?")[0] in _NIX_STORES or (bool(separator) and scheme.lower() in _NIX_STORES)


def _read_only_error(url: str, scheme: str) -> InvalidArgument:
    return InvalidArgument(f"cache {redact_url(url)}", f"{scheme}://, which is read-only", _WRITABLE)


def _parse_scheme(url: str, expected: str) -> str:
    scheme, separator, _ = url.partition(":")
    scheme = scheme.lower()
    if separator and scheme in ("file", "http", "https", "s3"):
        return scheme
    if is_nix_store(url):
        raise InvalidArgument(f"cache {short_repr(redact_url(url))}", "a store of Nix", f"a binary cache: {expected}")
    hint = f"a folder is named file://{url}" if url.startswith("/") else ""
    raise InvalidArgument(f"cache {short_repr(redact_url(url))}", "no known scheme", expected, hint=hint)
