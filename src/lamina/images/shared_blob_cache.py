"""A blob cache in a bucket, which several machines share, behind a folder of this machine.

A bucket that cannot be used costs a warning: the blobs come from their registry then.

Invariant: a blob that is taken has just been hashed. One that is damaged in the bucket is not used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

from lamina.errors import Error, FormatError, InvalidArgument, NotFound, output_error
from lamina.images.blob_cache import BlobCache
from lamina.system.transfer import BlobInfo, HashingWriter

if TYPE_CHECKING:
    from lamina.stores.transport import WritableTransport

Warn = Callable[[str], object]
_WITHOUT = "continuing without the shared blob cache"


class SharedBlobCache(BlobCache):
    """The blobs in a folder of this machine, and behind it those in a bucket; safe for many threads.

    Args:
        folder: the folder.
        open_bucket: opens the bucket when it is first needed.
        warn: is called with each warning.
    """

    def __init__(self, folder: Path, open_bucket: Callable[[], WritableTransport], warn: Warn) -> None:
        super().__init__(folder)
        self._open_bucket = open_bucket
        self._warn = warn
        self._lock = RLock()
        self._bucket: WritableTransport | None = None
        self._is_stopped = False
        # Blobs that came from the bucket need not be sent to it, and those that are damaged there are sent again.
        self._present: set[BlobInfo] = set()
        self._damaged: set[BlobInfo] = set()

    def take(self, blob: BlobInfo, target: Path) -> bool:
        """Replace the file ``target`` by a blob, and return whether the folder or the bucket has it.

        Raises `OutputError` if it cannot be written.
        """
        return super().take(blob, target) or self._download(blob, target)

    def add(self, blob: BlobInfo, file: Path) -> None:
        """Add the blob in ``file`` to the folder, and to the bucket if it lacks the blob."""
        super().add(blob, file)
        bucket = None if blob in self._present else self._open()
        if bucket is None:
            return
        try:
            if blob in self._damaged or bucket.size(_name_blob(blob)) != blob.size:
                bucket.upload(_name_blob(blob), file)
        except Error as error:
            self._stop(error)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            if self._bucket:
                self._bucket.close()
            self._bucket = None

    def _open(self) -> WritableTransport | None:
        with self._lock:
            if self._bucket is None and not self._is_stopped:
                try:
                    self._bucket = self._open_bucket()
                except Error as error:
                    self._stop(error)
            return None if self._is_stopped else self._bucket

    def _download(self, blob: BlobInfo, target: Path) -> bool:
        bucket = self._open()
        if bucket is None:
            return False
        try:
            is_intact = _download_blob(bucket, blob, target)
        except NotFound:
            return False
        except FormatError:  # it is too long
            is_intact = False
        except Error as error:
            self._stop(error)
            return False
        except OSError as error:
            raise output_error(target, error) from error
        (self._present if is_intact else self._damaged).add(blob)
        if not is_intact:
            self._warn(f"{bucket.label}/{_name_blob(blob)}: got other bytes, expected the blob of this digest")
        return is_intact

    def _stop(self, error: Error) -> None:
        """Send no more requests."""
        with self._lock:
            is_first, self._is_stopped = not self._is_stopped, True
        if is_first:
            hint = f" ({error.hint})" if error.hint else ""
            self._warn(f"{error}{hint}: {_WITHOUT}")


def make_blob_cache(place: str | None, local: str | None, warn: Warn, *, offline: bool = False) -> BlobCache | None:
    """Return the blob cache at ``place``, which is not opened yet; None for none.

    Args:
        place: a folder or a URL, which has been checked.
        local: the folder in front of a bucket.
        warn: is called with each warning.
        offline: whether no request may be sent; only ``local`` is used then.

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
    return BlobCache(Path(local)) if offline else SharedBlobCache(Path(local), lambda: open_optional(place), warn)


def _download_blob(bucket: WritableTransport, blob: BlobInfo, target: Path) -> bool:
    """Write a blob of ``bucket`` to ``target``; return whether it is intact."""
    with target.open("wb") as file:
        out = HashingWriter(file.write)
        for piece in bucket.stream(_name_blob(blob), blob.size):
            out.write(memoryview(piece))
    return out.blob_info == blob


def _name_blob(blob: BlobInfo) -> str:
    return f"blobs/sha256/{blob.digest.hex}"
