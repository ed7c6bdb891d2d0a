"""A binary cache: what it says of store paths, and their NARs.

What comes of a NAR is bytes that nobody has checked yet; `Fetcher` checks them.

The protocol: Nix source, libstore, binary-cache-store; ``nix-cache-info``, ``HASH.narinfo``, and whatever URL that has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from functools import cached_property
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Protocol

from lamina.compression.decoders import decode_pieces
from lamina.core.names import STORE_DIR, StorePath
from lamina.errors import Error, FormatError, IntegrityError, NotFound, Unavailable, Unreachable
from lamina.formats import narinfo
from lamina.formats.cache_info import FILE_NAME as CACHE_INFO
from lamina.formats.cache_info import CacheInfo
from lamina.formats.narinfo import NarInfo
from lamina.messages.redaction import short_repr
from lamina.stores.binary_cache.trust import Trust
from lamina.stores.failures import RECOVERABLE_ERRORS
from lamina.transports.retry import MAX_CONNECTIONS

_MAX_CACHE_INFO = 1 << 16
# Several times as many as the largest closures have; one that a hostile cache makes up has no end.
_MAX_PATHS = 1 << 18
# What a compression may add to what cannot be compressed, and its headers.
_SLACK, _OVERHEAD = 16, 1 << 16

NarInfoResult = NarInfo | Error | None
"""What a cache says of a path: its narinfo, why that cannot be had or believed, or that it does not have the path."""


class CacheTransport(Protocol):
    """How a cache is reached."""

    @property
    def label(self) -> str:
        """Its URL, without credentials."""

    def read(self, name: str, limit: int) -> bytes | None:
        """A small file, None where there is none. Raises `FormatError` above ``limit`` bytes, `Unavailable`."""

    def stream(self, name: str, limit: int) -> Iterator[bytes]:
        """The pieces of a file. Raises `NotFound`, `FormatError` above ``limit`` bytes, `Unavailable`."""


class BinaryCache:
    """The cache that is reached by what ``opener`` gives, as far as ``trust`` believes it.

    Any number of threads may ask it. It is opened when it is first asked. Once it turns out to be no binary cache, or
    its server does not answer, it is not asked again.
    """

    def __init__(self, opener: Callable[[], CacheTransport], trust: Trust) -> None:
        self._opener = opener
        self._trust = trust
        self._lock = Lock()
        self._is_checked = False
        self._fault: Error | None = None
        self._count = 0

    @property
    def label(self) -> str:
        """Its URL, without credentials."""
        return self._transport.label

    def query_each(self, paths: Collection[StorePath]) -> Iterator[tuple[StorePath, NarInfoResult]]:
        """Ask for ``paths``, all at once, and give what the cache says of each, in any order.

        The cache lacks a path that it has under another name, as for Nix (libstore, queryPathInfo). Raises as
        `query_hashes` does.
        """
        paths_by_hash: dict[str, list[StorePath]] = {}
        for path in paths:
            paths_by_hash.setdefault(path.hash, []).append(path)
        for hash_part, answer in self.query_hashes(paths_by_hash):
            for path in paths_by_hash[hash_part]:
                yield path, None if isinstance(answer, NarInfo) and answer.info.path != path else answer

    def query_hashes(self, hashes: Collection[str]) -> Iterator[tuple[str, NarInfoResult]]:
        """Ask for the paths that begin with ``hashes``, all at once, and give what the cache says of each.

        Raises `FormatError` for a closure that has no end.
        """
        if not hashes:
            return
        fault = self._check_once()
        if fault:
            yield from dict.fromkeys(hashes, fault).items()
            return
        self._count += len(hashes)
        if self._count > _MAX_PATHS:
            raise FormatError(f"{self.label}: got a closure of more than {_MAX_PATHS} paths, expected an end of it")
        if len(hashes) == 1:
            yield from ((hash_part, self._query_hash(hash_part)) for hash_part in hashes)
        else:
            yield from self._query_concurrently(tuple(hashes))

    def _query_concurrently(self, hashes: Sequence[str]) -> Iterator[tuple[str, NarInfoResult]]:
        """Give the answer for each hash as it comes; whoever stops listening waits for no other."""
        left, results = list(hashes), SimpleQueue[tuple[str, NarInfoResult] | BaseException]()

        def ask() -> None:
            try:
                while hash_part := _pop(left):
                    results.put((hash_part, self._query_hash(hash_part)))
            except BaseException as error:  # noqa: BLE001 - it is raised where the answer is waited for
                left.clear()
                results.put(error)

        for _ in range(min(MAX_CONNECTIONS, len(hashes))):
            # Nor does the end of the process wait for a server that says nothing.
            Thread(target=ask, name="lamina-narinfo", daemon=True).start()
        try:
            for _ in hashes:
                answer = results.get()
                if isinstance(answer, BaseException):
                    raise answer
                yield answer
        finally:
            left.clear()

    def trusts_nar_hash(self, known: NarInfo) -> bool:
        """Tell whether the NAR hash of ``known`` counts whatever content address it has."""
        return self._trust.trusts_nar_hash(known)

    def stream_nar(self, known: NarInfo) -> Generator[bytes]:
        """Give the NAR of ``known``, without its compression, in pieces of at most 256 KiB.

        The size of the compressed file that ``known`` has is signed by nobody, so it bounds nothing.
        Raises `NotFound` where it is gone, `FormatError`, `Unavailable`; the caller stops at the size it expects.
        """
        if self._fault:
            raise self._fault
        size = known.info.nar_size
        # A server has a root of its own, which a leading slash may mean; a folder or a bucket has none.
        name = known.url if self.label.startswith(("http://", "https://")) else known.file_name
        try:
            yield from decode_pieces(self._transport.stream(name, size + size // _SLACK + _OVERHEAD), known.compression)
        except (FormatError, NotFound) as error:
            raise type(error)(f"{known.info.path} in {self.label}: {error}", hint=error.hint) from error
        except Unreachable as error:
            self._fault = error
            raise

    def _check_once(self) -> Error | None:
        """Why nothing can be asked of the cache, None where it can."""
        with self._lock:
            if not self._is_checked and not self._fault:
                try:
                    self._check_cache_info()
                except RECOVERABLE_ERRORS as error:
                    self._fault = error
                self._is_checked = True
            return self._fault

    def _check_cache_info(self) -> None:
        data = self._transport.read(CACHE_INFO, _MAX_CACHE_INFO)
        if data is None:
            raise Unavailable(
                f"{self.label}: got no {CACHE_INFO} there, expected a binary cache",
                hint="a server may also hide it from requests without credentials: ~/.netrc or the URL holds those for "
                "HTTP, AWS_ACCESS_KEY_ID or profile=NAME in the URL's query names those for S3",
            )
        try:
            info = CacheInfo.parse(_decode(data))
        except FormatError as error:
            raise FormatError(f"{self.label}: {error}") from error
        if info.store_dir != STORE_DIR:
            raise Unavailable(f"{self.label}: got a cache of {info.store_dir}, expected one of {STORE_DIR}")

    @cached_property
    def _transport(self) -> CacheTransport:
        return self._opener()

    def _query_hash(self, hash_part: str) -> NarInfoResult:
        if self._fault:
            return self._fault
        try:
            return self._fetch_narinfo(hash_part)
        except Unreachable as error:
            self._fault = error
            return error
        except RECOVERABLE_ERRORS as error:
            return error

    def _fetch_narinfo(self, hash_part: str) -> NarInfo | None:
        name = f"{hash_part}.narinfo"
        data = self._transport.read(name, narinfo.MAX_SIZE)
        if data is None:
            return None
        try:
            known = narinfo.parse_bytes(data)
        except FormatError as error:
            raise FormatError(f"{name} in {self.label}: {error}") from error
        if known.info.path.hash != hash_part:
            raise IntegrityError(
                f"{name} in {self.label}: got the narinfo of {known.info.path}, expected one of {hash_part}"
            )
        self._trust.check(known, self.label)
        return known


def _decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise FormatError(f"text: got {short_repr(data[error.start : error.end])}, expected UTF-8") from error


def _pop(hashes: list[str]) -> str | None:
    try:
        return hashes.pop()
    except IndexError:  # another thread was there first
        return None
