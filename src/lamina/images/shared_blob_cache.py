"""A blob cache in a bucket, which several machines share, behind a folder of this machine.

A bucket that cannot be used costs a warning: the blobs come from their registry, or are made, and the bucket is left
alone for some time.

Invariant: a blob that is taken has just been hashed. One that is damaged in the bucket is not used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.errors import Error, FormatError, InvalidArgument, NotFound, output_error
from lamina.images.blob_cache import MAX_SIZE, BlobCache
from lamina.layer_cache.pause import Pause
from lamina.system.temporary import PartFile
from lamina.system.transfer import BlobInfo, HashingWriter

if TYPE_CHECKING:  # most runs have no bucket
    from concurrent.futures import Future

    from lamina.stores.transport import WritableTransport
    from lamina.system.threads import ThreadPool

Warn = Callable[[str], object]
_WITHOUT = "continuing without the shared blob cache"
_UPLOADS = 8
_CLOSE_TIMEOUT = 0.5
"""How many seconds uploads that nobody waits for may take to end."""


class SharedBlobCache(BlobCache):
    """The blobs in a folder of this machine, and behind it those in a bucket; safe for many threads.

    Args:
        folder: the folder.
        open_bucket: opens the bucket when it is first needed.
        warn: is called with each warning.
        max_size: the size in bytes to which the folder is pruned. The bucket is not pruned.
        pause: the time in which the bucket is left alone; None for a bucket that has not failed yet.
    """

    def __init__(
        self,
        folder: Path,
        open_bucket: Callable[[], WritableTransport],
        warn: Warn,
        max_size: int = MAX_SIZE,
        pause: Pause | None = None,
    ) -> None:
        super().__init__(folder, max_size)
        self._open_bucket = open_bucket
        self._warn = warn
        # The lock of `BlobCache` guards everything below.
        self._pause = pause or Pause()
        self._bucket: WritableTransport | None = None
        self._pool: ThreadPool | None = None
        self._uploads: list[Future[None]] = []
        # Blobs that came from the bucket need not be sent to it, and those that are damaged there are sent again.
        self._present: set[BlobInfo] = set()
        self._damaged: set[BlobInfo] = set()

    def take(self, blob: BlobInfo, target: Path, *, may_link: bool = False) -> bool:
        """Write a blob to the file ``target``, and return whether the folder or the bucket has it.

        A blob of the bucket is added to the folder. ``target`` changes only once the blob has been hashed, so that
        nobody reads a damaged one from there. The arguments and errors are those of `BlobCache.take`.
        """
        if super().take(blob, target, may_link=may_link):
            return True
        return self._download(blob) and super().take(blob, target, may_link=may_link)

    def add(self, blob: BlobInfo, file: Path) -> None:
        """Add the blob in ``file`` to the folder, and to the bucket if it lacks the blob.

        It is sent in another thread, which `close` waits for.
        """
        super().add(blob, file)
        with self._lock:
            if blob in self._present or self._pause.is_paused:
                return
            self._present.add(blob)
            kept = self._locate(blob)
            if kept.is_file():
                self._pool = self._pool or _start_pool()
                self._uploads = [upload for upload in self._uploads if not upload.done()]
                self._uploads.append(self._pool.submit(partial(self._upload, blob, kept)))
                return
        self._upload(blob, file)

    def close(self, *, wait: bool = True) -> None:
        """Wait until blobs have been sent, and close all connections. ``wait`` is that of `BlobCache.close`."""
        with self._lock:
            pool, self._pool = self._pool, None
            uploads, self._uploads = self._uploads, []
        if pool:
            for upload in uploads if wait else ():
                upload.result()
            pool.close(None if wait else _CLOSE_TIMEOUT)
        super().close(wait=wait)
        with self._lock:
            if self._bucket:
                self._bucket.close()
            self._bucket = None

    def _open(self) -> WritableTransport | None:
        """Return the opened bucket, or None if it is left alone now."""
        with self._lock:
            if self._bucket is None and not self._pause.is_paused:
                try:
                    self._bucket = self._open_bucket()
                except Error as error:
                    self._stop(error)
            return None if self._pause.is_paused else self._bucket

    def _upload(self, blob: BlobInfo, file: Path) -> None:
        bucket = self._open()
        if bucket is None:
            return
        name = _name_blob(blob)
        try:
            if blob in self._damaged or bucket.size(name) != blob.size:
                bucket.upload(name, file)
        except Error as error:
            with self._lock:
                self._present.discard(blob)
            if file.exists():  # else it was pruned in the meantime
                self._stop(error)

    def _download(self, blob: BlobInfo) -> bool:
        """Add a blob of the bucket to the folder; return whether that was possible."""
        bucket = self._open()
        if bucket is None:
            return False
        try:
            is_intact = self._download_from(bucket, blob)
        except NotFound:
            return False
        except FormatError:  # it is too long
            is_intact = False
        except Error as error:
            self._stop(error)
            return False
        with self._lock:
            (self._present if is_intact else self._damaged).add(blob)
        if not is_intact:
            self._warn(f"{bucket.label}/{_name_blob(blob)}: got other bytes, expected the blob of this digest")
        return is_intact

    def _download_from(self, bucket: WritableTransport, blob: BlobInfo) -> bool:
        """Write a blob of ``bucket`` to the folder if it is intact; return whether it is."""
        target = self._locate(blob)
        pieces = bucket.stream(_name_blob(blob), blob.size)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with PartFile(target.parent, 0o600) as part:
                out = HashingWriter(part.write)
                for piece in pieces:
                    out.write(memoryview(piece))
                if out.blob_info != blob:
                    return False
                part.commit(target)
        except OSError as error:
            raise output_error(target, error) from error
        self._count_added(blob.size)
        return True

    def _stop(self, error: Error) -> None:
        """Send no more requests for some time."""
        if self._pause.begin():
            hint = f" ({error.hint})" if error.hint else ""
            self._warn(f"{error}{hint}: {_WITHOUT}")


def _start_pool() -> ThreadPool:
    from lamina.system.threads import ThreadPool

    return ThreadPool(_UPLOADS, "lamina-blob-cache")


def make_blob_cache(
    place: str | None, local: str | None, warn: Warn, *, offline: bool = False, pause: Pause | None = None
) -> BlobCache | None:
    """Return the blob cache at ``place``, which is not opened yet; None for none.

    Args:
        place: a folder or a URL, which has been checked.
        local: the folder in front of a bucket.
        warn: is called with each warning.
        offline: whether no request may be sent; only ``local`` is used then.
        pause: the time in which the bucket is left alone; None for a bucket that has not failed yet.

    Raises:
        InvalidArgument: ``place`` is a bucket and there is no ``local``.

    """
    if place is None:
        return None
    if "://" not in place:
        return BlobCache(Path(place))
    from lamina.transports.files import parse_folder_url
    from lamina.transports.open import open_optional
    from lamina.transports.urls import redact_url

    if place.lower().startswith("file:"):
        return BlobCache(Path(parse_folder_url(place)))
    if local is None:
        raise InvalidArgument("local_blob_cache", "None", f"a folder of this machine in front of {redact_url(place)}")
    if offline:
        return BlobCache(Path(local))
    return SharedBlobCache(Path(local), lambda: open_optional(place), warn, pause=pause)


def _name_blob(blob: BlobInfo) -> str:
    return f"blobs/sha256/{blob.digest.hex}"
