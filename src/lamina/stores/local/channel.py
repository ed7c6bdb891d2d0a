"""The list of store paths of a nixpkgs channel, or a catalogue, as a store: names without contents.

A downloaded list is cached only if it is complete and valid. It is not downloaded again within a day. If an older list
is used, a warning gives its age.

A channel is a name at ``https://channels.nixos.org``; its list is the file ``store-paths.xz`` there (nixos.org,
"Channels"). The list says which path a name means, but not the references of the path; a binary cache has those.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from lamina.compression.decoders import decode_pieces
from lamina.compression.streams import MAGIC_SIZE, detect_compression
from lamina.core.names import StorePath
from lamina.core.nodes import Node
from lamina.core.pathinfo import PathInfo
from lamina.errors import Error, FormatError, NotFound, Unavailable, error_context
from lamina.formats import channel_index
from lamina.messages.redaction import short_repr
from lamina.messages.sizes import format_size
from lamina.stores.store import Store
from lamina.stores.transport import Transport
from lamina.system.documents import read_document
from lamina.system.temporary import PartFile

CHANNELS = "https://channels.nixos.org"
LIST = "store-paths.xz"
DAY = 24 * 3600
_MINUTE = 60
_HOUR = 3600
# The limits in bytes, compressed and decompressed. The list of nixos-unstable has 4 MiB and 15 MiB.
_MAX_BYTES = 64 << 20
_MAX_TEXT = 512 << 20
CHANNEL_NAME = re.compile(r"(?:nixos|nixpkgs)-(?:unstable|[0-9]{2}\.[0-9]{2})(?:-[a-z0-9_]+)*")
# Names in the folder of cached lists: complete lists, and incomplete ones that a killed process left behind.
_CACHED = re.compile(r"[0-9a-f]{32}|\.lamina\.[0-9a-f]{1,32}\.part")
# File names of lists; a URL with another last component may also be a folder.
_LIST_NAME = re.compile(r"store-paths|.*\.(?:xz|zst|gz|bz2|lz4|json|txt|list)", re.DOTALL)
_EXPECTED = "a channel such as nixos-25.11, the URL of a list or of a folder with one, or a file"


Opener = Callable[[str], Transport]
"""Returns the transport of a URL; raises `InvalidArgument`."""


class Channel(Store):
    """The paths of the list ``name``, which was downloaded ``age`` seconds ago, with the ``warnings`` about it.

    It has no index of hashes, because a list only names paths and does not make them valid.
    """

    has_contents = False

    def __init__(
        self, name: str, paths: channel_index.ChannelIndex, *, age: float = 0.0, warnings: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self.age = age
        self.warnings = warnings
        self._paths = paths

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        """Return nothing, because a list does not contain references."""
        return {}

    def nodes(self, path: StorePath) -> Iterable[Node]:
        """Raise `NotFound`, because a list has no contents."""
        raise NotFound(path, f"a list of names, {self.name}", "a store that has the contents")

    def find(self, name: str) -> tuple[StorePath, ...]:
        """Return the paths that ``name`` may mean (`lamina.core.name_match`)."""
        return self._paths.find(name)

    def names(self) -> Collection[str]:
        """Return the names in the list."""
        return self._paths.names()


def open_channel(address: str, opener: Opener, cache: Path | None, *, offline: bool, now: float) -> Channel:
    """Open a list. Its compression is detected from its first bytes.

    A downloaded list is used for a day, and longer if no newer one is available or requests are forbidden. Whenever a
    cached list is used, a warning gives its age.

    Args:
        address: The name of a channel, the URL of a list or of a folder with one, or a local folder or file.
        opener: Opens URLs.
        cache: The folder that caches lists; None to cache nothing.
        offline: Whether to send no requests.
        now: The time in seconds since 1970.

    Raises:
        InvalidArgument: The URL is invalid.
        NotFound: There is no list at the URL.
        InputError: The local file is missing, or cannot be read.
        FormatError: The file is not a list.
    """
    if "://" in address:
        return _open_url(address, "", opener, cache, offline=offline, now=now)
    if CHANNEL_NAME.fullmatch(address):
        return _open_url(f"{CHANNELS}/{address}/{LIST}", address, opener, cache, offline=offline, now=now)
    file = os.path.join(address, LIST) if os.path.isdir(address) else address
    data = read_document(file, f"channel {short_repr(file)}", _EXPECTED, limit=_MAX_BYTES)
    return Channel(address, _parse(data, address))


def _open_url(url: str, name: str, opener: Opener, cache: Path | None, *, offline: bool, now: float) -> Channel:
    name = name or _redact(url, opener)
    if url.lower().startswith("file:"):
        return Channel(name, _parse(_fetch(url, opener, name), name))
    list_cache = None if cache is None else _ListCache(cache / hashlib.sha256(url.encode()).hexdigest()[:32])
    cached = list_cache.load(name, now) if list_cache else None
    if cached and (cached.is_fresh or offline):
        return cached.to_channel(name, "")
    if offline:
        raise Unavailable(f"list of {name}", "no cached list", "one", hint="run the command once without --offline")
    try:
        data = _fetch(url, opener, name)
        paths = _parse(data, name)
    except Error as error:
        if cached is None:
            raise
        return cached.to_channel(name, str(error))
    return Channel(name, paths, warnings=list_cache.store(data, name, now) if list_cache else ())


def _redact(url: str, opener: Opener) -> str:
    """Return ``url`` without credentials, for messages."""
    with closing(opener(url)) as transport:
        return transport.label


def _list_candidates(url: str) -> list[tuple[str, str]]:
    """Return the folders and files that ``url`` may mean, the most likely first. The query of the URL stays in both."""
    path, mark, query = url.partition("?")
    scheme, _, rest = path.partition("://")
    folder, slash, file = rest.rpartition("/")
    if not slash or not file:  # a host, or a folder with a slash at its end
        return [(url, LIST)]
    named_file = (f"{scheme}://{folder}/{mark}{query}", file)
    return [named_file] if _LIST_NAME.fullmatch(file) else [(url, LIST), named_file]


def _fetch(url: str, opener: Opener, name: str) -> bytes:
    for folder, file in _list_candidates(url):
        with closing(opener(folder)) as transport:
            data = transport.read(file, _MAX_BYTES)
        if data is not None:
            return data
    raise NotFound(f"list of {name}", "nothing there", "a list of store paths")


def _parse(data: bytes, name: str) -> channel_index.ChannelIndex:
    with error_context(f"list of {name}", FormatError):
        return channel_index.parse(_decompress(data))


def _decompress(data: bytes) -> bytes:
    if not data:
        raise FormatError(got="no bytes", expected="a list of store paths")
    pieces, size = [], 0
    for piece in decode_pieces((data,), detect_compression(data[:MAGIC_SIZE])):
        pieces.append(piece)
        size += len(piece)
        if size > _MAX_TEXT:
            raise FormatError(got=f"more than {format_size(_MAX_TEXT)} of text", expected="a list of store paths")
    return b"".join(pieces)


@dataclass(frozen=True, slots=True)
class _CachedList:
    """A list from the cache and its age in seconds."""

    paths: channel_index.ChannelIndex
    age: float

    @property
    def is_fresh(self) -> bool:
        return self.age < DAY

    def to_channel(self, name: str, reason: str) -> Channel:
        """Return the list as a channel; ``reason`` is why there is no newer one, empty if no request was sent."""
        explanation = f", and got no newer one: {reason}" if reason else ""
        warning = f"list of {name} is {format_age(self.age)} old{explanation}"
        return Channel(name, self.paths, age=self.age, warnings=(warning,))


@dataclass(frozen=True, slots=True)
class _ListCache:
    """The cache file of a list; its mtime is the time of the download."""

    file: Path

    def load(self, name: str, now: float) -> _CachedList | None:
        """Return the cached list, None if there is none that can be read."""
        try:
            age = now - self.file.stat().st_mtime
            paths = _parse(self.file.read_bytes(), name)
        except (OSError, FormatError):
            return None
        # A download time in the future means that a clock was wrong. Up to an hour is tolerated; beyond that, the list
        # counts as a day old, or it would stay fresh until that time.
        return _CachedList(paths, max(age, 0.0) if age > -_HOUR else DAY)

    def store(self, data: bytes, name: str, now: float) -> tuple[str, ...]:
        """Write ``data`` to the cache as downloaded at ``now``; return a warning if that fails."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with PartFile(self.file.parent) as part:
                part.write(data)
                os.utime(part.path, (now, now))
                part.commit(self.file)
        except OSError as error:
            return (f"list of {name} could not be cached in {self.file.parent}: {error.strerror or error}",)
        return ()


def list_cached_lists(cache: Path) -> list[Path]:
    """Return the lists in the folder ``cache``; none if there is no such folder. Raises `OSError`."""
    files = cache.iterdir() if cache.is_dir() else ()
    return sorted(file for file in files if _CACHED.fullmatch(file.name) and file.is_file())


def format_age(seconds: float) -> str:
    """Format a time in whole minutes, from two hours on in whole hours, from two days on in whole days."""
    for unit, name in ((DAY, "days"), (_HOUR, "hours")):
        if seconds >= 2 * unit:
            return f"{int(seconds // unit)} {name}"
    return f"{int(seconds // _MINUTE)} minutes"
