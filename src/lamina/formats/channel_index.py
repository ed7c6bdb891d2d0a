"""Lists of store paths that are searched by name: the ``store-paths`` file of a Nix channel, or a JSON object.

A list is checked completely when it is parsed, but a `StorePath` object is only created for a path that `find` returns.

The list of a channel has one path per line, without references, and two hundred thousand lines or more (nixpkgs,
``pkgs/top-level/release.nix`` and the channels made from it). A JSON object maps names to store paths.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from lamina.core.name_match import match_paths, search_prefix
from lamina.core.names import HASH_LENGTH, NIX32, STORE_DIR, StorePath
from lamina.errors import FormatError, InvalidArgument
from lamina.formats.json_toml import parse_json
from lamina.messages.redaction import short_repr

_PREFIX = f"{STORE_DIR}/".encode()
# The offset in a line of the dash before the name.
_NAME_OFFSET = len(_PREFIX) + HASH_LENGTH
_PATH = rb"%s[%s]{%d}-[0-9a-zA-Z+\-._?=]{1,211}" % (re.escape(_PREFIX), NIX32.encode(), HASH_LENGTH)
# The quantifier is possessive: matching many lines then uses no stack and does not backtrack.
_LINES = re.compile(rb"(?>(?:%s|[ \t]*)\n)*+" % _PATH)
_JSON = re.compile(rb"\s*\{")
_EXPECTED = f"one {STORE_DIR}/HASH-NAME per line, or a JSON object that maps names to such paths"


@dataclass(frozen=True, slots=True)
class ChannelIndex:
    """An index of store paths by name.

    ``text`` has one path per line. ``aliases`` maps names to paths and takes precedence over ``text``.
    """

    text: bytes = field(repr=False)
    aliases: Mapping[str, StorePath] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    def find(self, name: str) -> tuple[StorePath, ...]:
        """Return the path with the alias ``name``; without one, all paths that match it (`lamina.core.name_match`)."""
        if name in self.aliases:
            return (self.aliases[name],)
        prefix = search_prefix(name)
        return match_paths(self._find_prefix(prefix.encode()), name) if prefix and prefix.isascii() else ()

    def names(self) -> Collection[str]:
        """Return the aliases and the names of all paths."""
        return {*self.aliases, *(line[_NAME_OFFSET + 1 :] for line in self.text.decode().splitlines())}

    def _find_prefix(self, prefix: bytes) -> Iterator[StorePath]:
        """Yield the paths whose names begin with ``prefix``."""
        needle = b"-" + prefix
        offset = self.text.find(needle)
        while offset >= 0:
            # The prefix contains slashes, which occur only at the start of a line. The dash found is therefore the one
            # between hash and name.
            if self.text.startswith(_PREFIX, max(offset - _NAME_OFFSET, 0)):
                yield self._path_at(offset - _NAME_OFFSET)
            offset = self.text.find(needle, offset + 1)

    def _path_at(self, start: int) -> StorePath:
        return StorePath(self.text[start + len(_PREFIX) : self.text.index(b"\n", start)].decode())


def parse(data: bytes) -> ChannelIndex:
    """Parse a list of paths or a JSON object. Raises `FormatError` with the first line that is not a store path."""
    if _JSON.match(data):
        return _parse_json(data)
    data = data.replace(b"\r\n", b"\n")
    text = data if not data or data.endswith(b"\n") else data + b"\n"
    found = _LINES.match(text)
    end = found.end() if found else 0
    if end < len(text):
        number = text.count(b"\n", 0, end) + 1
        got = short_repr(text[end : text.index(b"\n", end)][:300].decode("ascii", "backslashreplace"))
        raise FormatError(f"list of store paths, line {number}", got, _EXPECTED)
    return ChannelIndex(text)


def _parse_json(data: bytes) -> ChannelIndex:
    pairs = parse_json(data, "catalogue", _EXPECTED, object_pairs_hook=tuple)
    aliases: dict[str, StorePath] = {}
    for name, value in pairs:
        if name in aliases:
            raise FormatError("catalogue", f"the name {short_repr(name)} twice", "each once")
        aliases[name] = _parse_path(name, value)
    text = b"".join(b"%s\n" % str(path).encode() for path in aliases.values())
    return ChannelIndex(text, MappingProxyType(aliases))


def _parse_path(name: str, value: Any) -> StorePath:
    if not isinstance(value, str):
        got = short_repr(value) if not isinstance(value, tuple) else "an object"
        raise FormatError(f"catalogue, {short_repr(name)}", got, "a store path")
    try:
        return StorePath.parse(value)
    except InvalidArgument as error:
        raise error.convert(FormatError).add_context(f"catalogue, {short_repr(name)}") from error
