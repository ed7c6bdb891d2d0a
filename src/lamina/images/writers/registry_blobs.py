"""The blobs of the repositories that an image is pushed to, as a `BlobStore`.

A blob that a repository has is not sent. One that another repository of the same registry has is mounted. Any other is
written to a temporary file first, because its digest and its length come before its bytes in an upload; the file is
read again if the upload is repeated. Uploads run side by side, and while the next layers are packed.

Invariant: a thread that gave a layer goes on when the layers that wait to be sent have at most `MAX_UNSENT` bytes. So
no more than that waits, and one layer of each thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Condition
from types import TracebackType
from typing import Self

from lamina.core.callbacks import ignore
from lamina.core.names import Digest
from lamina.core.nodes import Extent
from lamina.core.progress import MOUNTED, REUSED, SENT, ProgressItem
from lamina.errors import RegistryError, output_error
from lamina.images.registry_destination import RegistryDestination
from lamina.images.writers.blob_locations import BlobLocations
from lamina.images.writers.push_progress import PushProgress
from lamina.layers.blob_writer import OnStored
from lamina.layers.layer import StoredBlob
from lamina.layers.temporary_blobs import PartFiles, create_blob_folder
from lamina.registry.uploads import BlobContent, upload_blob
from lamina.system.extents import iter_extent
from lamina.system.threads import ThreadPool
from lamina.system.transfer import BlobInfo

MAX_UNSENT = 512 << 20
"""How many bytes of packed layers may wait to be sent before packing waits."""
_MAX_UPLOADS = 8


class RegistryBlobs:
    """Finds, mounts and sends blobs; a context manager that ends its threads and removes its files.

    Args:
        destination: the repositories.
        progress: receives how much of each blob has been sent.

    Attributes:
        sent: the blobs that were sent to a repository.
        mounted: the blobs that were mounted, and not sent.
        bytes_sent: their bytes, counted once for each repository that they were sent to.
    """

    def __init__(self, destination: RegistryDestination, progress: PushProgress) -> None:
        self._locations = BlobLocations(destination)
        self._progress = progress
        self._folder = create_blob_folder()
        self._parts = PartFiles(self._folder.path, 0o600)
        self._pool = ThreadPool(_MAX_UPLOADS, "lamina-push")
        self._changed = Condition()  # guards everything below
        self._uploads: dict[Digest, Future[None]] = {}
        self._unsent = 0
        self._failure: BaseException | None = None
        self._is_stopped = False
        self.sent: set[BlobInfo] = set()
        self.mounted: set[BlobInfo] = set()
        self.bytes_sent: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.stop()
        try:
            self._pool.__exit__(kind, error, trace)
        finally:
            self._folder.close()

    # --- the blob store

    def find(self, blobs: Collection[BlobInfo]) -> Mapping[BlobInfo, str]:
        """Return the blobs that all repositories have, after mounting those that can be mounted."""
        located = zip(blobs, self._pool.map(lambda blob: self._locations.find(blob.digest), blobs), strict=True)
        found = {blob: where.outcome for blob, where in located if not where.missing}
        for blob, outcome in found.items():
            self._count(blob, outcome)
        return found

    def create(self) -> Path:
        """Create an empty file. Raises `OutputError`."""
        return self._parts.create()

    def commit(self, part: Path, blob: BlobInfo, made: str, item: ProgressItem, on_stored: OnStored) -> None:
        """Send ``part`` as soon as a thread is free, and delete it; wait while too much has not been sent yet.

        Raises what an earlier upload raised.
        """
        content = self._report(_describe_part(part, blob), item)
        if self._start(content, on_stored, lambda: self._remove(part, blob.size)):
            with self._changed:
                self._unsent += blob.size
                self._changed.wait_for(lambda: self._unsent <= MAX_UNSENT or self._is_ending)
        else:  # another layer has the same bytes
            part.unlink()
            on_stored(REUSED)
        self._raise_failure()

    # --- for the writer

    def add_owners(self, stored: Iterable[StoredBlob]) -> None:
        """Remember the repositories that have these blobs, from which a blob can be mounted whoever asks for it.

        Call it before `find`: a layer that is to be packed may have the same blob as a layer of another image.
        """
        self._locations.add_owners(stored)

    def send(self, stored: StoredBlob, item: ProgressItem) -> None:
        """Send a blob of another image as it is, if it is missing, as soon as a thread is free."""

        def on_stored(outcome: str) -> None:
            self._progress.finish(item, outcome, stored.plain.size)

        content = self._report(BlobContent(stored.descriptor.digest, stored.descriptor.size, stored.open), item)
        if not self._start(content, on_stored, ignore):
            on_stored(REUSED)

    def stop(self) -> None:
        """End the uploads as soon as possible, because they are not needed any more."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def finish(self) -> None:
        """Wait until all blobs are stored. Raises the error of the first upload that failed."""
        for upload in list(self._uploads.values()):
            upload.result()
        self._raise_failure()

    def add(self, document: bytes) -> BlobInfo:
        """Store ``document``, wait until it is stored, and return its digest and size."""
        blob = BlobInfo(Digest(hashlib.sha256(document).digest()), len(document))
        content = BlobContent(blob.digest, blob.size, lambda start: (document[start:],))
        self._store(content)
        return blob

    def forget(self) -> None:
        """Ask for all blobs again from now on, and mount none, because a registry lacks one that it said it has."""
        self._locations.forget()
        with self._changed:
            self._uploads.clear()

    # --- the work of the threads

    def _report(self, content: BlobContent, item: ProgressItem) -> BlobContent:
        """Return ``content``, whose bytes are reported as they are sent."""

        def read(start: int) -> Iterator[bytes]:
            self._progress.start(item)
            for piece in content.open(start):
                start += len(piece)
                yield piece
                self._progress.send(item, start, content.size)

        return replace(content, open=read)

    def _start(self, content: BlobContent, on_stored: OnStored, release: Callable[[], object]) -> bool:
        """Send ``content`` in a thread; return False if that has been started before."""
        with self._changed:
            if content.digest in self._uploads:
                return False
            task = partial(self._run, content, on_stored, release)
            self._uploads[content.digest] = self._pool.submit(task)
            return True

    def _run(self, content: BlobContent, on_stored: OnStored, release: Callable[[], object]) -> None:
        try:
            if not self._is_ending:
                on_stored(self._store(content))
        except BaseException as error:  # noqa: BLE001 - `finish` and `commit` raise it
            with self._changed:
                self._failure = self._failure or error
                self._changed.notify_all()
        finally:
            release()

    def _remove(self, part: Path, size: int) -> None:
        with contextlib.suppress(OSError):
            part.unlink()
        with self._changed:
            self._unsent -= size
            self._changed.notify_all()

    def _store(self, content: BlobContent) -> str:
        """Bring the blob to all repositories, and return the word for how."""
        blob = BlobInfo(content.digest, content.size)
        located = self._locations.find(blob.digest)
        outcome = located.outcome
        present = list(located.present)
        for target, opened in located.missing:
            # A repository that lacked the blob when it was looked for may have it by now.
            is_mounted, session = (False, opened) if opened else self._locations.mount(target, blob.digest, present)
            present.append(target)
            if is_mounted:
                outcome = MOUNTED if outcome == REUSED else outcome
                continue
            upload_blob(target.connection, replace(content, open=partial(self._read, content)), session)
            outcome = SENT
            with self._changed:
                self.bytes_sent += content.size
        self._locations.put(blob.digest)
        self._count(blob, outcome)
        return outcome

    def _count(self, blob: BlobInfo, outcome: str) -> None:
        with self._changed:
            if outcome == SENT:
                self.mounted.discard(blob)  # by an earlier mount that had no effect
                self.sent.add(blob)
            elif outcome == MOUNTED:
                self.mounted.add(blob)

    def _read(self, content: BlobContent, start: int) -> Iterable[bytes]:
        """Yield the bytes of ``content``. An upload that is not needed any more is ended by an error."""
        for piece in content.open(start):
            if self._is_ending:
                raise RegistryError("upload", "the end of the push", "to send the blob")
            yield piece

    @property
    def _is_ending(self) -> bool:
        return self._is_stopped or self._failure is not None

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


def _describe_part(part: Path, blob: BlobInfo) -> BlobContent:
    try:
        extent = Extent.whole(os.fsencode(part), blob.size, part.stat().st_mtime_ns)
    except OSError as error:
        raise output_error(part, error) from error
    return BlobContent(blob.digest, blob.size, partial(iter_extent, extent))
