"""The layer cache: digests, sizes, listings and plans from earlier runs, stored in a small SQLite file.

An entry never becomes outdated, because its key contains the NAR hashes of the store paths that it describes. The least
recently used entries are deleted when the file becomes too large. If the file or its folder cannot be used, a warning
is printed and the run continues without it.

Invariant: a lookup returns exactly the value that was put, or nothing.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Self

from lamina.core.names import Digest
from lamina.errors import FormatError
from lamina.layer_cache.claims import Claim, is_claim_of, is_excluded
from lamina.layer_cache.encoding import (
    LAYER,
    dump_blob_info,
    dump_layer,
    dump_plan,
    make_compressed_key,
    make_layer_key,
    make_listing_key,
    make_plan_key,
    parse_blob_info,
    parse_layer,
    parse_plan,
)
from lamina.layer_cache.key import LayerInputs
from lamina.system.transfer import BlobInfo

if TYPE_CHECKING:
    # Every command imports this module, but few open a layer cache.
    import sqlite3
    from pathlib import Path

    from lamina.layer_cache.database import CacheDatabase

MAX_SIZE = 256 << 20
"""The maximum size of the file in bytes. Above it, the least recently used sixteenth of the file is deleted."""

# New entries are written once they reach this many bytes or rows.
_MAX_BYTES = 1 << 23
_MAX_ROWS = 1 << 12

Warn = Callable[[str], object]
ListingKey = tuple[bytes, Digest]
"""The location of a store path on this machine, and its NAR hash."""


class LayerCache:
    """The entries of earlier runs, and those that this run adds for later runs. All methods are thread-safe.

    What the images of a registry state (`add_statement`) is kept apart from the entries, because it is only as
    trustworthy as the registry.

    New entries are written in batches, and the last ones by `close`. They are also written after a failure, because
    they are still correct. A run that adds nothing writes at most once a day, when it records which entries are in use.

    Attributes:
        is_available: Whether the file could be opened.
    """

    def __init__(self, database: CacheDatabase | _NoDatabase, max_size: int, now: float) -> None:
        self._database = database
        self.is_available: bool = database.is_writable
        self._max_size = max_size
        self._now = int(now)
        self._lock = threading.RLock()
        # The new value of each changed entry, or None to remove it. Below: the entries whose use has to be recorded.
        self._changes: dict[bytes, bytes | None] = {}
        self._used: set[bytes] = set()
        self._size_of_changes = 0
        self._stated: dict[bytes, bytes] = {}

    @classmethod
    def open(cls, file: Path, warn: Warn, *, max_size: int = MAX_SIZE, now: float | None = None) -> LayerCache:
        """Open the layer cache at ``file``; create the file and its folders if they are missing.

        A file or folder that cannot be used raises no error. ``warn`` is then called once with one line, and the
        returned layer cache is empty and stores nothing.

        Args:
            file: The SQLite file.
            warn: Receives warnings.
            max_size: The maximum size of the file in bytes.
            now: The time that is recorded as the last use of entries, in seconds since 1970; None for the clock's time.
        """
        return cls(open_database(file, warn), max_size, time.time() if now is None else now)

    def look_up_layers(self, requested: Iterable[LayerInputs]) -> None:
        """Prepare for `get_layer` of many layers. A shared layer cache asks for those that this machine lacks."""

    def look_up_compressed(self, requested: Iterable[tuple[Digest, str]]) -> None:
        """Prepare for `get_compressed` of many layers, each with its diff ID and codec."""

    def get_layer(self, inputs: LayerInputs) -> BlobInfo | None:
        """Return the diff ID and size of the uncompressed tar, or None if they are unknown."""
        key = make_layer_key(inputs.key)
        return self._get_blob_info(key) or self._get_stated(key)

    def put_layer(self, inputs: LayerInputs, blob_info: BlobInfo) -> None:
        """Record the diff ID and size of the uncompressed tar made from ``inputs``."""
        self._put(make_layer_key(inputs.key), dump_layer(inputs, blob_info))

    def remove_layer(self, inputs: LayerInputs) -> None:
        """Remove the entry of a layer, because it is wrong."""
        self._remove(make_layer_key(inputs.key))

    def get_compressed(self, diff_id: Digest, codec: str) -> BlobInfo | None:
        """Return the digest and size of a compressed layer, or None if they are unknown.

        Args:
            diff_id: The diff ID of the uncompressed layer.
            codec: A string that names everything that the compressed bytes depend on: see `LayerCompression.identity`.
        """
        key = make_compressed_key(diff_id, codec)
        return self._get_stated(key) or self._get_blob_info(key)

    def put_compressed(self, diff_id: Digest, codec: str, blob_info: BlobInfo) -> None:
        """Record the digest and size of the layer ``diff_id`` compressed by ``codec``."""
        self._put(make_compressed_key(diff_id, codec), dump_blob_info(blob_info))

    def add_statement(self, layer_key: Digest, plain: BlobInfo, codec: str, blob: BlobInfo) -> None:
        """Use what an image in a registry states about a layer, in this process only; it is never written.

        An entry of this machine takes precedence over a statement about the same layer. Of two compressed blobs of the
        same layer, the one that is stated is used, because it is in the registry already.

        Args:
            layer_key: The layer key.
            plain: The diff ID and size of the uncompressed tar.
            codec: What it is compressed by, as for `get_compressed`.
            blob: The digest and size of the compressed layer.
        """
        with self._lock:
            self._stated.setdefault(make_layer_key(layer_key), dump_blob_info(plain))
            self._stated.setdefault(make_compressed_key(plain.digest, codec), dump_blob_info(blob))

    def is_stated(self, inputs: LayerInputs) -> bool:
        """Return whether what `get_layer` returns comes from a statement alone."""
        key = make_layer_key(inputs.key)
        return key in self._stated and not self._get_many((key,))

    def get_listings(self, requested: Collection[ListingKey]) -> Mapping[ListingKey, bytes]:
        """Return those of the ``requested`` listings that are in the cache."""
        import zlib

        keys = {make_listing_key(*key): key for key in requested}
        return {keys[key]: zlib.decompress(value) for key, value in self._get_many(list(keys)).items()}

    def put_listing(self, top: bytes, nar_hash: Digest, listing: bytes) -> None:
        """Record the ``listing`` of the store path at ``top``."""
        if self._database.is_writable:
            import zlib

            self._put(make_listing_key(top, nar_hash), zlib.compress(listing, 1))

    def remove_listing(self, top: bytes, nar_hash: Digest) -> None:
        """Remove a listing that no longer matches the files on disk."""
        self._remove(make_listing_key(top, nar_hash))

    def get_plan(self, key: Digest) -> Sequence[int] | None:
        """Return for each item the number of its layer, or None if the plan is unknown."""
        value = self._get_many((make_plan_key(key),)).get(make_plan_key(key))
        return None if value is None else parse_plan(value)

    def put_plan(self, key: Digest, layers: Sequence[int]) -> None:
        """Record the number of the layer of each item.

        Args:
            key: The hash of everything that the plan depends on.
            layers: The numbers, from 0.
        """
        self._put(make_plan_key(key), dump_plan(layers))

    def claim(self, key: bytes, claimant: str, seconds: int) -> bool:
        """Write a claim at once, and return whether it is granted: no other one excludes it, or it cannot be written.

        Args:
            key: What `lamina.layer_cache.encoding.make_claim_key` returns.
            claimant: Who makes the layer: 32 hexadecimal digits.
            seconds: When the claim ends.
        """
        return self._claim(key, Claim(claimant, int(time.time()) + seconds))

    def _claim(self, key: bytes, claim: Claim) -> bool:
        granted = [True]

        def write(database: sqlite3.Connection) -> None:
            from lamina.layer_cache.entries import select_values, write_entries

            values, _ = select_values(database, (key,), self._now)
            granted[0] = not is_excluded(claim, values.get(key), time.time())
            if granted[0]:
                write_entries(database, {key: claim.dump()}, (), self._now)

        with self._lock:
            return granted[0] if self._database.write(write, is_needed=False) else True

    def release(self, key: bytes, claimant: str) -> None:
        """Remove the claim of ``claimant``, after all that was learnt about the layer is written.

        It stays if another one has claimed the layer since, because the claim had ended.
        """
        self.flush()
        self._release(key, claimant)

    def _release(self, key: bytes, claimant: str) -> None:
        def remove(database: sqlite3.Connection) -> None:
            from lamina.layer_cache.entries import select_values, write_entries

            values, _ = select_values(database, (key,), self._now)
            if is_claim_of(claimant, values.get(key)):
                write_entries(database, {key: None}, (), self._now)

        with self._lock:
            self._database.write(remove, is_needed=False)

    def entries(self) -> Iterator[tuple[LayerInputs, BlobInfo]]:
        """Yield all layers in no particular order, except those made with another version of the tar rules."""
        with self._lock:
            self._flush()
            keys = self._database.select_keys(LAYER)
        for key in keys:
            with self._lock:
                # Listing an entry does not count as using it, so its time of use is not updated.
                values, _ = self._database.select_values((key,), self._now)
            if key in values and key not in self._changes:
                with contextlib.suppress(FormatError):
                    yield parse_layer(values[key])

    def flush(self) -> None:
        """Write the new entries now, for other processes and machines. This raises nothing."""
        self._flush()

    def close(self) -> None:
        """Write the new entries in one transaction and close the file. This raises nothing and may be called again."""
        with self._lock:
            self._flush()
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _get_blob_info(self, key: bytes) -> BlobInfo | None:
        values = self._get_many((key,))
        return parse_blob_info(values[key]) if values else None

    def _get_stated(self, key: bytes) -> BlobInfo | None:
        with self._lock:
            value = self._stated.get(key)
        return parse_blob_info(value) if value else None

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
        """Write the changes. If that fails, new entries are dropped, but removals still apply in this process."""
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
    """A layer cache without a file: it is empty and stores nothing."""

    def __init__(self) -> None:
        super().__init__(_NoDatabase(), 0, 0)


def open_database(file: Path | None, warn: Warn) -> CacheDatabase | _NoDatabase:
    """Open the database of a layer cache, as `LayerCache.open` does; None stands for an empty one without a file."""
    if file is None:
        return _NoDatabase()
    try:
        from lamina.layer_cache.database import CacheDatabase
    except ImportError as error:  # Python can be built without SQLite
        warn(f"{file}: got {error}, expected a Python with SQLite: continuing without the layer cache")
        return _NoDatabase()
    return CacheDatabase(file, warn)


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
