"""From the URL of a binary cache to what reads and writes it.

Invariant: a URL that cannot be used is refused here, before anything is asked of anybody.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from lamina.errors import InvalidArgument
from lamina.messages.redaction import short_repr
from lamina.transports.retry import DEFAULT_POLICY, RetryPolicy
from lamina.transports.urls import redact_url

_READABLE = "file:///FOLDER, http://HOST, https://HOST or s3://BUCKET"
_WRITABLE = "file:///FOLDER or s3://BUCKET"
# Where Nix itself has to run at the other end (Nix manual, "Store Types").
_OF_NIX = {"auto", "daemon", "dummy", "local", "local-overlay", "mounted-ssh-ng", "ssh", "ssh-ng", "unix"}


class Transport(Protocol):
    """What a cache is read through, by as many threads as like to."""

    @property
    def label(self) -> str:
        """The cache as messages have it, without credentials."""

    def read(self, name: str, limit: int) -> bytes | None:
        """A small file whole, None where it is absent; raises `FormatError` above ``limit`` bytes, `Unavailable`."""

    def stream(self, name: str, limit: int) -> Iterator[bytes]:
        """A large file in pieces; raises `NotFound`, `FormatError` above ``limit`` bytes, `Unavailable`."""

    def size(self, name: str) -> int | None:
        """How many bytes a file has, None where it is absent; raises `Unavailable`."""

    def close(self) -> None:
        """Lets go of connections."""


class WritableTransport(Transport, Protocol):
    """A transport through which a cache is written as well."""

    def write(self, name: str, data: bytes) -> None:
        """Makes ``name`` a file of ``data``, whole or not at all; raises `OutputError`."""

    def upload(self, name: str, file: Path) -> None:
        """Makes ``name`` a copy of ``file``, whole or not at all; raises `OutputError`."""


def check_url(url: str) -> str:
    """``url``, if its kind of cache can be read; raises `InvalidArgument`."""
    _scheme(url, _READABLE)
    return url


def open_transport(url: str, policy: RetryPolicy = DEFAULT_POLICY) -> Transport:
    """What reads the cache at ``url``; raises `InvalidArgument`."""
    if _scheme(url, _READABLE) in ("http", "https"):
        from lamina.transports.http import HttpTransport

        return HttpTransport(url, policy)
    return open_writable(url, policy)


def open_writable(url: str, policy: RetryPolicy = DEFAULT_POLICY) -> WritableTransport:
    """What reads and writes the cache at ``url``; raises `InvalidArgument`, also where it can only be read."""
    scheme = _scheme(url, _WRITABLE)
    if scheme == "file":
        from lamina.transports.files import FileTransport

        return FileTransport(url)
    if scheme == "s3":
        from lamina.transports.s3 import S3Transport

        return S3Transport(url, policy)
    raise InvalidArgument(f"cache {redact_url(url)}: got {scheme}://, which is only read, expected {_WRITABLE}")


def _scheme(url: str, expected: str) -> str:
    scheme, separator, _ = url.partition(":")
    scheme = scheme.lower()
    if separator and scheme in ("file", "http", "https", "s3"):
        return scheme
    if url.partition("?")[0] in _OF_NIX or (separator and scheme in _OF_NIX):
        raise InvalidArgument(
            f"cache {short_repr(redact_url(url))}: got a store of Nix, expected a binary cache: {expected}"
        )
    hint = f"a folder is named file://{url}" if url.startswith("/") else ""
    raise InvalidArgument(f"cache {short_repr(redact_url(url))}: got no known scheme, expected {expected}", hint=hint)
