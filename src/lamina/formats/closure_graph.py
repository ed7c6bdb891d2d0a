"""A closure graph in JSON: what Nix writes when asked what refers to what.

Invariant: every shape Nix has used gives the same `PathInfo`s; anything else raises `FormatError`.

The shapes: ``exportReferencesGraph`` under ``__structuredAttrs`` (a list, or the whole ``.attrs.json`` around one),
``nix path-info --json -r`` of Nix 2.8 (a list), of 2.26 and 2.34 (an object keyed by path), and of 2.34 with
``--json-format 2`` (``{"info": …, "storeDir": …, "version": …}``, keyed by base name, references likewise).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lamina.core.names import STORE_DIR, Digest, StorePath
from lamina.core.pathinfo import PathInfo
from lamina.errors import FormatError, InvalidArgument
from lamina.formats.json_toml import parse_json
from lamina.messages.redaction import short_repr

_EXPECTED = "exportReferencesGraph under __structuredAttrs, or nix path-info --json -r"


def parse(text: str | bytes) -> tuple[PathInfo, ...]:
    """The infos in the order of the document, each once; raises `FormatError`."""
    try:
        document = parse_json(text, "closure graph", _EXPECTED)
        infos = tuple(dict.fromkeys(_info(path, item) for path, item in _items(document)))
    except InvalidArgument as error:
        raise FormatError(f"closure graph: {error}") from error
    if len({info.path for info in infos}) != len(infos):
        raise FormatError("closure graph: got a path twice, expected the same of it each time")
    return infos


def _items(document: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(document, dict) and isinstance(document.get("info"), dict):
        folder = document.get("storeDir", STORE_DIR)
        if folder != STORE_DIR:
            raise FormatError(f"closure graph: got store {short_repr(folder)}, expected {STORE_DIR}")
        yield from document["info"].items()
    elif isinstance(document, dict) and any(_is_graph(value) for value in document.values()):
        for value in document.values():
            if _is_graph(value):
                yield from _items(value)
    elif isinstance(document, dict) and all(map(_is_path, document)):
        yield from document.items()
    elif isinstance(document, list):
        for item in document:
            if not isinstance(item, dict) or not isinstance(item.get("path"), str):
                raise FormatError(f"closure graph: got {short_repr(item)}, expected an object with a path")
            yield item["path"], item
    else:
        raise FormatError(f"closure graph: got {short_repr(document)}, expected {_EXPECTED}")


def _is_graph(value: Any) -> bool:
    return (
        isinstance(value, list) and bool(value) and all(isinstance(item, dict) and "narHash" in item for item in value)
    )


def _is_path(key: str) -> bool:
    try:
        _store_path(key)
    except InvalidArgument:
        return False
    return True


def _info(text: str, item: Any) -> PathInfo:
    path = _store_path(text)
    if not isinstance(item, dict):
        raise FormatError(f"closure graph: {path}: got {short_repr(item)}, expected an object; is the path valid?")
    nar_hash, size, references = item.get("narHash"), item.get("narSize"), item.get("references")
    if not isinstance(nar_hash, str):
        raise FormatError(f"closure graph: {path}: got narHash {short_repr(nar_hash)}, expected a text")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 < size < 1 << 63:
        raise FormatError(f"closure graph: {path}: got narSize {short_repr(size)}, expected a positive number")
    if not isinstance(references, list) or not all(isinstance(text, str) for text in references):
        raise FormatError(f"closure graph: {path}: got references {short_repr(references)}, expected a list of texts")
    return PathInfo(path, Digest.parse(nar_hash), size, frozenset(map(_store_path, references)))


def _store_path(text: str) -> StorePath:
    return StorePath.parse(text) if text.startswith("/") else StorePath.parse_base(text)
