"""The interface that stores require of a transport, which reads or writes files of a binary cache or a channel.

`lamina.transports.open` returns implementations for files, HTTP and S3.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol


class Transport(Protocol):
    """Reads the files below a URL; safe for many threads."""

    @property
    def label(self) -> str:
        """The URL without credentials, for messages."""

    def read(self, name: str, limit: int) -> bytes | None:
        """Read a small file completely, or return None if it is absent.

        Raises `FormatError` if it has more than ``limit`` bytes, and `Unavailable` if it cannot be read.
        """

    def stream(self, name: str, limit: int) -> Iterator[bytes]:
        """Yield a large file in pieces.

        Raises `NotFound` if it is absent, `FormatError` if it has more than ``limit`` bytes, and `Unavailable` if it
        cannot be read.
        """

    def close(self) -> None:
        """Close all connections."""


class WritableTransport(Transport, Protocol):
    """A transport that also writes the files of a cache."""

    def size(self, name: str) -> int | None:
        """Return a file's size in bytes, or None if it is absent. Raises `Unavailable`."""

    def write(self, name: str, data: bytes) -> None:
        """Write ``data`` to the file ``name``, completely or not at all. Raises `OutputError`."""

    def upload(self, name: str, file: Path) -> None:
        """Copy ``file`` to the file ``name``, completely or not at all. Raises `OutputError`."""
