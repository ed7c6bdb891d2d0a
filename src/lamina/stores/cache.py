"""A binary cache: what it says of store paths, and their NARs.

Invariant: a narinfo that comes out is of the path that was asked for and is believed; what comes of a NAR is bytes that
nobody has checked yet, `Fetching` does.

The protocol: Nix source, libstore, binary-cache-store; ``nix-cache-info``, ``HASH.narinfo``, and whatever URL that has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from threading import Lock
from typing import Protocol

from lamina.decoding import decoded
from lamina.errors import FormatError, IntegrityError, NotFound, Unavailable
from lamina.formats import narinfo
from lamina.formats.cacheinfo import NAME as CACHE_INFO
from lamina.formats.cacheinfo import CacheInfo
from lamina.formats.narinfo import NarInfo
from lamina.names import STORE_DIR, StorePath
from lamina.stores.trust import Trust

# Servers see them as one client's; more gain nothing, for a level of a closure seldom has more paths.
CONNECTIONS = 64
# More than any narinfo that is one: a thousand references take 60 KB.
MOST_NARINFO = 1 << 22
_MOST_CACHE_INFO = 1 << 16
# What a compression may add to what cannot be compressed, and its headers.
_SLACK, _OVERHEAD = 16, 1 << 16


class Transport(Protocol):
    """How a cache is reached."""

    @property
    def where(self) -> str:
        """Its URL, without credentials."""

    def read(self, name: str, limit: int) -> bytes | None:
        """A small file, None where there is none. Raises `FormatError` above ``limit`` bytes, `Unavailable`."""

    def stream(self, name: str, limit: int) -> Iterator[bytes]:
        """The pieces of a file. Raises `NotFound`, `FormatError` above ``limit`` bytes, `Unavailable`."""


class BinaryCache:
    """The cache that ``transport`` reaches, as far as ``trust`` believes it; any number of threads may ask it."""

    def __init__(self, transport: Transport, trust: Trust) -> None:
        self._transport = transport
        self._trust = trust
        self._lock = Lock()
        self._is_checked = False

    @property
    def where(self) -> str:
        """Its URL, without credentials."""
        return self._transport.where

    def narinfos(self, paths: Collection[StorePath]) -> Mapping[StorePath, NarInfo]:
        """What the cache says of ``paths``, asked for all at once; those that it has not are left out.

        Raises `IntegrityError` for a path that is not believed, `FormatError`, `Unavailable`.
        """
        if not paths:
            return {}
        self._check()
        found = [self._narinfo(*paths)] if len(paths) == 1 else self._threads.map(self._narinfo, paths)
        return {known.info.path: known for known in found if known}

    def nar(self, known: NarInfo) -> Iterator[bytes]:
        """The NAR of ``known``, without its compression, in pieces of at most 256 KiB.

        Raises `NotFound` where it is gone, `FormatError`, `Unavailable`; the caller stops at the size it expects.
        """
        size = known.info.nar_size
        most = known.file_size or size + size // _SLACK + _OVERHEAD
        try:
            yield from decoded(self._transport.stream(known.url, most), known.compression)
        except (FormatError, NotFound) as error:
            raise type(error)(f"{known.info.path} in {self.where}: {error}", hint=error.hint) from error

    def _check(self) -> None:
        with self._lock:
            if self._is_checked:
                return
            data = self._transport.read(CACHE_INFO, _MOST_CACHE_INFO)
            if data is None:
                raise Unavailable(f"{self.where}: got no {CACHE_INFO} there, expected a binary cache")
            try:
                info = CacheInfo.parse(data.decode())
            except (FormatError, UnicodeDecodeError) as error:
                raise FormatError(f"{self.where}: {error}") from error
            if info.store_dir != STORE_DIR:
                raise Unavailable(f"{self.where}: got a cache of {info.store_dir}, expected one of {STORE_DIR}")
            self._is_checked = True

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(CONNECTIONS, "lamina-narinfo")

    def _narinfo(self, path: StorePath) -> NarInfo | None:
        name = f"{path.hash}.narinfo"
        data = self._transport.read(name, MOST_NARINFO)
        if data is None:
            return None
        try:
            known = narinfo.parse(data.decode())
        except (FormatError, UnicodeDecodeError) as error:
            raise FormatError(f"{name} in {self.where}: {error}") from error
        if known.info.path != path:
            raise IntegrityError(f"{name} in {self.where}: got the narinfo of {known.info.path}, expected {path}")
        self._trust.check(known, self.where)
        return known
