"""Client of a binary cache: query narinfos and stream NARs.

The bytes of a NAR are returned unchecked; `Fetcher` verifies them.

The protocol (Nix source, libstore, binary-cache-store) consists of the files ``nix-cache-info``, ``HASH.narinfo`` and
the NAR at the URL that the narinfo gives.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, closing
from functools import cached_property, partial
from queue import SimpleQueue
from threading import RLock

from lamina.compression.decoders import decode_pieces
from lamina.core.names import StorePath
from lamina.errors import Error, FormatError, IntegrityError, NotFound, Unavailable, Unreachable, error_context
from lamina.formats import narinfo
from lamina.formats.cache_info import FILE_NAME as CACHE_INFO
from lamina.formats.cache_info import check_cache_info
from lamina.formats.narinfo import NarInfo
from lamina.stores.binary_cache.trust import Trust
from lamina.stores.failures import RECOVERABLE_ERRORS
from lamina.stores.transport import Transport
from lamina.system.threads import ThreadPool
from lamina.transports.retry import MAX_CONNECTIONS

_MAX_CACHE_INFO = 1 << 16
# Several times the size of the largest closures. Without a limit, a hostile cache could invent references endlessly.
_MAX_PATHS = 1 << 18
# How much larger than the NAR a compressed file may be: size / _SLACK for incompressible data, plus headers.
_SLACK, _OVERHEAD = 16, 1 << 16

NarInfoResult = NarInfo | Error | None
"""A cache's answer for a path: a narinfo, an error if it is unreadable or untrusted, or None if it is missing."""


class BinaryCache:
    """A binary cache, accessed through the transport that ``opener`` returns; ``trust`` decides which narinfos count.

    Any number of threads may use it. The transport is opened at the first query. If it is not a binary cache, or its
    server does not answer, no further requests are sent.
    """

    def __init__(self, opener: Callable[[], Transport], trust: Trust) -> None:
        self._opener = opener
        self._trust = trust
        self._opened = ExitStack()
        self._lock = RLock()
        self._is_checked = False
        self._fault: Error | None = None
        self._query_count = 0

    def close(self) -> None:
        """Close the connections that are open."""
        self._opened.close()

    @property
    def label(self) -> str:
        """The URL of the cache, without credentials."""
        return self._transport.label

    def query_each(self, paths: Collection[StorePath]) -> Iterator[tuple[StorePath, NarInfoResult]]:
        """Query ``paths`` concurrently and yield the answer for each, in any order.

        As in Nix, a narinfo with the same hash but another name counts as missing (libstore, queryPathInfo). Raises
        what `query_hashes` raises.
        """
        paths_by_hash: dict[str, list[StorePath]] = {}
        for path in paths:
            paths_by_hash.setdefault(path.hash, []).append(path)
        for hash_part, result in self.query_hashes(paths_by_hash):
            for path in paths_by_hash[hash_part]:
                yield path, None if isinstance(result, NarInfo) and result.info.path != path else result

    def query_hashes(self, hashes: Collection[str]) -> Iterator[tuple[str, NarInfoResult]]:
        """Query the paths that begin with ``hashes`` concurrently and yield the answer for each, in any order.

        Raises `FormatError` if more paths were queried than any real closure has.
        """
        if not hashes:
            return
        fault = self._check_once()
        if fault:
            yield from dict.fromkeys(hashes, fault).items()
            return
        self._query_count += len(hashes)
        if self._query_count > _MAX_PATHS:
            raise FormatError(self.label, f"a closure of more than {_MAX_PATHS} paths", "a smaller closure")
        if len(hashes) == 1:
            yield from map(self._query_hash, hashes)
        else:
            yield from self._query_concurrently(hashes)

    def _query_concurrently(self, hashes: Collection[str]) -> Iterator[tuple[str, NarInfoResult]]:
        """Yield each answer as it arrives. A caller that stops iterating does not wait for the other answers."""
        pool = ThreadPool(min(MAX_CONNECTIONS, len(hashes)), "lamina-narinfo")
        results = SimpleQueue[Future[tuple[str, NarInfoResult]]]()
        try:
            for hash_part in hashes:
                pool.submit(partial(self._query_hash, hash_part)).add_done_callback(results.put)
            for _ in hashes:
                yield results.get().result()
        finally:
            pool.close(timeout=0)

    def trusts_nar_hash(self, narinfo: NarInfo) -> bool:
        """Return whether a trusted key signed the NAR hash of ``narinfo``. Its content address is then not needed."""
        return self._trust.trusts_nar_hash(narinfo)

    def stream_nar(self, narinfo: NarInfo) -> Generator[bytes]:
        """Yield the decompressed NAR of ``narinfo``, in pieces of at most 256 KiB.

        The download limit is derived from the NAR size, because signatures do not cover the size of the compressed
        file. The caller stops reading at the NAR size. Raises `NotFound`, `FormatError`, `Unavailable`.
        """
        if self._fault:
            raise self._fault
        size = narinfo.info.nar_size
        # On a server, a leading slash in the URL means the server's root; folders and buckets have no such root.
        name = narinfo.url if self.label.startswith(("http://", "https://")) else narinfo.file_name
        try:
            yield from decode_pieces(
                self._transport.stream(name, size + size // _SLACK + _OVERHEAD), narinfo.compression
            )
        except (FormatError, NotFound) as error:
            error.add_context(f"{narinfo.info.path} in {self.label}")
            raise
        except Unreachable as error:
            self._fault = error
            raise

    def _check_once(self) -> Error | None:
        """Read ``nix-cache-info`` at the first call; return the error if the cache is not usable, else None."""
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
                self.label,
                f"no {CACHE_INFO} there",
                "a binary cache",
                hint="a server may also hide it from requests without credentials: for HTTP, put them into ~/.netrc or "
                "the URL; for S3, set AWS_ACCESS_KEY_ID or profile=NAME in the URL's query",
            )
        check_cache_info(data, self.label)

    @cached_property
    def _transport(self) -> Transport:
        return self._opened.enter_context(closing(self._opener()))

    def _query_hash(self, hash_part: str) -> tuple[str, NarInfoResult]:
        if self._fault:
            return hash_part, self._fault
        try:
            return hash_part, self._fetch_narinfo(hash_part)
        except Unreachable as error:
            self._fault = error
            return hash_part, error
        except RECOVERABLE_ERRORS as error:
            return hash_part, error

    def _fetch_narinfo(self, hash_part: str) -> NarInfo | None:
        name = f"{hash_part}.narinfo"
        data = self._transport.read(name, narinfo.MAX_SIZE)
        if data is None:
            return None
        with error_context(f"{name} in {self.label}", FormatError):
            parsed = narinfo.parse_bytes(data)
        if parsed.info.path.hash != hash_part:
            raise IntegrityError(f"{name} in {self.label}", f"the narinfo of {parsed.info.path}", f"one of {hash_part}")
        self._trust.check(parsed, self.label)
        return parsed
