"""The objects of a shared layer cache: one for each layer, for each compressed layer, and for each claim.

An object is a line with the version of the form, the SHA-256 of key and value, and the value. The checksum covers the
key, so an object that was stored under another name is noticed. An empty object stands for an entry that was removed
because it was wrong. The object of a claim has no such line.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

from lamina.errors import FormatError
from lamina.layer_cache.encoding import CLAIM, LAYER, is_valid_value
from lamina.messages.redaction import short_repr

MAX_SIZE = 16 << 20
"""The maximum size of an object in bytes. The paths of a layer take about a hundred bytes each."""
REMOVED = b""
_FIRST_LINE = b"lamina layer cache object 1\n"
_CHECKSUM_SIZE = hashlib.sha256().digest_size


class Objects(Protocol):
    """Named objects, in a folder or a bucket, that several machines read and write; safe for many threads."""

    @property
    def label(self) -> str:
        """The URL without credentials, for messages."""

    def read(self, name: str, limit: int) -> bytes | None:
        """Return an object, or None if it is absent.

        Raises `FormatError` if it has more than ``limit`` bytes, and `Unavailable` if it cannot be read.
        """

    def write(self, name: str, data: bytes) -> None:
        """Replace the object ``name``, completely or not at all. Raises `OutputError`."""

    def create(self, name: str, data: bytes) -> bool:
        """Write an object unless there is one, and return whether it was written. Raises `OutputError`."""

    def close(self) -> None:
        """Close all connections."""


def name_object(key: bytes) -> str:
    """Return the name of the object with the entry ``key``, which contains a hash of the key."""
    folder = "layers" if key.startswith(LAYER) else "claims" if key.startswith(CLAIM) else "compressed-layers"
    return f"{folder}/{hashlib.sha256(key).hexdigest()}"


def dump_object(key: bytes, value: bytes) -> bytes:
    """Return the object with the entry ``key``."""
    return b"".join((_FIRST_LINE, _checksum(key, value), value))


def parse_object(key: bytes, data: bytes) -> bytes | None:
    """Return the value of the entry ``key`` from its object, or None if the entry was removed.

    Raises `FormatError` for anything that `dump_object` does not return for this key.
    """
    if data == REMOVED:
        return None
    start = len(_FIRST_LINE) + _CHECKSUM_SIZE
    value = data[start:]
    if not data.startswith(_FIRST_LINE):
        raise FormatError(got=short_repr(data[: len(_FIRST_LINE)]), expected="an object of a layer cache")
    if data[len(_FIRST_LINE) : start] != _checksum(key, value) or not is_valid_value(key, value):
        raise FormatError(got="a wrong checksum", expected="an object of a layer cache")
    return value


def _checksum(key: bytes, value: bytes) -> bytes:
    return hashlib.sha256(b"%d %b%b" % (len(key), key, value)).digest()
