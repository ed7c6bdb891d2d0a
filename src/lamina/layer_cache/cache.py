"""The layer cache: what earlier runs learnt about layers and store paths, kept in a small SQLite file.

Invariant: a lookup returns exactly what was put, bit for bit, or nothing. Whatever state the file, its folder or the
disk is in, the run goes on, and at most a warning is printed.

An entry never goes stale, because its key contains the NAR hashes of the store paths that it describes. The least
recently used entries are deleted when the file becomes too large.
"""

from __future__ import annotations

import contextlib
import struct
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Self

from lamina.core.names import Digest
from lamina.errors import FormatError
from lamina.layer_cache.key import LayerInputs
from lamina.system.transfer import BlobInfo

if TYPE_CHECKING:
    # Every command imports this module, but few open a layer cache.
    import sqlite3
    from pathlib import Path

    from lamina.layer_cache.database import CacheDatabase

MAX_SIZE = 256 << 20
"""How large the file may become, in bytes, before the least recently used sixteenth of it is deleted."""

# The kinds of entries, with which their keys begin.
_LAYER, _COMPRESSED, _LISTING = b"layer ", b"compressed ", b"listing "
# New entries are written once they reach this many bytes or rows.
_MAX_BYTES = 1 << 23
_MAX_ROWS = 1 << 12
# The value of a layer is this, then its inputs; that of a compressed layer is this alone.
_BLOB_INFO = struct.Struct(">32sQ")

Warn = Callable[[str], object]
ListingKey = tuple[bytes, Digest]
"""The location of a store path on this machine, and its NAR hash."""


class LayerCache:
    """The entries of earlier runs, and those that this run adds for later ones. All methods are thread-safe.

    New entries are written in batches, and the rest by `close`. This also happens after a failure, because the entries
    are true all the same. A run that adds nothing writes at most once a day, when it records which entries are in use.

    Attributes:
        is_available: Whether the file could be opened.
    """

    def __init__(self, database: CacheDatabase | _NoDatabase, max_size: int, now: float) -> None:
        self._database = database
        self.is_available: bool = database.is_writable
        self._max_size = max_size
        self._now = int(now)
        self._lock = threading.RLock()
        # The new value of each entry that changes, None if it is removed; and the entries whose use is to be recorded.
        self._changes: dict[bytes, bytes | None] = {}
        self._used: set[bytes] = set()
        self._size_of_changes = 0

    @classmethod
    def open(cls, file: Path, warn: Warn, *, max_size: int = MAX_SIZE, now: float | None = None) -> LayerCache:
        """Open the layer cache at ``file``; create the file and its folders if they are missing.

        Raises no error for a file or folder that cannot be used. ``warn`` is then called once with one line, and the
        returned layer cache is empty and keeps nothing.

        Args:
            file: The SQLite file.
            warn: Receives warnings.
            max_size: How large the file may become, in bytes.
            now: The time that is recorded as the last use of entries, in seconds since 1970; by default that of the
                clock.
        """
        try:
            from lamina.layer_cache.database import CacheDatabase
        except ImportError as error:  # Python can be built without SQLite
            warn(f"{file}: got {error}, expected a Python that has SQLite: going on without")
            return NullLayerCache()
        return cls(CacheDatabase(file, warn), max_size, time.time() if now is None else now)

    def get_layer(self, inputs: LayerInputs) -> BlobInfo | None:
        """Return diff ID and size of the uncompressed tar; None if they are unknown."""
        return self._get_blob_info(_LAYER + inputs.key.raw)

    def put_layer(self, inputs: LayerInputs, blob_info: BlobInfo) -> None:
        """Record diff ID and size of the uncompressed tar made from ``inputs``."""
        self._put(_LAYER + inputs.key.raw, _dump_blob_info(blob_info) + inputs.dump())

    def remove_layer(self, inputs: LayerInputs) -> None:
        """Remove the entry of a layer that turned out to be wrong."""
        self._remove(_LAYER + inputs.key.raw)

    def get_compressed(self, diff_id: Digest, codec: str) -> BlobInfo | None:
        """Return digest and size of a compressed layer; None if they are unknown.

        Args:
            diff_id: The diff ID of the uncompressed layer.
            codec: A text that names everything the compressed bytes depend on: see `LayerCompression.identity`.
        """
        return self._get_blob_info(_compressed_key(diff_id, codec))

    def put_compressed(self, diff_id: Digest, codec: str, blob_info: BlobInfo) -> None:
        """Record digest and size of the layer ``diff_id`` compressed by ``codec``."""
        self._put(_compressed_key(diff_id, codec), _dump_blob_info(blob_info))

    def get_listings(self, requested: Collection[ListingKey]) -> Mapping[ListingKey, bytes]:
        """Return the known ones of the ``requested`` listings of store paths."""
        import zlib

        keys = {_listing_key(*key): key for key in requested}
        return {keys[key]: zlib.decompress(value) for key, value in self._get_many(list(keys)).items()}

    def put_listing(self, top: bytes, nar_hash: Digest, listing: bytes) -> None:
        """Record the ``listing`` of the store path at ``top``."""
        if self._database.is_writable:
            import zlib

            self._put(_listing_key(top, nar_hash), zlib.compress(listing, 1))

    def remove_listing(self, top: bytes, nar_hash: Digest) -> None:
        """Remove a listing that no longer matches the files on disk."""
        self._remove(_listing_key(top, nar_hash))

    def entries(self) -> Iterator[tuple[LayerInputs, BlobInfo]]:
        """Yield all layers, in no particular order, but for those of other versions of the tar rules."""
        with self._lock:
            self._flush()
            keys = self._database.select_keys(_LAYER)
        for key in keys:
            with self._lock:
                # This is not a use of the entry, so its time of use stays.
                values, _ = self._database.select_values((key,), self._now)
            if key in values and key not in self._changes:
                with contextlib.suppress(FormatError):
                    yield LayerInputs.parse(values[key][_BLOB_INFO.size :]), _parse_blob_info(values[key])

    def close(self) -> None:
        """Write the new entries in one transaction and close the file. Raises nothing and may be called again."""
        with self._lock:
            self._flush()
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _get_blob_info(self, key: bytes) -> BlobInfo | None:
        values = self._get_many((key,))
        return _parse_blob_info(values[key]) if values else None

    def _get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        with self._lock:
            values, late = self._database.select_values([key for key in keys if key not in self._changes], self._now)
            self._used.update(late)
            changed = {key: self._changes[key] for key in keys if key in self._changes}
        return {key: value for key, value in (*values.items(), *changed.items()) if value is not None}

    def _put(self, key: bytes, value: bytes) -> None:
        with self._lock:
            if not self._database.is_writable:
                return
            self._changes[key] = value
            self._size_of_changes += len(key) + len(value)
            if self._size_of_changes > _MAX_BYTES or len(self._changes) > _MAX_ROWS:
                self._flush()

    def _remove(self, key: bytes) -> None:
        with self._lock:
            self._changes[key] = None

    def _flush(self) -> None:
        """Write what has changed. If that fails, new entries are dropped, but removed ones stay removed."""
        with self._lock:
            if self._changes or self._used:
                if self._database.write(self._write, is_needed=bool(self._changes)):
                    self._changes.clear()
                self._changes = {key: None for key, value in self._changes.items() if value is None}
                self._used.clear()
            self._size_of_changes = 0

    def _write(self, database: sqlite3.Connection) -> None:
        from lamina.layer_cache.entries import evict, measure_size, write_entries

        write_entries(database, self._changes, self._used, self._now)
        if measure_size(database) > self._max_size:
            evict(database, self._max_size * 15 // 16)


class NullLayerCache(LayerCache):
    """A layer cache without a file: it is empty and keeps nothing."""

    def __init__(self) -> None:
        super().__init__(_NoDatabase(), 0, 0)


class _NoDatabase:
    is_writable = False

    def select_values(self, keys: object, now: object) -> tuple[dict[bytes, bytes], list[bytes]]:
        return {}, []

    def select_keys(self, kind: object) -> list[bytes]:
        return []

    def write(self, action: object, *, is_needed: object) -> bool:
        return False

    def close(self) -> None:
        pass


def _compressed_key(diff_id: Digest, codec: str) -> bytes:
    return _COMPRESSED + diff_id.raw + codec.encode("utf-8", "surrogatepass")


def _listing_key(top: bytes, nar_hash: Digest) -> bytes:
    return _LISTING + nar_hash.raw + top


def _dump_blob_info(blob_info: BlobInfo) -> bytes:
    return _BLOB_INFO.pack(blob_info.digest.raw, blob_info.size)


def _parse_blob_info(value: bytes) -> BlobInfo:
    digest, size = _BLOB_INFO.unpack_from(value)
    return BlobInfo(Digest(digest), size)
