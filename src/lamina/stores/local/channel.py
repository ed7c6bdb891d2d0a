"""What a channel of nixpkgs has, or a catalogue, as a store: names without contents.

Invariant: a list from the network is kept whole or not at all, and only one that could be read; within a day nobody is
asked again, and an older one says how old it is.

A channel is a name at ``https://channels.nixos.org``, and its list a file there, ``store-paths.xz`` (nixos.org,
"Channels"). It says which path a name means, not what that refers to: for that a binary cache is asked.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lamina.compression.decoders import decode_pieces, detect_compression
from lamina.core.names import StorePath
from lamina.core.nodes import Node
from lamina.core.pathinfo import PathInfo
from lamina.errors import Error, FormatError, NotFound, Unavailable
from lamina.formats import channel_index
from lamina.messages.redaction import short_repr
from lamina.system.temporary import PartFile

CHANNELS = "https://channels.nixos.org"
LIST = "store-paths.xz"
DAY = 24 * 3600
_MINUTE = 60
_HOUR = 3600
# Lists of nixos-unstable have 4 MiB, and 15 MiB of text in them.
_MAX_BYTES = 64 << 20
_MAX_TEXT = 512 << 20
_CHANNEL = re.compile(r"(?:nixos|nixpkgs)-(?:unstable|[0-9]{2}\.[0-9]{2})(?:-[a-z0-9_]+)*")
# What is a list by its name; anything else may be a folder as well.
_LIST_NAME = re.compile(r"store-paths|.*\.(?:xz|zst|gz|bz2|lz4|json|txt|list)", re.DOTALL)
_EXPECTED = "a channel such as nixos-25.11, the URL of a list or of a folder with one, or a file"


class ChannelReader(Protocol):
    """A folder somewhere, as far as a list in it is read."""

    @property
    def label(self) -> str:
        """The folder as messages have it, without credentials."""

    def read(self, name: str, limit: int) -> bytes | None:
        """A file whole, None where it is absent; raises `FormatError` above ``limit`` bytes, `Unavailable`."""

    def close(self) -> None:
        """Lets go of connections."""


Opener = Callable[[str], ChannelReader]
"""From a URL to what reads there; raises `InvalidArgument`."""


class Channel:
    """The paths of the list ``name``, which was fetched ``age`` seconds ago; ``warnings`` say what is amiss with it."""

    def __init__(
        self, name: str, paths: channel_index.ChannelIndex, *, age: float = 0.0, warnings: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self.age = age
        self.warnings = warnings
        self._paths = paths

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        """Nothing: a list does not say what a path refers to."""
        return {}

    def nodes(self, path: StorePath) -> Iterable[Node]:
        """Raises `NotFound`: a list has no contents."""
        raise NotFound(f"{path}: got a list of names, {self.name}, expected a store that has the contents")

    def find(self, name: str) -> tuple[StorePath, ...]:
        """The paths that ``name`` may mean, as `lamina.core.name_match` says."""
        return self._paths.find(name)

    def hashes(self) -> Collection[str]:
        """None: a list names paths, and vouches for none."""
        return frozenset()

    def with_hashes(self, hashes: Collection[str]) -> tuple[StorePath, ...]:
        """None, likewise."""
        return ()


def open_channel(where: str, opener: Opener, cache: Path | None, *, offline: bool, now: float) -> Channel:
    """The list at ``where``: a channel's name, the URL of a list or of a folder with one, such a folder, or a file.

    How a list is compressed is told by its bytes. One from the network is kept below ``cache``, where there is one; it
    will do for a day from ``now``, in seconds since 1970, and longer where there is no newer one to be had, or none may
    be asked for; whenever it does, a warning says its age. Raises `InvalidArgument` for a URL that cannot be,
    `NotFound` where there is no list, `Unavailable`, and `FormatError` for what is none.
    """
    if "://" in where:
        return _open_url(where, "", opener, cache, offline=offline, now=now)
    if _CHANNEL.fullmatch(where):
        return _open_url(f"{CHANNELS}/{where}/{LIST}", where, opener, cache, offline=offline, now=now)
    folder = os.path.isdir(where)
    return Channel(where, _parse(_read_file(os.path.join(where, LIST) if folder else where), where))


def _open_url(url: str, name: str, opener: Opener, cache: Path | None, *, offline: bool, now: float) -> Channel:
    name = name or _display_name(url, opener)
    if url.lower().startswith("file:"):
        return Channel(name, _parse(_fetch(url, opener, name), name))
    keep = None if cache is None else _ListCache(cache / hashlib.sha256(url.encode()).hexdigest()[:32])
    old = keep.load(name, now) if keep else None
    if old and (old.is_fresh or offline):
        return old.channel(name, "")
    if offline:
        raise Unavailable(f"list of {name}: got none that was kept, expected one", hint="do without --offline once")
    try:
        data = _fetch(url, opener, name)
        paths = _parse(data, name)
    except Error as error:
        if old is None:
            raise
        return old.channel(name, str(error))
    return Channel(name, paths, warnings=keep.store(data, name, now) if keep else ())


def _display_name(url: str, opener: Opener) -> str:
    """``url`` as messages have it."""
    with closing(opener(url)) as reader:
        return reader.label


def _possible_files(url: str) -> list[tuple[str, str]]:
    """The folders and files that ``url`` may mean, the likeliest first; a query goes with every request to a folder."""
    path, mark, query = url.partition("?")
    scheme, _, rest = path.partition("://")
    folder, slash, file = rest.rpartition("/")
    if not slash or not file:  # a host, or what says of itself that it is a folder
        return [(url, LIST)]
    itself = (f"{scheme}://{folder}/{mark}{query}", file)
    return [itself] if _LIST_NAME.fullmatch(file) else [(url, LIST), itself]


def _fetch(url: str, opener: Opener, name: str) -> bytes:
    for folder, file in _possible_files(url):
        with closing(opener(folder)) as reader:
            data = reader.read(file, _MAX_BYTES)
        if data is not None:
            return data
    raise NotFound(f"list of {name}: got nothing there, expected a list of store paths")


def _read_file(where: str) -> bytes:
    try:
        with open(where, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise Unavailable(f"channel {short_repr(where)}: got no such thing, expected {_EXPECTED}") from error
    except (OSError, ValueError) as error:  # the latter for a NUL in it
        got = (error.strerror if isinstance(error, OSError) else None) or error
        raise Unavailable(f"channel {short_repr(where)}: got {got}, expected {_EXPECTED}") from error
    if len(data) > _MAX_BYTES:
        raise FormatError(f"{where}: got more than {_MAX_BYTES} bytes, expected a list of store paths")
    return data


def _parse(data: bytes, name: str) -> channel_index.ChannelIndex:
    try:
        return channel_index.parse(_decompress(data))
    except FormatError as error:
        raise FormatError(f"list of {name}: {error}", hint=error.hint) from error


def _decompress(data: bytes) -> bytes:
    if not data:
        raise FormatError("got no bytes, expected a list of store paths")
    pieces, size = [], 0
    for piece in decode_pieces((data,), detect_compression(data[:6])):
        pieces.append(piece)
        size += len(piece)
        if size > _MAX_TEXT:
            raise FormatError(f"got more than {_MAX_TEXT} bytes of text, expected a list of store paths")
    return b"".join(pieces)


@dataclass(frozen=True, slots=True)
class _CachedList:
    """A list of some time ago."""

    paths: channel_index.ChannelIndex
    age: float

    @property
    def is_fresh(self) -> bool:
        return self.age < DAY

    def channel(self, name: str, reason: str) -> Channel:
        """It as a channel; ``reason`` is why there is no newer one, empty where nobody was asked."""
        because = f", and got no newer one: {reason}" if reason else ""
        warning = f"list of {name} is {format_age(self.age)} old{because}"
        return Channel(name, self.paths, age=self.age, warnings=(warning,))


@dataclass(frozen=True, slots=True)
class _ListCache:
    """Where a list is kept; the file's own time is when it was fetched."""

    file: Path

    def load(self, name: str, now: float) -> _CachedList | None:
        """What is kept, None where nothing is that could be read."""
        try:
            age = now - self.file.stat().st_mtime
            paths = _parse(self.file.read_bytes(), name)
        except (OSError, FormatError):
            return None
        # A clock that was wrong once must not keep a list for ever; one that is not quite exact may.
        return _CachedList(paths, max(age, 0.0) if age > -_HOUR else DAY)

    def store(self, data: bytes, name: str, now: float) -> tuple[str, ...]:
        """Keeps ``data`` as what was fetched ``now``; gives a warning where it cannot."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with PartFile(self.file.parent) as part:
                part.path.write_bytes(data)
                os.utime(part.path, (now, now))
                part.commit(self.file)
        except OSError as error:
            return (f"list of {name} could not be kept in {self.file.parent}: {error.strerror or error}",)
        return ()


def format_age(seconds: float) -> str:
    """A time in whole minutes, of two hours or more in whole hours, of two days or more in whole days."""
    for unit, name in ((DAY, "days"), (_HOUR, "hours")):
        if seconds >= 2 * unit:
            return f"{int(seconds // unit)} {name}"
    return f"{int(seconds // _MINUTE)} minutes"
