"""The public functions that describe and prune the folder of blobs from registries."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lamina.core.names import parse_size
from lamina.errors import InvalidArgument, OutputError, Unavailable
from lamina.images.blob_cache import MAX_SIZE, BlobCache
from lamina.inputs.arguments import StrPath
from lamina.inputs.parsers import is_shared_cache, parse_days, parse_shared_cache
from lamina.layer_cache.files import DeletedFile
from lamina.transports.urls import redact_url

_DAY = 24 * 60 * 60
_SHARED_HINT = "old objects in a bucket are deleted by a lifecycle rule of the bucket"


def parse_oldest_use(name: str, days: int | None) -> int:
    """Parse a number of days; return how long ago that is, in seconds since 1970, and 0 for None."""
    number = parse_days(name, days)
    return 0 if number is None else max(0, int(time.time()) - number * _DAY)


@dataclass(frozen=True, slots=True)
class BlobCacheResult:
    """How much a blob cache contains.

    Attributes:
        exists: whether there is a folder.
        blobs: the number of blobs.
        size: the sum of their sizes in bytes.
        oldest: when the least recently used blob was used; None if there is no blob.

    """

    exists: bool = True
    blobs: int = 0
    size: int = 0
    oldest: datetime | None = None


@dataclass(frozen=True, slots=True)
class BlobPruneResult:
    """The result of pruning a blob cache.

    Attributes:
        files: the files that were deleted.
        kept: the number of blobs that are left.
        size: the sum of their sizes in bytes.

    """

    files: tuple[DeletedFile, ...] = ()
    kept: int = 0
    size: int = 0


def describe_blob_cache(*, blob_cache: StrPath) -> BlobCacheResult:
    """Count the blobs in a blob cache, without reading them.

    Args:
        blob_cache: the folder.

    Returns:
        The number of blobs and their size.

    Raises:
        InvalidArgument: ``blob_cache`` is no name of a folder.
        Unavailable: it cannot be read.

    """
    cache = open_blob_cache(blob_cache)
    try:
        blobs = cache.list_blobs()
        exists = cache.folder.is_dir()
    except OSError as error:
        raise Unavailable(cache.folder, error, "a blob cache") from error
    return BlobCacheResult(exists, len(blobs), sum(blob.size for blob in blobs), blobs[0].used_at if blobs else None)


def prune_blob_cache(
    *, blob_cache: StrPath, max_size: int | str = MAX_SIZE, older_than: int | None = None
) -> BlobPruneResult:
    """Delete the least recently used blobs of a blob cache.

    Args:
        blob_cache: the folder.
        max_size: how many bytes all blobs may have afterwards, as a number or a string such as ``2GiB``.
        older_than: also delete the blobs that were not used for this many days.

    Returns:
        The files that were deleted, and what is left.

    Raises:
        InvalidArgument: an argument is wrong.
        OutputError: a file cannot be deleted.

    """
    cache, limit = open_blob_cache(blob_cache), parse_size("max_size", max_size)
    oldest = parse_oldest_use("older_than", older_than)
    with translate_blob_errors(cache):
        deleted = cache.evict(limit, oldest)
        left = cache.list_blobs()
    files = tuple(DeletedFile(str(blob.file), blob.size) for blob in deleted)
    return BlobPruneResult(files, len(left), sum(blob.size for blob in left))


def parse_local_cache(name: str, value: StrPath | None) -> str | None:
    """Return the file or folder of a cache on this machine, or None; raise `InvalidArgument` for a URL."""
    place = parse_shared_cache(name, value)
    if place and is_shared_cache(place):
        raise InvalidArgument(name, redact_url(place), "a file or folder of this machine", hint=_SHARED_HINT)
    return place


def open_blob_cache(value: StrPath) -> BlobCache:
    """Return the cache in the folder that the argument names; raise `InvalidArgument` for anything else."""
    folder = parse_local_cache("blob_cache", value)
    if folder is None:
        raise InvalidArgument("blob_cache", "None", "the name of a folder")
    return BlobCache(Path(folder))


@contextlib.contextmanager
def translate_blob_errors(cache: BlobCache) -> Iterator[None]:
    """Translate the errors of deleting files."""
    try:
        yield
    except OSError as error:
        raise OutputError(error.filename or cache.folder, error, "to delete what is there") from error
