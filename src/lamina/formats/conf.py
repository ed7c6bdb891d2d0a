"""The file ``conf.json``, in which nixpkgs' ``streamLayeredImage`` describes an image to its streamer.

Every field of the file is checked. The container config keeps the order of its keys, because the image ID depends on
that order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lamina.core.names import STORE_DIR, ImageReference, StorePath
from lamina.errors import FormatError, InvalidArgument
from lamina.formats.json_toml import parse_json
from lamina.formats.platform import Platform
from lamina.formats.tar import Owner
from lamina.messages.redaction import short_repr

_NOW = "now"
_MAX_ID = 1 << 53


@dataclass(frozen=True, slots=True)
class Conf:
    """An image as nixpkgs planned it. ``created`` and ``mtime`` are None for ``now``, the time of streaming."""

    architecture: str
    config: Mapping[str, Any] | None
    from_image: str | None
    store_layers: tuple[tuple[StorePath, ...], ...]
    customisation_layer: str
    repo_tag: ImageReference
    created: datetime | None
    mtime: datetime | None
    owner: Owner

    @classmethod
    def parse(cls, text: bytes) -> Conf:
        """Parse ``conf.json`` (nixpkgs: dockerTools). Raises `FormatError`."""
        document = parse_json(text, "conf")
        if not isinstance(document, dict):
            raise FormatError("conf", short_repr(document), "an object")
        fields = {name: _parse_field(document, name, *rule) for name, rule in _FIELDS.items()}
        if fields.pop("store_dir") != STORE_DIR:
            raise FormatError("conf", f"store_dir {short_repr(document['store_dir'])}", STORE_DIR)
        owner = Owner(fields.pop("uid"), fields.pop("gid"), fields.pop("uname"), fields.pop("gname"))
        return cls(**fields, owner=owner)


def _parse_field(document: dict[str, Any], name: str, expected: str, parse: Callable[[Any], Any]) -> Any:
    if name not in document:
        raise FormatError("conf", f"no {name}", expected)
    try:
        return parse(document[name])
    except (InvalidArgument, ValueError, TypeError, OverflowError) as error:
        raise FormatError("conf", f"{name} {short_repr(document[name])}", expected) from error


def _parse_text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise TypeError
    return value


def _parse_architecture(value: Any) -> str:
    return Platform.parse(_parse_text(value)).name


def _parse_optional_text(value: Any) -> str | None:
    return None if value is None else _parse_text(value)


def _parse_object(value: Any) -> Mapping[str, Any] | None:
    if value is not None and not isinstance(value, dict):
        raise TypeError
    return value


def _parse_layers(value: Any) -> tuple[tuple[StorePath, ...], ...]:
    if not isinstance(value, list) or not all(isinstance(layer, list) for layer in value):
        raise TypeError
    return tuple(tuple(StorePath.parse(_parse_text(path)) for path in layer) for layer in value)


def _parse_datetime(value: Any) -> datetime | None:
    if value == _NOW:
        return None
    moment = datetime.fromisoformat(_parse_text(value))
    return moment.replace(tzinfo=moment.tzinfo or UTC)


def _parse_id(value: Any) -> int:
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < _MAX_ID:
        raise TypeError
    return number


_DATE = "an ISO-8601 date or 'now'"
_NUMBER = "a number of at least 0, or a string of digits"
_FIELDS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "architecture": ("an architecture such as amd64 or arm64", _parse_architecture),
    "config": ("an object", _parse_object),
    "store_dir": ("a string", _parse_text),
    "from_image": ("a path or null", _parse_optional_text),
    "store_layers": ("a list of lists of store paths", _parse_layers),
    "customisation_layer": ("a path", _parse_text),
    "repo_tag": ("NAME:TAG", lambda value: ImageReference.parse(_parse_text(value))),
    "created": (_DATE, _parse_datetime),
    "mtime": (_DATE, _parse_datetime),
    "uid": (_NUMBER, _parse_id),
    "gid": (_NUMBER, _parse_id),
    "uname": ("a string", _parse_text),
    "gname": ("a string", _parse_text),
}
