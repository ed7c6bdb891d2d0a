"""Closure graphs in JSON: the store paths of a closure with their references, as Nix writes them.

Every format that Nix has used gives the same `PathInfo` objects. The formats are ``exportReferencesGraph`` under
``__structuredAttrs`` (a list, or the whole ``.attrs.json`` around it), ``nix path-info --json -r`` of Nix 2.8 (a list),
of 2.26 and 2.34 (an object keyed by path), and of 2.34 with ``--json-format 2`` (``{"info": …, "storeDir": …,
"version": …}``, keyed by base name, references likewise).
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
    """Parse a closure graph and return each path info once, in the order of the document. Raises `FormatError`."""
    try:
        document = parse_json(text, "closure graph", _EXPECTED)
        infos = tuple(dict.fromkeys(_parse_info(path, item) for path, item in _find_items(document)))
    except InvalidArgument as error:
        raise error.convert(FormatError).add_context("closure graph") from error
    if len({info.path for info in infos}) != len(infos):
        raise FormatError("closure graph", "two different entries for one path", "one")
    return infos


def _find_items(document: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(document, dict) and isinstance(document.get("info"), dict):
        folder = document.get("storeDir", STORE_DIR)
        if folder != STORE_DIR:
            raise FormatError("closure graph", f"store {short_repr(folder)}", STORE_DIR)
        yield from document["info"].items()
    elif isinstance(document, dict) and any(_is_graph(value) for value in document.values()):
        for value in document.values():
            if _is_graph(value):
                yield from _find_items(value)
    elif isinstance(document, dict) and all(map(_is_path, document)):
        yield from document.items()
    elif isinstance(document, list):
        for item in document:
            if not isinstance(item, dict) or not isinstance(item.get("path"), str):
                raise FormatError("closure graph", short_repr(item), "an object with a path")
            yield item["path"], item
    else:
        raise FormatError("closure graph", short_repr(document), _EXPECTED)


def _is_graph(value: Any) -> bool:
    return (
        isinstance(value, list) and bool(value) and all(isinstance(item, dict) and "narHash" in item for item in value)
    )


def _is_path(key: str) -> bool:
    try:
        _parse_store_path(key)
    except InvalidArgument:
        return False
    return True


def _parse_info(text: str, item: Any) -> PathInfo:
    path = _parse_store_path(text)
    if not isinstance(item, dict):
        raise FormatError(f"closure graph: {path}", short_repr(item), "an object; is the path valid?")
    nar_hash, size, references = item.get("narHash"), item.get("narSize"), item.get("references")
    if not isinstance(nar_hash, str):
        raise FormatError(f"closure graph: {path}", f"narHash {short_repr(nar_hash)}", "a string")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 < size < 1 << 63:
        raise FormatError(f"closure graph: {path}", f"narSize {short_repr(size)}", "a positive number")
    if not isinstance(references, list) or not all(isinstance(text, str) for text in references):
        raise FormatError(f"closure graph: {path}", f"references {short_repr(references)}", "a list of strings")
    return PathInfo(path, Digest.parse(nar_hash), size, frozenset(map(_parse_store_path, references)))


def _parse_store_path(text: str) -> StorePath:
    return StorePath.parse(text) if text.startswith("/") else StorePath.parse_base(text)
