"""The layer cache: what earlier runs learnt about layers and store paths, kept in a small SQLite file.

Invariant: a lookup returns exactly what was put, bit for bit, or nothing. Whatever state the file, its folder or the
disk is in, the run goes on, and at most a warning is printed.

An entry never goes stale, because its key contains the NAR hashes of the store paths that it describes.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from lamina.core.names import Digest
from lamina.errors import FormatError
from lamina.layer_cache.key import LayerInputs
from lamina.layer_cache.schema import (
    COMPRESSED,
    LAYER,
    LAYERS,
    LISTINGS,
    PUT,
    REMOVE,
    DamagedError,
    Row,
    row_checksum,
    single_row,
    verified_row,
)
from lamina.system.transfer import BlobInfo

if TYPE_CHECKING:
    # Every command imports this module, but few open a layer cache.
    import sqlite3
    from pathlib import Path

# A SQLite statement can have at least 999 parameters (SQLITE_MAX_VARIABLE_NUMBER before 3.32).
_MAX_PARAMETERS = 900
# New entries are written once they reach this many bytes or rows.
_MAX_BYTES = 1 << 23
_MAX_ROWS = 1 << 12

_T = TypeVar("_T")
Warn = Callable[[str], object]
ListingKey = tuple[bytes, Digest]
"""The location of a store path on this machine, and its NAR hash."""


class _RowFile(Protocol):
    """A file of rows. Its methods raise no errors for a bad file; they print a warning."""

    @property
    def is_writable(self) -> bool:
        """Whether writing is expected to succeed."""

    def read(self, action: Callable[[sqlite3.Connection], _T]) -> _T | None:
        """Return the result of ``action``; None if the file cannot be read."""

    def write(self, action: Callable[[sqlite3.Connection], None]) -> bool:
        """Run ``action`` in a transaction and return whether it was committed."""

    def recover(self, error: Exception) -> None:
        """Replace the file if possible, because reading it has shown ``error``; otherwise go on without one."""

    def close(self) -> None:
        """Close the file; what was written is kept."""


class LayerCache:
    """The entries of earlier runs, and those that this run adds for later ones. All methods are thread-safe.

    New entries are written in batches, and the rest by `close`. This also happens after a failure, because the entries
    are true all the same. A run that adds nothing writes nothing.
    """

    def __init__(self, file: _RowFile) -> None:
        self._file = file
        self._lock = threading.RLock()
        # New rows by table and key, in the order in which they were put.
        self._pending: dict[Row, Row] = {}
        self._removed: set[Row] = set()
        self._pending_size = 0

    @classmethod
    def open(cls, file: Path, warn: Warn) -> LayerCache:
        """Open the layer cache at ``file``; create the file and its folders if they are missing.

        Raises no error for a file or folder that cannot be used. ``warn`` is then called once with one line, and the
        returned layer cache is empty and keeps nothing.
        """
        try:
            from lamina.layer_cache.database import CacheDatabase
        except ImportError as error:  # Python can be built without SQLite
            warn(f"{file}: got {error}, expected a Python that has SQLite: going on without")
            return NullLayerCache()
        database = CacheDatabase(file, warn)
        database.open()
        return cls(database)

    def get_layer(self, inputs: LayerInputs) -> BlobInfo | None:
        """Return diff ID and size of the uncompressed tar; None if they are unknown."""
        key = inputs.key.raw
        row = self._find("layers", LAYER, key)
        return _blob_info(row[1:3]) if row else None

    def put_layer(self, inputs: LayerInputs, blob_info: BlobInfo) -> None:
        """Record diff ID and size of the uncompressed tar made from ``inputs``."""
        dumped = inputs.dump()
        key = hashlib.sha256(dumped).digest()
        row = key, blob_info.digest.raw, blob_info.size
        self._put(("layers", key), (*row, row_checksum(row), dumped))

    def remove_layer(self, inputs: LayerInputs) -> None:
        """Remove the entry of a layer that turned out to be wrong."""
        self._remove("layers", inputs.key.raw)

    def get_compressed(self, diff_id: Digest, codec: str) -> BlobInfo | None:
        """Return digest and size of a compressed layer; None if they are unknown.

        Args:
            diff_id: The diff ID of the uncompressed layer.
            codec: A text that names everything the compressed bytes depend on: see `LayerCompression.identity`.
        """
        row = self._find("compressed", COMPRESSED, diff_id.raw, _encode(codec))
        return _blob_info(row[2:4]) if row else None

    def put_compressed(self, diff_id: Digest, codec: str, blob_info: BlobInfo) -> None:
        """Record digest and size of the layer ``diff_id`` compressed by ``codec``."""
        row = diff_id.raw, _encode(codec), blob_info.digest.raw, blob_info.size
        self._put(("compressed", *row[:2]), (*row, row_checksum(row)))

    def get_listings(self, requested: Collection[ListingKey]) -> Mapping[ListingKey, bytes]:
        """Return the known ones of the ``requested`` listings of store paths."""
        import zlib

        keys = {(top, nar_hash.raw): (top, nar_hash) for top, nar_hash in requested}
        tops = sorted({top for top, _ in keys})
        with self._lock:
            rows: dict[Row, bytes] = {}
            for start in range(0, len(tops), _MAX_PARAMETERS):
                rows |= self._read_listings(keys, tops[start : start + _MAX_PARAMETERS])
            for key in keys:
                if row := self._pending.get(("listings", *key)):
                    rows[key] = zlib.decompress(row[-1])
                elif ("listings", *key) in self._removed:
                    rows.pop(key, None)
        return {keys[key]: listing for key, listing in rows.items()}

    def _read_listings(self, keys: Collection[Row], tops: list[bytes]) -> dict[Row, bytes]:
        import zlib

        query = LISTINGS.format(",".join("?" * len(tops)))

        def look_up(database: sqlite3.Connection) -> dict[Row, bytes]:
            rows = (row for row in database.execute(query, tops) if row[:2] in keys)
            return {row[:2]: zlib.decompress(verified_row(row)[2]) for row in rows}

        return self._file.read(look_up) or {}

    def put_listing(self, top: bytes, nar_hash: Digest, listing: bytes) -> None:
        """Record the ``listing`` of the store path at ``top``; it replaces one with another NAR hash there."""
        if self._file.is_writable:
            import zlib

            row = top, nar_hash.raw, zlib.compress(listing, 1)
            self._put(("listings", *row[:2]), (*row[:2], row_checksum(row), row[2]))

    def remove_listing(self, top: bytes, nar_hash: Digest) -> None:
        """Remove a listing that no longer matches the files on disk."""
        self._remove("listings", top, nar_hash.raw)

    def entries(self) -> Iterator[tuple[LayerInputs, BlobInfo]]:
        """Yield all layers, in no particular order.

        Layers of other versions of the tar rules are skipped, and so are damaged rows. If there were any of the latter,
        the file is set aside at the end, with a warning.
        """
        self._flush()
        damage = None
        last = b""
        while rows := self._layers_after(last):
            for row in rows:
                try:
                    inputs = _parse_inputs(row)
                except DamagedError as error:
                    damage = error
                    continue
                if inputs and ("layers", row[0]) not in self._removed:
                    yield inputs, _blob_info(row[1:3])
            key = rows[-1][0]
            if not isinstance(key, bytes) or key <= last:
                damage = DamagedError("keys that are out of order")
                break
            last = key
        if damage:
            with self._lock:
                self._file.recover(damage)

    def _layers_after(self, key: bytes) -> list[Row]:
        with self._lock:
            return self._file.read(lambda database: database.execute(LAYERS, (key,)).fetchall()) or []

    def close(self) -> None:
        """Write the new entries in one transaction and close the file. Raises nothing and may be called again."""
        with self._lock:
            self._flush()
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _find(self, table: str, query: str, *key: bytes) -> Row | None:
        name = table, *key
        with self._lock:
            if name in self._pending or name in self._removed:
                return self._pending.get(name)
            return self._file.read(lambda database: single_row(database.execute(query, key).fetchall(), key))

    def _put(self, name: Row, row: Row) -> None:
        with self._lock:
            if not self._file.is_writable:
                return
            self._removed.discard(name)
            self._pending.pop(name, None)  # so that the newest row is also the last one to be written
            self._pending[name] = row
            self._pending_size += sum(len(value) for value in row if isinstance(value, bytes))
            if self._pending_size > _MAX_BYTES or len(self._pending) > _MAX_ROWS:
                self._flush()

    def _remove(self, *name: str | bytes) -> None:
        with self._lock:
            self._pending.pop(name, None)
            self._removed.add(name)

    def _flush(self) -> None:
        """Write new and removed entries. If that fails, new entries are dropped, but removed ones stay removed."""
        with self._lock:
            if (self._pending or self._removed) and self._file.write(self._write):
                self._removed.clear()
            self._pending.clear()
            self._pending_size = 0

    def _write(self, database: sqlite3.Connection) -> None:
        for table, *key in self._removed:
            database.execute(REMOVE[table], key)
        for (table, *_), row in self._pending.items():
            database.execute(PUT[table], row)


class NullLayerCache(LayerCache):
    """A layer cache without a file: it is empty and keeps nothing."""

    def __init__(self) -> None:
        super().__init__(_NullRowFile())


class _NullRowFile:
    is_writable = False

    def read(self, action: object) -> None:
        return None

    def write(self, action: object) -> bool:
        return False

    def recover(self, error: object) -> None:
        pass

    def close(self) -> None:
        pass


def _parse_inputs(row: Row) -> LayerInputs | None:
    """Return the inputs in a row of layers; None if they belong to another version of the tar rules."""
    key, *_, dumped = verified_row(row[:-1]) + row[-1:]
    if not isinstance(dumped, bytes) or hashlib.sha256(dumped).digest() != key:
        raise DamagedError("inputs that are not as they were written")
    try:
        return LayerInputs.parse(dumped)
    except FormatError:
        return None


def _blob_info(values: Row) -> BlobInfo:
    digest, size = values
    return BlobInfo(Digest(digest), size)


def _encode(codec: str) -> bytes:
    return codec.encode("utf-8", "surrogatepass")
