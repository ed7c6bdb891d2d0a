"""``conf.json``: what nixpkgs' ``streamLayeredImage`` hands its streamer.

Invariant: a `Conf` holds all that the file says of the image, in types that cannot say anything else; the container
config is taken verbatim, in its order, for the image ID depends on it.
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
    """An image as nixpkgs has planned it. ``created`` and ``mtime`` are None for the time at which it is streamed."""

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
        """The conf that ``text`` is; raises `FormatError` (nixpkgs: dockerTools, ``conf.json``)."""
        document = parse_json(text, "conf")
        if not isinstance(document, dict):
            raise FormatError(f"conf: got {short_repr(document)}, expected an object")
        fields = {name: _field(document, name, *rule) for name, rule in _FIELDS.items()}
        if fields.pop("store_dir") != STORE_DIR:
            raise FormatError(f"conf: got store_dir {short_repr(document['store_dir'])}, expected {STORE_DIR}")
        owner = Owner(fields.pop("uid"), fields.pop("gid"), fields.pop("uname"), fields.pop("gname"))
        return cls(**fields, owner=owner)


def _field(document: dict[str, Any], name: str, expected: str, parse: Callable[[Any], Any]) -> Any:
    if name not in document:
        raise FormatError(f"conf: got no {name}, expected {expected}")
    try:
        return parse(document[name])
    except (InvalidArgument, ValueError, TypeError, OverflowError) as error:
        raise FormatError(f"conf: got {name} {short_repr(document[name])}, expected {expected}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise TypeError
    return value


def _architecture(value: Any) -> str:
    return Platform.parse(_text(value)).name


def _optional_text(value: Any) -> str | None:
    return None if value is None else _text(value)


def _object(value: Any) -> Mapping[str, Any] | None:
    if value is not None and not isinstance(value, dict):
        raise TypeError
    return value


def _layers(value: Any) -> tuple[tuple[StorePath, ...], ...]:
    if not isinstance(value, list) or not all(isinstance(layer, list) for layer in value):
        raise TypeError
    return tuple(tuple(StorePath.parse(_text(path)) for path in layer) for layer in value)


def _parse_datetime(value: Any) -> datetime | None:
    if value == _NOW:
        return None
    moment = datetime.fromisoformat(_text(value))
    return moment.replace(tzinfo=moment.tzinfo or UTC)


def _id(value: Any) -> int:
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < _MAX_ID:
        raise TypeError
    return number


_ISO = "an ISO-8601 date or 'now'"
_NUMBER = "a number that is not negative, or its digits"
_FIELDS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "architecture": ("an architecture such as amd64 or arm64", _architecture),
    "config": ("an object", _object),
    "store_dir": ("a text", _text),
    "from_image": ("a path or null", _optional_text),
    "store_layers": ("a list of lists of store paths", _layers),
    "customisation_layer": ("a path", _text),
    "repo_tag": ("NAME:TAG", lambda value: ImageReference.parse(_text(value))),
    "created": (_ISO, _parse_datetime),
    "mtime": (_ISO, _parse_datetime),
    "uid": (_NUMBER, _id),
    "gid": (_NUMBER, _id),
    "uname": ("a text", _text),
    "gname": ("a text", _text),
}
