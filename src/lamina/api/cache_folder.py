"""The public functions that describe, prune and delete what lamina keeps in the user's cache folder.

Invariant: only files that lamina made are deleted, and other processes may use them at the same time. Every error is a
`lamina.Error`, and nothing is printed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lamina.api.blob_cache import parse_local_cache, parse_oldest_use, prune_blob_cache
from lamina.core.names import parse_size
from lamina.errors import FormatError, IntegrityError, InvalidArgument, OutputError, Unavailable
from lamina.inputs.arguments import StrPath
from lamina.inputs.parsers import parse_path
from lamina.layer_cache.cache import MAX_SIZE
from lamina.layer_cache.database import delete_if_damaged, open_layer_cache, translate_cache_errors
from lamina.layer_cache.entries import check_entries, compact, count_entries, evict, select_keys
from lamina.layer_cache.files import (
    DeletedFile,
    check_origin,
    delete_files,
    delete_layer_cache,
    identify_file,
    list_leftovers,
    lock_layer_cache,
)
from lamina.messages.sizes import format_size
from lamina.stores.local.channel import list_cached_lists


@dataclass(frozen=True, slots=True)
class LayerCacheResult:
    """How much a layer cache contains.

    Attributes:
        exists: whether there is a layer cache.
        size: the size of the file in bytes.
        layers: the number of layers whose digest is known.
        compressed: the number of compressed layers whose digest is known.
        listings: the number of store paths whose files are known.
        oldest: when the least recently used entry was used, to the day; None if there is no entry.
        shared: the number of entries that were seen in a shared layer cache, or written to it.
        plans: the number of plans that are known.

    """

    exists: bool = True
    size: int = 0
    layers: int = 0
    compressed: int = 0
    listings: int = 0
    oldest: datetime | None = None
    shared: int = 0
    plans: int = 0

    @property
    def entries(self) -> int:
        """The number of all entries."""
        return self.layers + self.compressed + self.listings + self.plans


@dataclass(frozen=True, slots=True)
class PruneResult:
    """The result of pruning a layer cache.

    Attributes:
        deleted: the number of entries that were deleted.
        kept: the number of entries that are left.
        size: the size of the file afterwards, in bytes.
        files: the files of earlier versions of lamina that were deleted.
        warnings: messages about a layer cache that was damaged, and therefore deleted.

    """

    deleted: int = 0
    kept: int = 0
    size: int = 0
    files: tuple[DeletedFile, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CleanResult:
    """The result of cleaning the cache folder.

    Attributes:
        files: the files that were deleted.
    """

    files: tuple[DeletedFile, ...]

    def __repr__(self) -> str:
        return f"<CleanResult: {len(self.files)} files, {format_size(self.size)}>"

    @property
    def size(self) -> int:
        """The size of the files in bytes."""
        return sum(file.size for file in self.files)


def describe_layer_cache(*, layer_cache: StrPath) -> LayerCacheResult:
    """Count what a layer cache contains, without changing it.

    Args:
        layer_cache: the file.

    Returns:
        The number of entries of each kind, and the size of the file.

    Raises:
        FormatError: the file is not a layer cache, or belongs to a newer lamina.
        IntegrityError: it is damaged, or belongs to an older lamina.
        Unavailable: it cannot be read.

    """
    path = parse_cache_file(layer_cache)
    with translate_cache_errors(path):
        if not _exists(path):
            return LayerCacheResult(exists=False)
        if not (size := os.path.getsize(path)):
            return LayerCacheResult()
        try:
            with open_layer_cache(path) as database:
                kinds = count_entries(database)
        except IntegrityError as error:
            check_origin(path)
            error.add_hint("the next image creates a new one")
            raise
    counted = (b"layer", b"compressed", b"listing", b"shared", b"plan")
    layers, compressed, listings, shared, plans = (kinds.get(kind, (0, 0))[0] for kind in counted)
    oldest = min((datetime.fromtimestamp(used, UTC) for _, used in kinds.values()), default=None)
    return LayerCacheResult(True, size, layers, compressed, listings, oldest, shared, plans)


def prune_layer_cache(
    *, layer_cache: StrPath, max_size: int | str = MAX_SIZE, older_than: int | None = None
) -> PruneResult:
    """Delete the least recently used entries of a layer cache, and the files that earlier versions left beside it.

    The whole file is read, and it is deleted if it is damaged.

    Args:
        layer_cache: the file.
        max_size: how large the file may be afterwards, in bytes or as a string such as ``100M``.
        older_than: also delete the entries that were not used for this many days.

    Returns:
        How many entries were deleted and kept, and the size of the file afterwards.

    Raises:
        InvalidArgument: an argument is wrong.
        FormatError: the file is not a layer cache, or belongs to a newer lamina.
        OutputError: a file cannot be written or deleted.

    """
    path, limit = parse_cache_file(layer_cache), parse_size("max_size", max_size)
    oldest = parse_oldest_use("older_than", older_than)
    with _translate_errors(path):
        files = delete_files(list_leftovers(path.parent))
        if not _exists(path) or not os.path.getsize(path):
            return PruneResult(files=files)
        try:
            with lock_layer_cache(path, shared=True), open_layer_cache(path) as database:
                check_entries(database)
                deleted = evict(database, limit, oldest)
                kept = len(select_keys(database, b""))
                compact(database)
        except IntegrityError as error:
            return PruneResult(files=files, warnings=(f"{error}: it is deleted",) if delete_if_damaged(path) else ())
        return PruneResult(deleted, kept, os.path.getsize(path), files)


def clean_cache(
    *, layer_cache: StrPath, channel_lists: StrPath | None = None, blob_cache: StrPath | None = None
) -> CleanResult:
    """Delete a layer cache, the files that earlier versions left beside it, the lists of channels, and blobs.

    Args:
        layer_cache: the file.
        channel_lists: the folder of the lists; None to delete none.
        blob_cache: the folder of blobs from registries; None to delete none.

    Returns:
        The files that were deleted.

    Raises:
        InvalidArgument: an argument is wrong.
        FormatError: the file is not a layer cache.
        OutputError: a file cannot be deleted.

    """
    path, folder = parse_cache_file(layer_cache), parse_path("channel_lists", channel_lists)
    with _translate_errors(path):
        files: tuple[DeletedFile, ...] = ()
        if _exists(path):
            with lock_layer_cache(path, shared=False):
                files = delete_layer_cache(path)
        others = list_leftovers(path.parent) + (list_cached_lists(Path(folder)) if folder else [])
        files += delete_files(others)
    if blob_cache is not None:
        files += prune_blob_cache(blob_cache=blob_cache, max_size=0).files
    return CleanResult(files)


def parse_cache_file(value: StrPath | None, name: str = "layer_cache") -> Path:
    """Return the file that the argument ``name`` names, without symlinks; raise `InvalidArgument` for anything else."""
    file = parse_local_cache(name, value)
    if file is None:
        raise InvalidArgument(name, "None", "the name of a file")
    return Path(os.path.realpath(file))


def _exists(path: Path) -> bool:
    """Return whether the file exists; raise `FormatError` if it is something else than a file."""
    is_file = identify_file(path) is not None
    if not is_file and os.path.lexists(path):
        raise FormatError(path, "no regular file", "a layer cache")
    return is_file


@contextlib.contextmanager
def _translate_errors(path: Path) -> Iterator[None]:
    """Translate errors of the block; a file that cannot be used is an `OutputError` here."""
    try:
        with translate_cache_errors(path):
            yield
    except Unavailable as error:
        raise error.convert(OutputError) from error
