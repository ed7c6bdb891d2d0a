"""Annotations of images (OCI image-spec 1.1, "Annotations").

Keys that begin with ``org.opencontainers.`` are reserved: only the specification may define them. All other keys are
free. The names of an image in an OCI layout are annotations too, which follow from its name and tag.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lamina.core.names import Digest
from lamina.errors import InvalidArgument
from lamina.formats.json_toml import is_unicode, parse_json
from lamina.formats.oci import FULL_NAME, REF_NAME
from lamina.messages.redaction import short_repr
from lamina.messages.suggestions import format_suggestion

Annotations = tuple[tuple[str, str], ...]
"""Keys and values, sorted by key."""
_RESERVED = "org.opencontainers."
_IMAGE = f"{_RESERVED}image."
CREATED = f"{_IMAGE}created"
BASE_DIGEST = f"{_IMAGE}base.digest"
BASE_NAME = f"{_IMAGE}base.name"
TITLE = f"{_IMAGE}title"
_DEFINED = (
    *(CREATED, BASE_DIGEST, BASE_NAME, TITLE),
    *(f"{_IMAGE}{word}" for word in ("authors", "url", "documentation", "source", "version", "revision")),
    *(f"{_IMAGE}{word}" for word in ("vendor", "licenses", "description")),
)
MAX_SIZE = 1 << 20
"""The most characters of all annotations. Registries accept manifests of at most 4 MiB."""
# RFC 3339, "Internet Date/Time Format".
_DATE = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def sort_annotations(annotations: Mapping[str, str]) -> Annotations:
    """Return ``annotations`` in the order of their keys, so that equal images have equal manifests."""
    return tuple(sorted(annotations.items()))


def parse_annotations(name: str, value: Any) -> Annotations:
    """Check annotations and return them. Of two values for one key, the last counts.

    Args:
        name: the name under which they were given.
        value: an object of strings, or a list of ``K=V`` or pairs.

    Raises:
        InvalidArgument: a key is empty or reserved, or a value is not one that the key can have.

    """
    pairs = value.items() if isinstance(value, Mapping) else _split(name, value)
    found: dict[str, str] = {}
    for key, text in pairs:
        _check_key(name, key)
        _check_value(name, key, text)
        found[key] = text
    size = sum(len(key) + len(text) for key, text in found.items())
    if size > MAX_SIZE:
        raise InvalidArgument(name, f"{size} characters", f"at most {MAX_SIZE}")
    return sort_annotations(found)


def _split(name: str, value: Any) -> Iterable[tuple[Any, Any]]:
    """Yield the key and the value of each ``K=V``; pairs stay as they are."""
    if not isinstance(value, Iterable) or isinstance(value, str | bytes):
        raise InvalidArgument(name, short_repr(value), "an object whose values are strings, or a list of K=V")
    for item in value:
        if isinstance(item, tuple | list) and len(item) == 2:
            yield item[0], item[1]
            continue
        key, equals, text = item.partition("=") if isinstance(item, str) else ("", "", "")
        if not equals or not key:
            raise InvalidArgument(name, short_repr(item), "K=V")
        yield key, text


def _check_key(name: str, key: Any) -> None:
    if not isinstance(key, str) or not key or not is_unicode(key):
        raise InvalidArgument(name, f"the key {short_repr(key)}", "a name such as org.example.team")
    if key in (REF_NAME, FULL_NAME):
        hint = "--name and --tag, or -t, name the image"
        raise InvalidArgument(name, key, "another key, because lamina writes the image's name there", hint=hint)
    if key.startswith(_RESERVED) and key not in _DEFINED:
        hint = format_suggestion(key, _DEFINED) or "keys of your own begin with a domain of yours, reversed"
        raise InvalidArgument(name, short_repr(key), f"a key that OCI defines after {_RESERVED}", hint=hint)


def _check_value(name: str, key: str, text: Any) -> None:
    expected, fits = _VALUES.get(key, ("a string", is_unicode))
    if not isinstance(text, str) or not is_unicode(text) or not fits(text):
        raise InvalidArgument(name, f"{short_repr(text)} for {short_repr(key)}", expected)


def _is_digest(text: str) -> bool:
    try:
        Digest.parse_oci(text)
    except InvalidArgument:
        return False
    return True


_VALUES: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    CREATED: ("a date and time as in RFC 3339, such as 2026-01-31T12:00:00Z", _DATE.fullmatch),
    BASE_DIGEST: ("a digest such as sha256:HEX", _is_digest),
}


def read_annotations(manifest: bytes) -> dict[str, str]:
    """Return the annotations of a manifest that has been parsed before; those that are not strings are left out."""
    document = parse_json(manifest, "manifest") if manifest else {}
    found = document.get("annotations") if isinstance(document, dict) else None
    items = found.items() if isinstance(found, dict) else ()
    return {key: value for key, value in items if isinstance(value, str)}
