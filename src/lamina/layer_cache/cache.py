"""What is already known about layers and store paths: a small SQLite file, kept between runs.

Invariant: an answer is what was learnt, bit for bit, or there is none; and whatever state the file, its folder or the
disk is in, the worst that comes of it is a warning.

An entry never goes stale, for its key has the NAR hashes of what it is about.
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
    # Every verb imports this module, few open a layer cache.
    import sqlite3
    from pathlib import Path

# SQLite takes 999 parameters at least (SQLITE_MAX_VARIABLE_NUMBER before 3.32).
_AT_ONCE = 900
# What is learnt is written when it is so much, in bytes and in rows.
_MAX_BYTES = 1 << 23
_MAX_ROWS = 1 << 12

_T = TypeVar("_T")
Warn = Callable[[str], object]
ListingKey = tuple[bytes, Digest]
"""Where a store path lies on this machine, and its NAR hash."""


class _RowFile(Protocol):
    """Where rows are kept; it fails nobody, and says itself what is wrong."""

    @property
    def is_writable(self) -> bool:
        """Whether what is written would be kept, as far as it is known."""

    def read(self, action: Callable[[sqlite3.Connection], _T]) -> _T | None:
        """What ``action`` finds; None where nothing can be read."""

    def write(self, action: Callable[[sqlite3.Connection], None]) -> bool:
        """Whether ``action`` was done, all of it."""

    def recover(self, error: Exception) -> None:
        """Goes on, as far as that can be, after ``error``, which reading has brought to light."""

    def close(self) -> None:
        """Whatever is written is kept."""


class LayerCache:
    """What earlier runs have learnt, to be asked by any thread; what this one learns, for the next.

    It is written when it is much, and at last by `close`: also after a failure, for what was learnt is true. A run that
    learns nothing writes nothing.
    """

    def __init__(self, file: _RowFile) -> None:
        self._file = file
        self._lock = threading.RLock()
        # By table and key, in the order in which they were learnt.
        self._pending: dict[Row, Row] = {}
        self._removed: set[Row] = set()
        self._pending_size = 0

    @classmethod
    def open(cls, file: Path, warn: Warn) -> LayerCache:
        """The layer cache at ``file``, made with the folders it lies in where it is not there.

        Raises nothing for the state they are in: where none can be had, ``warn`` is told so in a line, once, and the
        layer cache knows nothing and keeps nothing.
        """
        try:
            from lamina.layer_cache.database import CacheDatabase
        except ImportError as error:  # Python can be built without
            warn(f"{file}: got {error}, expected a Python that has SQLite: going on without")
            return NullLayerCache()
        found = CacheDatabase(file, warn)
        found.open()
        return cls(found)

    def get_layer(self, inputs: LayerInputs) -> BlobInfo | None:
        """Diff ID and size of the uncompressed tar."""
        key = inputs.key.raw
        row = self._find("layers", LAYER, key)
        return _blob_info(row[1:3]) if row else None

    def put_layer(self, inputs: LayerInputs, blob_info: BlobInfo) -> None:
        """The tar of ``inputs`` is ``blob_info``."""
        dumped = inputs.dump()
        key = hashlib.sha256(dumped).digest()
        row = key, blob_info.digest.raw, blob_info.size
        self._put(("layers", key), (*row, row_checksum(row), dumped))

    def remove_layer(self, inputs: LayerInputs) -> None:
        """What was known of the layer was wrong."""
        self._remove("layers", inputs.key.raw)

    def get_compressed(self, diff_id: Digest, codec: str) -> BlobInfo | None:
        """Digest and size of the layer ``diff_id`` as ``codec`` compresses it: a text that says all that its bytes
        depend on.
        """
        row = self._find("compressed", COMPRESSED, diff_id.raw, _bytes(codec))
        return _blob_info(row[2:4]) if row else None

    def put_compressed(self, diff_id: Digest, codec: str, blob_info: BlobInfo) -> None:
        """The layer ``diff_id`` compressed by ``codec`` is ``blob_info``."""
        row = diff_id.raw, _bytes(codec), blob_info.digest.raw, blob_info.size
        self._put(("compressed", *row[:2]), (*row, row_checksum(row)))

    def get_listings(self, requested: Collection[ListingKey]) -> Mapping[ListingKey, bytes]:
        """What is in those of the store paths of which it is known."""
        import zlib

        keys = {(top, nar_hash.raw): (top, nar_hash) for top, nar_hash in requested}
        tops = sorted({top for top, _ in keys})
        with self._lock:
            rows: dict[Row, bytes] = {}
            for start in range(0, len(tops), _AT_ONCE):
                rows |= self._read_listings(keys, tops[start : start + _AT_ONCE])
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
        """The store path at ``top`` with ``nar_hash`` is made of ``listing``; what was known of one with another hash
        at the same place is forgotten.
        """
        if self._file.is_writable:
            import zlib

            row = top, nar_hash.raw, zlib.compress(listing, 1)
            self._put(("listings", *row[:2]), (*row[:2], row_checksum(row), row[2]))

    def remove_listing(self, top: bytes, nar_hash: Digest) -> None:
        """What was known of the store path was wrong."""
        self._remove("listings", top, nar_hash.raw)

    def entries(self) -> Iterator[tuple[LayerInputs, BlobInfo]]:
        """All layers, in no order that means anything; those of other tar rules are passed over, and so are damaged
        ones: a layer cache with any is set aside at the end, with a warning.
        """
        self._flush()
        damage = None
        last = b""
        while rows := self._layers_after(last):
            for row in rows:
                try:
                    inputs = _inputs(row)
                except DamagedError as error:
                    damage = error
                    continue
                if inputs and ("layers", row[0]) not in self._removed:
                    yield inputs, _blob_info(row[1:3])
            following = rows[-1][0]
            if not isinstance(following, bytes) or following <= last:
                damage = DamagedError("keys that are out of order")
                break
            last = following
        if damage:
            with self._lock:
                self._file.recover(damage)

    def _layers_after(self, key: bytes) -> list[Row]:
        with self._lock:
            return self._file.read(lambda database: database.execute(LAYERS, (key,)).fetchall()) or []

    def close(self) -> None:
        """Writes what was learnt, in one transaction. Raises nothing; a second time there is nothing to do."""
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
            self._pending.pop(name, None)  # what was learnt last is written last
            self._pending[name] = row
            self._pending_size += sum(len(value) for value in row if isinstance(value, bytes))
            if self._pending_size > _MAX_BYTES or len(self._pending) > _MAX_ROWS:
                self._flush()

    def _remove(self, *name: str | bytes) -> None:
        with self._lock:
            self._pending.pop(name, None)
            self._removed.add(name)

    def _flush(self) -> None:
        """Writes what was learnt and forgotten; what cannot be written is learnt no more, and remains forgotten."""
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
    """Knows nothing, keeps nothing, and has no file."""

    def __init__(self) -> None:
        super().__init__(_NoRowFile())


class _NoRowFile:
    is_writable = False

    def read(self, action: object) -> None:
        return None

    def write(self, action: object) -> bool:
        return False

    def recover(self, error: object) -> None:
        pass

    def close(self) -> None:
        pass


def _inputs(row: Row) -> LayerInputs | None:
    """Return the inputs in a row of layers; None if they are of other tar rules."""
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


def _bytes(codec: str) -> bytes:
    return codec.encode("utf-8", "surrogatepass")
