"""Keep blobs of images in a folder: those of registries are fetched once, and compressed layers are made once.

Invariant: a blob that is taken from the cache has just been hashed. One that is damaged is deleted.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock

from lamina.core.nodes import Extent
from lamina.errors import Error, output_error
from lamina.system.temporary import PartFile
from lamina.system.transfer import BlobInfo, hash_pieces

MAX_SIZE = 10 << 30
"""The size in bytes to which a cache is pruned after blobs were added to it."""
_MAX_EXCESS = 256 << 20
"""After how many bytes that were added a cache is pruned, and not only when it is closed."""
_COPY_SIZE = 1 << 20
_NAME = re.compile("[0-9a-f]{64}")
_BLOBS = "sha256"


@dataclass(frozen=True, slots=True)
class CachedBlob:
    """A file of a blob cache.

    Attributes:
        file: the file.
        size: its size in bytes.
        used: when it was last used, in seconds since 1970.
    """

    file: Path
    size: int
    used: float

    @property
    def used_at(self) -> datetime:
        """When it was last used."""
        return datetime.fromtimestamp(self.used, UTC)


class BlobCache:
    """The blobs in ``folder``, which is created when the first blob is added; safe for many threads.

    Several processes may use it at the same time, and its files may be deleted at any time.

    Args:
        folder: the folder.
        max_size: the size in bytes to which the folder is pruned after blobs were added to it.
    """

    def __init__(self, folder: Path, max_size: int = MAX_SIZE) -> None:
        self.folder = folder
        self._max_size = max_size
        self._lock = RLock()
        self._added = 0

    def take(self, blob: BlobInfo, target: Path, *, may_link: bool = False) -> bool:
        """Write a blob to the file ``target``, and return whether the cache has it.

        Args:
            blob: its digest and size.
            target: the file, which need not exist.
            may_link: whether ``target`` may become a second name of the cached file, inside the cache's folder. Another
                thread that has ``target`` open would not see the blob.

        Raises:
            OutputError: the file cannot be written.

        """
        file = self._locate(blob)
        if not self._check(blob, file):
            return False
        try:
            if may_link and target.is_relative_to(self.folder):
                target.unlink(missing_ok=True)
                os.link(file, target)
            else:
                shutil.copyfile(file, target)
        except FileNotFoundError:  # another process deleted it
            return False
        except OSError as error:
            raise output_error(target, error) from error
        return True

    def add(self, blob: BlobInfo, file: Path) -> None:
        """Add the blob in ``file``, which is not changed afterwards.

        A cache that cannot be written is left as it is, because the blob is not needed from there.
        """
        with contextlib.suppress(OSError):
            target = self._locate(blob)
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(file, target)
            self._count_added(blob.size)

    def close(self, *, wait: bool = True) -> None:
        """Prune the folder if blobs were added, and close all connections; they are opened again if needed.

        Args:
            wait: whether blobs that are still being copied to other machines are waited for.

        """
        with self._lock:
            added, self._added = self._added, 0
        if added:
            self._prune()

    def list_blobs(self) -> list[CachedBlob]:
        """Return the blobs, least recently used first. Raises `OSError` if the folder cannot be read."""
        return sorted(_list_blobs(self.folder / _BLOBS), key=lambda blob: blob.used)

    def evict(self, max_size: int, oldest: float = 0) -> list[CachedBlob]:
        """Delete the least recently used blobs until all have at most ``max_size`` bytes, and return those.

        Blobs that were not used since ``oldest``, in seconds since 1970, are deleted too. Raises `OSError`.
        """
        blobs = self.list_blobs()
        total = sum(blob.size for blob in blobs)
        deleted = []
        for blob in blobs:
            if total <= max_size and blob.used >= oldest:
                break
            blob.file.unlink(missing_ok=True)
            total -= blob.size
            deleted.append(blob)
        return deleted

    def _count_added(self, size: int) -> None:
        """Prune the folder from time to time, so that a process that runs for long keeps it small."""
        with self._lock:
            self._added += size
            is_due = self._added > min(_MAX_EXCESS, self._max_size)
            if is_due:
                self._added = 0
        if is_due:
            self._prune()

    def _prune(self) -> None:
        with contextlib.suppress(OSError):
            self.evict(self._max_size)

    def _locate(self, blob: BlobInfo) -> Path:
        return self.folder / _BLOBS / blob.digest.hex

    def _check(self, blob: BlobInfo, file: Path) -> bool:
        """Return whether ``file`` is the blob; delete it if it is something else, and record its use otherwise."""
        try:
            status = os.stat(file)
            extent = Extent.whole(os.fsencode(file), status.st_size, status.st_mtime_ns)
            is_intact = status.st_size == blob.size and hash_pieces([extent]) == blob
            if is_intact:
                # The modification time stays, because readers of other names of the file compare it.
                os.utime(file, ns=(time.time_ns(), status.st_mtime_ns))
            else:
                file.unlink()
        except (OSError, Error):
            return False
        return is_intact


def _link(file: Path, target: Path) -> None:
    """Give ``file`` the name ``target`` too, or copy it if that is not possible. An existing file stays."""
    try:
        os.link(file, target)
    except FileExistsError:
        pass
    except OSError:  # another file system, or one without links
        with PartFile(target.parent, 0o600) as part, file.open("rb") as source:
            while piece := source.read(_COPY_SIZE):
                part.write(piece)
            part.commit(target)


def _list_blobs(folder: Path) -> Iterator[CachedBlob]:
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                yield CachedBlob(Path(entry.path), status.st_size, status.st_atime)
