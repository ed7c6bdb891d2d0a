"""A binary cache: what it says of store paths, and their NARs.

Invariant: a narinfo that comes out is of the path that was asked for and is believed; what comes of a NAR is bytes that
nobody has checked yet, `Fetching` does.

The protocol: Nix source, libstore, binary-cache-store; ``nix-cache-info``, ``HASH.narinfo``, and whatever URL that has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Protocol

from lamina.decoding import decoded
from lamina.errors import FormatError, IntegrityError, NotFound, Unavailable, shown
from lamina.formats import narinfo
from lamina.formats.cacheinfo import NAME as CACHE_INFO
from lamina.formats.cacheinfo import CacheInfo
from lamina.formats.narinfo import NarInfo
from lamina.names import STORE_DIR, StorePath
from lamina.stores.trust import Trust
from lamina.transports.patience import CONNECTIONS

_MOST_CACHE_INFO = 1 << 16
# Several times as many as the largest closures have; one that a hostile cache makes up has no end.
_MOST_PATHS = 1 << 18
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
    """The cache that is reached by what ``opened`` gives, as far as ``trust`` believes it; any number of threads may
    ask it. It is opened when it is first asked.
    """

    def __init__(self, opened: Callable[[], Transport], trust: Trust) -> None:
        self._opened = opened
        self._trust = trust
        self._lock = Lock()
        self._is_checked = False
        self._count = 0

    @property
    def where(self) -> str:
        """Its URL, without credentials."""
        return self._transport.where

    def narinfos(self, paths: Collection[StorePath]) -> Mapping[StorePath, NarInfo]:
        """Ask the cache for ``paths``, all at once; those that it does not have are left out.

        A path under another name than the cache has it is one of those, as for Nix (libstore, queryPathInfo). Raises
        as `with_hashes` does.
        """
        wanted = dict.fromkeys(paths)
        found = self.with_hashes(dict.fromkeys(path.hash for path in wanted))
        return {known.info.path: known for known in found if known.info.path in wanted}

    def with_hashes(self, hashes: Collection[str]) -> Collection[NarInfo]:
        """Ask the cache for the paths that begin with one of ``hashes``, all at once.

        Raises `IntegrityError` for a path that is not believed, `FormatError`, `Unavailable`.
        """
        if not hashes:
            return ()
        self._check()
        self._count += len(hashes)
        if self._count > _MOST_PATHS:
            raise FormatError(f"{self.where}: got a closure of more than {_MOST_PATHS} paths, expected an end of it")
        found = [self._narinfo(*hashes)] if len(hashes) == 1 else self._all(hashes)
        return [known for known in found if known]

    def _all(self, hashes: Collection[str]) -> Iterator[NarInfo | None]:
        """What is known of each path, in any order; raises the first error, and then waits for no other answer."""
        left, answers = list(hashes), SimpleQueue[NarInfo | BaseException | None]()

        def ask() -> None:
            try:
                while digits := _popped(left):
                    answers.put(self._narinfo(digits))
            except BaseException as error:  # noqa: BLE001 - it is raised where the answer is waited for
                left.clear()
                answers.put(error)

        for _ in range(min(CONNECTIONS, len(hashes))):
            # Nor does the end of the process wait for a server that says nothing.
            Thread(target=ask, name="lamina-narinfo", daemon=True).start()
        for _ in hashes:
            answer = answers.get()
            if isinstance(answer, BaseException):
                raise answer
            yield answer

    def nar(self, known: NarInfo) -> Iterator[bytes]:
        """The NAR of ``known``, without its compression, in pieces of at most 256 KiB.

        Raises `NotFound` where it is gone, `FormatError`, `Unavailable`; the caller stops at the size it expects.
        """
        size = known.info.nar_size
        most = size + size // _SLACK + _OVERHEAD
        if known.file_size:
            # Nobody signs it.
            most = min(most, known.file_size)
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
                info = CacheInfo.parse(_text(data))
            except FormatError as error:
                raise FormatError(f"{self.where}: {error}") from error
            if info.store_dir != STORE_DIR:
                raise Unavailable(f"{self.where}: got a cache of {info.store_dir}, expected one of {STORE_DIR}")
            self._is_checked = True

    @cached_property
    def _transport(self) -> Transport:
        return self._opened()

    def _narinfo(self, digits: str) -> NarInfo | None:
        name = f"{digits}.narinfo"
        data = self._transport.read(name, narinfo.MOST)
        if data is None:
            return None
        try:
            known = narinfo.parse_bytes(data)
        except FormatError as error:
            raise FormatError(f"{name} in {self.where}: {error}") from error
        if known.info.path.hash != digits:
            raise IntegrityError(
                f"{name} in {self.where}: got the narinfo of {known.info.path}, expected one of {digits}"
            )
        self._trust.check(known, self.where)
        return known


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise FormatError(f"text: got {shown(data[error.start : error.end])}, expected UTF-8") from error


def _popped(hashes: list[str]) -> str | None:
    try:
        return hashes.pop()
    except IndexError:  # another thread was there first
        return None
