"""A closure copied to another binary cache.

Invariant: at any moment what a narinfo there vouches for is there: a NAR before its narinfo, a path after all that it
refers to. What is there already is not sent again, and no byte is vouched for that was not hashed on its way.

Several NARs are read, compressed and sent at a time; the narinfos, small files that wait for nothing but the network,
have threads of their own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from lamina.compression.nar import NarCompression
from lamina.core.closure import Closure
from lamina.core.names import STORE_DIR, Digest, StorePath, dump_nix32
from lamina.core.pathinfo import PathInfo
from lamina.errors import FormatError, Unavailable, output_error
from lamina.formats import nar_listing, narinfo
from lamina.formats.cache_info import FILE_NAME as CACHE_INFO
from lamina.formats.cache_info import CacheInfo
from lamina.formats.keys import SecretKey
from lamina.formats.narinfo import NarInfo
from lamina.stores.closure_source import ClosureSource
from lamina.system.tempdir import TempDir
from lamina.system.transfer import BlobInfo, HashingWriter
from lamina.transports.open import WritableTransport

_MAX_CACHE_INFO = 1 << 16
# Who only waits for the network; more gain little, for a closure is deep and its levels are written one by one.
_NETWORK_THREADS = 32
# Above it the library's own threads share in compressing a single NAR.
_LARGE = 32 << 20
_MAX_COMPRESSION_THREADS = 4


@dataclass(frozen=True, slots=True)
class PushOptions:
    """How a closure is to be copied: compressed how, signed with which keys, by how many ``jobs`` at a time, and
    whether with listings of what is in the NARs. ``on_path`` is told of each path that is there from then on.
    """

    compression: NarCompression
    keys: Sequence[SecretKey] = ()
    jobs: int = 1
    listings: bool = True
    on_path: Callable[[StorePath], object] = str


@dataclass(frozen=True, slots=True)
class PushResult:
    """What became of a push.

    ``sent`` are the paths that were sent, references first; ``signed`` those that were there and were signed again;
    ``present`` is how many were there as they are; ``size`` is how many bytes of NARs were sent, as they were
    compressed; ``warnings`` is what was odd about where the paths come from.
    """

    sent: tuple[StorePath, ...]
    signed: tuple[StorePath, ...]
    present: int
    size: int
    warnings: tuple[str, ...] = ()


def push(closure_source: ClosureSource, closure: Closure, cache: WritableTransport, options: PushOptions) -> PushResult:
    """Copies ``closure`` to ``cache``.

    Raises `IntegrityError` for a path that is not what it is said to be, `Unavailable` for a cache of another store
    folder or one that cannot be read, `OutputError` where it cannot be written.
    """
    _check_cache(cache)
    with (
        _thread_pool(options.jobs, "lamina-push") as compression_pool,
        _thread_pool(_NETWORK_THREADS, "lamina-narinfo") as network_pool,
    ):
        infos = closure.bottom_up
        there = dict(zip(infos, network_pool.map(lambda info: _find_present(cache, info), infos), strict=True))
        run = _Push(closure_source, closure, cache, options)
        try:
            return run.push(
                {info.path: found for info, found in there.items() if found}, compression_pool, network_pool
            )
        except BaseException:
            run.stopping.set()
            raise


@contextlib.contextmanager
def _thread_pool(count: int, name: str) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(count, name)
    try:
        yield pool
    except Exception:
        pool.shutdown(cancel_futures=True)
        raise
    except BaseException:  # an interrupt does not wait for a server that says nothing
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def add_signatures(found: NarInfo, keys: Iterable[SecretKey]) -> NarInfo:
    """``found`` with a signature of each key, in place of another under the key's name."""
    for key in keys:
        others = [text for text in found.signatures if text.partition(":")[0] != key.name]
        found = replace(found, signatures=(*others, key.sign(found.fingerprint)))
    return found


def _check_cache(cache: WritableTransport) -> None:
    data = cache.read(CACHE_INFO, _MAX_CACHE_INFO)
    if data is None:
        cache.write(CACHE_INFO, CacheInfo(want_mass_query=True).dump().encode())
        return
    try:
        info = CacheInfo.parse(data.decode())
    except (FormatError, UnicodeDecodeError) as error:
        raise FormatError(f"{cache.label}: {error}") from error
    if info.store_dir != STORE_DIR:
        raise Unavailable(f"{cache.label}: got a cache of {info.store_dir}, expected one of {STORE_DIR}")


def _find_present(cache: WritableTransport, info: PathInfo) -> NarInfo | None:
    """What the cache says of a path, None where that is not what ``info`` says."""
    data = cache.read(f"{info.path.hash}.narinfo", narinfo.MAX_SIZE)
    if data is None:
        return None
    try:
        found = narinfo.parse_bytes(data)
    except FormatError:
        return None
    return found if found.info == info else None


@dataclass(frozen=True, slots=True)
class _UploadedNar:
    """A NAR as it lies in the cache."""

    url: str
    compression: str
    file: BlobInfo
    is_new: bool


class _StoppedError(Exception):
    """Something else failed; nobody waits for this any more."""


class _Push:
    def __init__(
        self, closure_source: ClosureSource, closure: Closure, cache: WritableTransport, options: PushOptions
    ) -> None:
        self._closure_source = closure_source
        self._closure = closure
        self._cache = cache
        self._options = options
        self._temporary_folder = _temporary_folder()
        self.stopping = Event()

    def push(
        self, present: dict[StorePath, NarInfo], compression_pool: ThreadPoolExecutor, network_pool: ThreadPoolExecutor
    ) -> PushResult:
        signed_anew = self._sign(present, network_pool)
        missing = [info for info in self._closure.bottom_up if info.path not in present]
        awaited = {info.path: {*info.references} - {info.path} - present.keys() for info in missing}
        nars: dict[StorePath, _UploadedNar] = {}
        running: dict[Future[_UploadedNar | None], PathInfo] = {
            compression_pool.submit(self._send, info): info for info in missing
        }
        done: list[StorePath] = []
        while running:
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            ready: list[PathInfo] = []
            for future in finished:
                info = running.pop(future)
                sent = future.result()
                if sent:
                    nars[info.path] = sent
                    ready.append(info)
                else:
                    done.append(info.path)
                    self._options.on_path(info.path)
                    for user in self._closure.referrers[info.path]:
                        if user in awaited:
                            awaited[user].discard(info.path)
                            ready.append(self._closure.by_path[user])
            for info in dict.fromkeys(ready):
                if info.path in nars and not awaited[info.path]:
                    running[network_pool.submit(self._write_metadata, info, nars[info.path])] = info
        size = sum(sent.file.size for sent in nars.values() if sent.is_new)
        return PushResult(tuple(done), signed_anew, len(present) - len(signed_anew), size)

    def _sign(self, present: dict[StorePath, NarInfo], network_pool: ThreadPoolExecutor) -> tuple[StorePath, ...]:
        anew = {path: add_signatures(found, self._options.keys) for path, found in present.items()}
        changed = [found for path, found in anew.items() if {*found.signatures} != {*present[path].signatures}]
        list(network_pool.map(self._write_narinfo, changed))
        return tuple(found.info.path for found in changed)

    def _write_narinfo(self, known: NarInfo) -> None:
        self._cache.write(f"{known.info.path.hash}.narinfo", known.dump().encode())

    def _write_metadata(self, info: PathInfo, sent: _UploadedNar) -> None:
        """Writes the narinfo, and before it the listing."""
        if self._options.listings:
            listing = self._closure_source.listing(info.path)
            document = nar_listing.dump(listing) if listing else None
            if document:
                self._cache.write(f"{info.path.hash}.ls", document)
        known = replace(
            self._closure_source.narinfo(info),
            url=sent.url,
            compression=sent.compression,
            file_hash=sent.file.digest,
            file_size=sent.file.size,
        )
        self._write_narinfo(add_signatures(known, self._options.keys))

    def _send(self, info: PathInfo) -> _UploadedNar:
        """Sends the NAR of a path, from a file of its own: what was hashed is what is sent."""
        file = self._temporary_folder.path / info.path.hash
        try:
            return self._upload(file, self._compress(info, file))
        finally:
            with contextlib.suppress(OSError):
                file.unlink()

    def _compress(self, info: PathInfo, file: Path) -> BlobInfo:
        try:
            with file.open("wb", buffering=1 << 18) as opened:
                tally = HashingWriter(opened.write)
                threads = min(self._options.jobs, _MAX_COMPRESSION_THREADS) if info.nar_size > _LARGE else 1
                compressor = self._options.compression.compressor(tally, threads)

                def write(data: memoryview) -> None:
                    if self.stopping.is_set():
                        raise _StoppedError
                    compressor.write(data)

                self._closure_source.copy(info, write)
                compressor.close()
        except OSError as error:
            raise output_error(str(self._temporary_folder.path), error) from error
        return tally.blob_info

    def _upload(self, file: Path, found: BlobInfo) -> _UploadedNar:
        name = f"nar/{_file_name(found.digest)}{self._options.compression.suffix}"
        # Another path may have the same NAR, and one that was sent before somebody stopped is there too.
        is_new = self._cache.size(name) != found.size
        if is_new:
            self._cache.upload(name, file)
        return _UploadedNar(name, self._options.compression.algorithm, found, is_new)


def _file_name(digest: Digest) -> str:
    return f"{dump_nix32(digest.raw)}.nar"


def _temporary_folder() -> TempDir:
    try:
        return TempDir()
    except OSError as error:
        raise output_error("a temporary folder", error) from error
