"""Parse the JSON documents of an image: manifests, indexes and configs.

The limits below are larger than any genuine image needs. They prevent a small document from using much memory or time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from lamina.core.names import Digest
from lamina.errors import FormatError, IntegrityError, InvalidArgument
from lamina.formats.json_toml import name_type, parse_json
from lamina.messages.redaction import short_repr

MAX_DOCUMENT_SIZE = 20 << 20
"""The maximum size of a document in bytes, which is containerd's limit."""
_MAX_DOCUMENT_BYTES = 64 << 20
_MAX_VALUES = 1_000_000
# Engines support at most 127 to 250 layers.
_MAX_LAYERS = 1000
_MAX_LAYERS_TOTAL = 20_000


@dataclass(frozen=True, slots=True)
class JsonDocument:
    """A JSON object or list, and the bytes it was read from."""

    text: bytes
    value: Any

    @property
    def digest(self) -> Digest:
        """The digest of ``text``."""
        return Digest(hashlib.sha256(self.text).digest())


class DocumentParser:
    """Parses the documents of the images in one place, and limits how large all of them are together."""

    def __init__(self) -> None:
        self._size = 0
        self._value_count = 0
        self._layer_count = 0

    def check_size(self, name: str, size: int) -> None:
        """Count the document ``name`` before it is read. Raises `FormatError` if it is too large."""
        self._size += size
        if size > MAX_DOCUMENT_SIZE or self._size > _MAX_DOCUMENT_BYTES:
            expected = f"a document of at most {MAX_DOCUMENT_SIZE}, and {_MAX_DOCUMENT_BYTES} in all"
            raise FormatError(name, f"{size} bytes", expected)

    def parse(self, name: str, text: bytes) -> JsonDocument:
        """Parse the document ``name``. Raises `FormatError` if it is invalid, or has too many values."""
        # A parsed value uses about 70 bytes of memory, but may have only two bytes in JSON.
        self._value_count += sum(map(text.count, (b",", b"[", b"{")))
        if self._value_count > _MAX_VALUES:
            raise FormatError(name, f"{self._value_count} values", f"at most {_MAX_VALUES} in all documents")
        return JsonDocument(text, parse_json(text, name, "JSON, as in an image"))

    def check_layer_count(self, name: str, count: int) -> None:
        """Count the layers of an image, whose config is ``name``. Raises `FormatError` if there are too many."""
        self._layer_count += count
        if count > _MAX_LAYERS or self._layer_count > _MAX_LAYERS_TOTAL:
            expected = f"at most {_MAX_LAYERS}, and {_MAX_LAYERS_TOTAL} in all images"
            raise FormatError(name, f"{count} layers", expected)


def parse_diff_ids(config: Any, name: str, layer_count: int) -> list[Digest]:
    """Return the diff IDs in the config ``name`` of an image with ``layer_count`` layers, from the lowest up.

    Raises:
        FormatError: the config has no valid list of them.
        IntegrityError: there is not one for each layer.

    """
    rootfs = get_field(config, name, "rootfs")
    # docker leaves out an empty list of diff IDs, but never the type (OCI image spec, config.md, "rootfs").
    if not isinstance(rootfs, dict) or (rootfs.get("diff_ids") is None and rootfs.get("type") != "layers"):
        got = "an object without them" if isinstance(rootfs, dict) else _describe(rootfs)
        raise FormatError(f"{name}: rootfs", got, "an object with diff_ids")
    subject = f"{name}: diff_ids"
    diff_ids = [parse_digest(text, subject) for text in parse_strings(subject, rootfs.get("diff_ids"))]
    if len(diff_ids) != layer_count:
        raise IntegrityError(f"{name}: rootfs", f"{len(diff_ids)} diff IDs", f"{layer_count}, one for each layer")
    return diff_ids


def get_field(value: Any, subject: str, key: str) -> Any:
    """Return ``value[key]`` of a JSON object. Raises `FormatError`, which names ``subject``."""
    if not isinstance(value, dict) or key not in value:
        got = f"an object without {key}" if isinstance(value, dict) else _describe(value)
        raise FormatError(subject, got, f"an object with {key}, as in an image")
    return value[key]


def parse_list(subject: str, value: Any) -> list[Any]:
    """Return ``value`` if it is a list, or an empty list for null, as Go may write it. Raises `FormatError`."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise FormatError(subject, _describe(value), "a list, as in an image")
    return value


def parse_strings(subject: str, value: Any) -> list[str]:
    """Return ``value`` if it is a list of strings, or an empty list for null. Raises `FormatError`."""
    if not all(isinstance(text, str) for text in parse_list(subject, value)):
        raise FormatError(subject, "a list with other values", "a list of strings, as in an image")
    return value or []


def parse_digest(text: str, subject: str) -> Digest:
    """Parse an OCI digest, ``sha256:HEX``. Raises `FormatError`, which names ``subject``."""
    try:
        return Digest.parse_oci(text)
    except InvalidArgument as error:
        raise error.convert(FormatError).add_context(subject) from error


def _describe(value: Any) -> str:
    """Return a wrong value for a message; of objects and lists only what they are, not their form in Python."""
    return name_type(value) if isinstance(value, dict | list | None) else short_repr(value)
