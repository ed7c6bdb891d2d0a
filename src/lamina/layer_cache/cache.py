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
from lamina.layer_cache.key import Recipe
from lamina.layer_cache.schema import (
    COMPRESSED,
    FORGET,
    LAYER,
    LAYERS,
    LEARN,
    LISTINGS,
    DamagedError,
    Row,
    only,
    proven,
    seal,
)
from lamina.system.transfer import Measure

if TYPE_CHECKING:
    # Every verb imports this module, few open a ledger.
    import sqlite3
    from pathlib import Path

# SQLite takes 999 parameters at least (SQLITE_MAX_VARIABLE_NUMBER before 3.32).
_AT_ONCE = 900
# What is learnt is written when it is so much, in bytes and in rows.
_MOST_BYTES = 1 << 23
_MOST_ROWS = 1 << 12

_T = TypeVar("_T")
Warn = Callable[[str], object]
Place = tuple[bytes, Digest]
"""Where a store path lies on this machine, and its NAR hash."""


class _File(Protocol):
    """Where rows are kept; it fails nobody, and says itself what is wrong."""

    @property
    def keeps(self) -> bool:
        """Whether what is written would be kept, as far as it is known."""

    def read(self, work: Callable[[sqlite3.Connection], _T]) -> _T | None:
        """What ``work`` finds; None where nothing can be read."""

    def write(self, work: Callable[[sqlite3.Connection], None]) -> bool:
        """Whether ``work`` was done, all of it."""

    def recover(self, error: Exception) -> None:
        """Goes on, as far as that can be, after ``error``, which reading has brought to light."""

    def close(self) -> None:
        """Whatever is written is kept."""


class Ledger:
    """What earlier runs have learnt, to be asked by any thread; what this one learns, for the next.

    It is written when it is much, and at last by `close`: also after a failure, for what was learnt is true. A run that
    learns nothing writes nothing.
    """

    def __init__(self, file: _File) -> None:
        self._file = file
        self._lock = threading.RLock()
        # By table and key, in the order in which they were learnt.
        self._learnt: dict[Row, Row] = {}
        self._forgotten: set[Row] = set()
        self._weight = 0

    @classmethod
    def open(cls, file: Path, warn: Warn) -> Ledger:
        """The ledger at ``file``, made with the folders it lies in where it is not there.

        Raises nothing for the state they are in: where none can be had, ``warn`` is told so in a line, once, and the
        ledger knows nothing and keeps nothing.
        """
        try:
            from lamina.layer_cache.database import LedgerFile
        except ImportError as error:  # Python can be built without
            warn(f"{file}: got {error}, expected a Python that has SQLite: going on without")
            return Oblivion()
        found = LedgerFile(file, warn)
        found.open()
        return cls(found)

    def layer(self, recipe: Recipe) -> Measure | None:
        """Diff ID and size of the uncompressed tar."""
        key = recipe.key.raw
        row = self._find("layers", LAYER, key)
        return _measure(row[1:3]) if row else None

    def learn_layer(self, recipe: Recipe, measure: Measure) -> None:
        """The tar of ``recipe`` is ``measure``."""
        dumped = recipe.dump()
        key = hashlib.sha256(dumped).digest()
        row = key, measure.digest.raw, measure.size
        self._learn(("layers", key), (*row, seal(row), dumped))

    def forget_layer(self, recipe: Recipe) -> None:
        """What was known of the layer was wrong."""
        self._forget("layers", recipe.key.raw)

    def compressed(self, diff_id: Digest, codec: str) -> Measure | None:
        """Digest and size of the layer ``diff_id`` as ``codec`` compresses it: a text that says all that its bytes
        depend on.
        """
        row = self._find("compressed", COMPRESSED, diff_id.raw, _bytes(codec))
        return _measure(row[2:4]) if row else None

    def learn_compressed(self, diff_id: Digest, codec: str, measure: Measure) -> None:
        """The layer ``diff_id`` compressed by ``codec`` is ``measure``."""
        row = diff_id.raw, _bytes(codec), measure.digest.raw, measure.size
        self._learn(("compressed", *row[:2]), (*row, seal(row)))

    def listings(self, wanted: Collection[Place]) -> Mapping[Place, bytes]:
        """What is in those of the store paths of which it is known."""
        import zlib

        keys = {(top, nar_hash.raw): (top, nar_hash) for top, nar_hash in wanted}
        tops = sorted({top for top, _ in keys})
        with self._lock:
            rows: dict[Row, bytes] = {}
            for start in range(0, len(tops), _AT_ONCE):
                rows |= self._stored_listings(keys, tops[start : start + _AT_ONCE])
            for key in keys:
                if row := self._learnt.get(("listings", *key)):
                    rows[key] = zlib.decompress(row[-1])
                elif ("listings", *key) in self._forgotten:
                    rows.pop(key, None)
        return {keys[key]: listing for key, listing in rows.items()}

    def _stored_listings(self, keys: Collection[Row], tops: list[bytes]) -> dict[Row, bytes]:
        import zlib

        query = LISTINGS.format(",".join("?" * len(tops)))

        def look_up(database: sqlite3.Connection) -> dict[Row, bytes]:
            rows = (row for row in database.execute(query, tops) if row[:2] in keys)
            return {row[:2]: zlib.decompress(proven(row)[2]) for row in rows}

        return self._file.read(look_up) or {}

    def learn_listing(self, top: bytes, nar_hash: Digest, listing: bytes) -> None:
        """The store path at ``top`` with ``nar_hash`` is made of ``listing``; what was known of one with another hash
        at the same place is forgotten.
        """
        if self._file.keeps:
            import zlib

            row = top, nar_hash.raw, zlib.compress(listing, 1)
            self._learn(("listings", *row[:2]), (*row[:2], seal(row), row[2]))

    def forget_listing(self, top: bytes, nar_hash: Digest) -> None:
        """What was known of the store path was wrong."""
        self._forget("listings", top, nar_hash.raw)

    def entries(self) -> Iterator[tuple[Recipe, Measure]]:
        """All layers, in no order that means anything; those of other tar rules are passed over, and so are damaged
        ones: a ledger with any is set aside at the end, with a warning.
        """
        self._flush()
        damage = None
        last = b""
        while rows := self._layers_after(last):
            for row in rows:
                try:
                    recipe = _recipe(row)
                except DamagedError as error:
                    damage = error
                    continue
                if recipe and ("layers", row[0]) not in self._forgotten:
                    yield recipe, _measure(row[1:3])
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
            if name in self._learnt or name in self._forgotten:
                return self._learnt.get(name)
            return self._file.read(lambda database: only(database.execute(query, key).fetchall(), key))

    def _learn(self, name: Row, row: Row) -> None:
        with self._lock:
            if not self._file.keeps:
                return
            self._forgotten.discard(name)
            self._learnt.pop(name, None)  # what was learnt last is written last
            self._learnt[name] = row
            self._weight += sum(len(value) for value in row if isinstance(value, bytes))
            if self._weight > _MOST_BYTES or len(self._learnt) > _MOST_ROWS:
                self._flush()

    def _forget(self, *name: str | bytes) -> None:
        with self._lock:
            self._learnt.pop(name, None)
            self._forgotten.add(name)

    def _flush(self) -> None:
        """Writes what was learnt and forgotten; what cannot be written is learnt no more, and remains forgotten."""
        with self._lock:
            if (self._learnt or self._forgotten) and self._file.write(self._write):
                self._forgotten.clear()
            self._learnt.clear()
            self._weight = 0

    def _write(self, database: sqlite3.Connection) -> None:
        for table, *key in self._forgotten:
            database.execute(FORGET[table], key)
        for (table, *_), row in self._learnt.items():
            database.execute(LEARN[table], row)


class Oblivion(Ledger):
    """Knows nothing, keeps nothing, and has no file."""

    def __init__(self) -> None:
        super().__init__(_NoFile())


class _NoFile:
    keeps = False

    def read(self, work: object) -> None:
        return None

    def write(self, work: object) -> bool:
        return False

    def recover(self, error: object) -> None:
        pass

    def close(self) -> None:
        pass


def _recipe(row: Row) -> Recipe | None:
    """The recipe in a row of layers; None where it is one of other tar rules."""
    key, *_, dumped = proven(row[:-1]) + row[-1:]
    if not isinstance(dumped, bytes) or hashlib.sha256(dumped).digest() != key:
        raise DamagedError("a recipe that is not as it was written")
    try:
        return Recipe.parse(dumped)
    except FormatError:
        return None


def _measure(values: Row) -> Measure:
    digest, size = values
    return Measure(Digest(digest), size)


def _bytes(codec: str) -> bytes:
    return codec.encode("utf-8", "surrogatepass")
