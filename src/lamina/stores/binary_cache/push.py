"""Push a closure to a binary cache.

Several NARs are read, compressed and sent at a time. Narinfos are small files, and sending them is mostly waiting for
the network, so other threads send them. Paths that are present in the cache are not sent again.

Invariant: the cache is complete at any moment: a NAR is uploaded before its narinfo, and a path after its references.
Every NAR is hashed while it is read, and checked before its narinfo is written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path
from threading import Event

from lamina.compression.nar import NarCompression
from lamina.core.callbacks import ignore
from lamina.core.closure import Closure
from lamina.core.names import Digest, StorePath, dump_nix32
from lamina.core.pathinfo import PathInfo
from lamina.core.progress import REUSED, SENT, Progress
from lamina.errors import FormatError, output_error
from lamina.formats import nar_listing, narinfo
from lamina.formats.cache_info import FILE_NAME as CACHE_INFO
from lamina.formats.cache_info import CacheInfo, check_cache_info
from lamina.formats.keys import SecretKey
from lamina.formats.narinfo import NarInfo
from lamina.messages.sizes import format_size
from lamina.stores.nars import copy_nar, find_narinfo
from lamina.stores.path_progress import PathProgress
from lamina.stores.store import Store
from lamina.stores.transport import WritableTransport
from lamina.system.locations import list_location
from lamina.system.tempdir import TempDir
from lamina.system.threads import ThreadPool
from lamina.system.transfer import BlobInfo, HashingWriter

_MAX_CACHE_INFO = 1 << 16
# The number of threads that wait for the network. More threads hardly help, because the levels of a closure are written
# one after the other.
_NETWORK_THREADS = 32
# In bytes. A larger NAR is compressed by several threads of the compression library.
_LARGE = 32 << 20
_MAX_COMPRESSION_THREADS = 4


@dataclass(frozen=True, slots=True)
class PushOptions:
    """The settings of a push.

    ``compression`` is the compression of the NARs. Each of ``keys`` signs every narinfo. ``jobs`` is the number of NARs
    at a time. ``listings`` adds the listing of each NAR. ``on_path`` is called with each path once it is in the cache.
    """

    compression: NarCompression
    keys: Sequence[SecretKey] = ()
    jobs: int = 1
    listings: bool = True
    on_path: Callable[[StorePath], object] = ignore


@dataclass(frozen=True, slots=True)
class PushResult:
    """The result of a push to a binary cache.

    Attributes:
        sent: the paths that were sent, references first.
        signed: the paths that were there and got new signatures.
        present: the number of paths that were there and stay unchanged.
        size: the size in bytes of the compressed NARs that were sent.
        warnings: messages about the stores that the paths come from.
    """

    sent: tuple[StorePath, ...]
    signed: tuple[StorePath, ...]
    present: int
    size: int
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        counts = f"{len(self.sent)} paths sent, {len(self.signed)} signed, {self.present} present"
        return f"<PushResult: {counts}, {format_size(self.size)}>"


def push(
    store: Store, closure: Closure, cache: WritableTransport, options: PushOptions, progress: Progress | None = None
) -> PushResult:
    """Copy ``closure`` from ``store`` to ``cache``, and report it to ``progress``.

    Raises:
        IntegrityError: A path's NAR does not match its path info.
        Unavailable: The cache is for another store folder, or it cannot be read.
        OutputError: The cache cannot be written.
    """
    _check_cache(cache)
    with (
        _create_temporary_folder() as folder,
        ThreadPool(options.jobs, "lamina-push") as compression_pool,
        ThreadPool(_NETWORK_THREADS, "lamina-narinfo") as network_pool,
    ):
        infos = closure.bottom_up
        present = dict(zip(infos, network_pool.map(lambda info: _find_present(cache, info), infos), strict=True))
        missing = {info.path: info.nar_size for info, found in present.items() if not found}
        title = f"Sending {len(missing)} of {len(infos)} store paths"
        run = _Push(store, closure, cache, options, folder.path, PathProgress(progress, title, missing))
        try:
            return run.push(
                {info.path: found for info, found in present.items() if found}, compression_pool, network_pool
            )
        except BaseException:
            run.stopping.set()
            raise


def add_signatures(narinfo: NarInfo, keys: Iterable[SecretKey]) -> NarInfo:
    """Sign ``narinfo`` with each key, replacing signatures under the same key name; return the new narinfo."""
    for key in keys:
        others = [text for text in narinfo.signatures if text.partition(":")[0] != key.name]
        narinfo = replace(narinfo, signatures=(*others, key.sign(narinfo.fingerprint)))
    return narinfo


def _check_cache(cache: WritableTransport) -> None:
    data = cache.read(CACHE_INFO, _MAX_CACHE_INFO)
    if data is None:
        cache.write(CACHE_INFO, CacheInfo(want_mass_query=True).dump().encode())
    else:
        check_cache_info(data, cache.label)


def _find_present(cache: WritableTransport, info: PathInfo) -> NarInfo | None:
    """Return the cache's narinfo of a path, or None if it is missing, invalid or different from ``info``."""
    data = cache.read(f"{info.path.hash}.narinfo", narinfo.MAX_SIZE)
    if data is None:
        return None
    try:
        parsed = narinfo.parse_bytes(data)
    except FormatError:
        return None
    return parsed if parsed.info == info else None


@dataclass(frozen=True, slots=True)
class _UploadedNar:
    """A compressed NAR in the cache; ``is_new`` is False if it was there before."""

    url: str
    compression: str
    file: BlobInfo
    is_new: bool


class _StoppedError(Exception):
    """Another upload failed, so this one is abandoned."""


class _Push:
    """One push. Compressed NARs are in ``folder`` until they are sent. ``stopping`` ends running compressions early."""

    def __init__(
        self,
        store: Store,
        closure: Closure,
        cache: WritableTransport,
        options: PushOptions,
        folder: Path,
        progress: PathProgress,
    ) -> None:
        self._store = store
        self._closure = closure
        self._cache = cache
        self._options = options
        self._folder = folder
        self._progress = progress
        self.stopping = Event()

    def push(
        self, present: dict[StorePath, NarInfo], compression_pool: ThreadPool, network_pool: ThreadPool
    ) -> PushResult:
        newly_signed = self._sign(present, network_pool)
        missing = {info.path: info for info in self._closure.bottom_up if info.path not in present}
        order = TopologicalSorter({path: missing.keys() & info.references - {path} for path, info in missing.items()})
        order.prepare()
        complete = set(order.get_ready())  # all references of these paths are in the cache
        nars: dict[StorePath, _UploadedNar] = {}
        running: dict[Future[_UploadedNar | None], StorePath] = {
            compression_pool.submit(partial(self._send, info)): path for path, info in missing.items()
        }
        done: list[StorePath] = []
        while running:
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            changed: list[StorePath] = []
            for future in finished:
                path = running.pop(future)
                sent = future.result()
                if sent:
                    nars[path] = sent
                    changed.append(path)
                else:
                    done.append(path)
                    self._progress.finish(path, SENT if nars[path].is_new else REUSED)
                    self._options.on_path(path)
                    order.done(path)
                    newly_complete = order.get_ready()
                    complete.update(newly_complete)
                    changed += newly_complete
            for path in dict.fromkeys(changed):
                if path in nars and path in complete:
                    running[network_pool.submit(partial(self._write_metadata, missing[path], nars[path]))] = path
        self._progress.done()
        size = sum(sent.file.size for sent in nars.values() if sent.is_new)
        return PushResult(tuple(done), newly_signed, len(present) - len(newly_signed), size)

    def _sign(self, present: dict[StorePath, NarInfo], network_pool: ThreadPool) -> tuple[StorePath, ...]:
        updated = {path: add_signatures(narinfo, self._options.keys) for path, narinfo in present.items()}
        changed = [narinfo for path, narinfo in updated.items() if {*narinfo.signatures} != {*present[path].signatures}]
        network_pool.map(self._write_narinfo, changed)
        return tuple(narinfo.info.path for narinfo in changed)

    def _write_narinfo(self, narinfo: NarInfo) -> None:
        self._cache.write(f"{narinfo.info.path.hash}.narinfo", narinfo.dump().encode())

    def _write_metadata(self, info: PathInfo, sent: _UploadedNar) -> None:
        """Write the NAR listing, then the narinfo."""
        if self._options.listings:
            location = self._store.location(info.path)
            listing = list_location(location) if location is not None else None
            document = nar_listing.dump(listing) if listing else None
            if document:
                self._cache.write(f"{info.path.hash}.ls", document)
        narinfo = replace(
            find_narinfo(self._store, info),
            url=sent.url,
            compression=sent.compression,
            file_hash=sent.file.digest,
            file_size=sent.file.size,
        )
        self._write_narinfo(add_signatures(narinfo, self._options.keys))

    def _send(self, info: PathInfo) -> _UploadedNar:
        """Compress the NAR of a path to a temporary file and upload that, so that exactly the hashed bytes are sent."""
        file = self._folder / info.path.hash
        try:
            return self._upload(file, self._compress(info, file))
        finally:
            with contextlib.suppress(OSError):
                file.unlink()

    def _compress(self, info: PathInfo, file: Path) -> BlobInfo:
        try:
            with file.open("wb", buffering=1 << 18) as opened:
                writer = HashingWriter(opened.write)
                threads = min(self._options.jobs, _MAX_COMPRESSION_THREADS) if info.nar_size > _LARGE else 1
                with self._options.compression.create_compressor(writer, threads) as compressor:

                    def write(data: memoryview) -> None:
                        if self.stopping.is_set():
                            raise _StoppedError
                        compressor.write(data)

                    copy_nar(self._store, info, self._progress.start(info.path, write))
        except OSError as error:
            raise output_error(str(self._folder), error) from error
        return writer.blob_info

    def _upload(self, file: Path, found: BlobInfo) -> _UploadedNar:
        name = f"nar/{_nar_file_name(found.digest)}{self._options.compression.suffix}"
        # The file may be there: another path may have the same NAR, or an earlier push was interrupted.
        is_new = self._cache.size(name) != found.size
        if is_new:
            self._cache.upload(name, file)
        return _UploadedNar(name, self._options.compression.algorithm, found, is_new)


def _nar_file_name(digest: Digest) -> str:
    return f"{dump_nix32(digest.raw)}.nar"


def _create_temporary_folder() -> TempDir:
    try:
        return TempDir()
    except OSError as error:
        raise output_error("a temporary folder", error) from error
