"""Lists of store paths by which a name is found: a channel's ``store-paths``, or names of one's own in JSON.

Invariant: all of a list is checked when it is parsed, and a path of it is made when somebody asks for it.

A channel's list is one path per line, without what refers to what, of two hundred thousand lines or more (nixpkgs,
``pkgs/top-level/release.nix`` and the channels it becomes). In JSON it is an object of names with the path each means.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from lamina.core.name_match import match_paths, search_prefix
from lamina.core.names import HASH_LENGTH, NIX32, STORE_DIR, StorePath
from lamina.errors import FormatError, InvalidArgument
from lamina.messages.redaction import short_repr

_PREFIX = f"{STORE_DIR}/".encode()
# Before the dash of a path.
_NAME_OFFSET = len(_PREFIX) + HASH_LENGTH
_PATH = rb"%s[%s]{%d}-[0-9a-zA-Z+\-._?=]{1,211}" % (re.escape(_PREFIX), NIX32.encode(), HASH_LENGTH)
# Possessive, so that as many lines as there are take no stack and no way back.
_LINES = re.compile(rb"(?>(?:%s|[ \t]*)\n)*+" % _PATH)
_JSON = re.compile(rb"\s*\{")
_EXPECTED = f"one {STORE_DIR}/HASH-NAME per line, or an object of names and such paths in JSON"


@dataclass(frozen=True, slots=True)
class ChannelIndex:
    """Paths by their names. ``text`` is one path a line, ``aliases`` what some names mean before anything else."""

    text: bytes = field(repr=False)
    aliases: Mapping[str, StorePath] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    def find(self, name: str) -> tuple[StorePath, ...]:
        """The path that is listed under ``name``, else those that it may mean, as `lamina.core.name_match` says."""
        if name in self.aliases:
            return (self.aliases[name],)
        part = search_prefix(name)
        return match_paths(self._find_prefix(part.encode()), name) if part and part.isascii() else ()

    def _find_prefix(self, part: bytes) -> Iterator[StorePath]:
        """The paths whose names begin with ``part``."""
        needle = b"-" + part
        offset = self.text.find(needle)
        while offset >= 0:
            # Nothing but the beginning of a path has a slash in it.
            if self.text.startswith(_PREFIX, max(offset - _NAME_OFFSET, 0)):
                yield self._path_at(offset - _NAME_OFFSET)
            offset = self.text.find(needle, offset + 1)

    def _path_at(self, start: int) -> StorePath:
        return StorePath(self.text[start + len(_PREFIX) : self.text.index(b"\n", start)].decode())


def parse(data: bytes) -> ChannelIndex:
    """What a list says, plain or in JSON; raises `FormatError`, which names the first line that is no path."""
    if _JSON.match(data):
        return _from_json(data)
    data = data.replace(b"\r\n", b"\n")
    text = data if not data or data.endswith(b"\n") else data + b"\n"
    found = _LINES.match(text)
    end = found.end() if found else 0
    if end < len(text):
        number = text.count(b"\n", 0, end) + 1
        got = short_repr(text[end : text.index(b"\n", end)][:300].decode("ascii", "backslashreplace"))
        raise FormatError(f"list of store paths, line {number}: got {got}, expected {_EXPECTED}")
    return ChannelIndex(text)


def _from_json(data: bytes) -> ChannelIndex:
    try:
        pairs = json.loads(data, object_pairs_hook=tuple)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"catalogue: got {error}, expected {_EXPECTED}") from error
    aliases: dict[str, StorePath] = {}
    for name, value in pairs:
        if name in aliases:
            raise FormatError(f"catalogue: got the name {short_repr(name)} twice, expected each once")
        aliases[name] = _path(name, value)
    text = b"".join(b"%s\n" % str(path).encode() for path in aliases.values())
    return ChannelIndex(text, MappingProxyType(aliases))


def _path(name: str, value: Any) -> StorePath:
    if not isinstance(value, str):
        got = short_repr(value) if not isinstance(value, tuple) else "an object"
        raise FormatError(f"catalogue, {short_repr(name)}: got {got}, expected a store path")
    try:
        return StorePath.parse(value)
    except InvalidArgument as error:
        raise FormatError(f"catalogue, {short_repr(name)}: {error}") from error
