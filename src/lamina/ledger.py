"""What is already known about layers and store paths: a small SQLite file, kept between runs.

Invariant: an answer is what was learnt, bit for bit, or there is none; and whatever state the file, its folder or the
disk is in, the worst that comes of it is a warning.

An entry never goes stale, for its key has the NAR hashes of what it is about. A row has a seal, a hash over all of it,
so that bits that have changed on the disk are noticed: then the file is renamed ``NAME.damaged``, and a new one begun.

Other processes may have the file open meanwhile. A lock on its folder is held, shared, while it is opened and first
read, and alone while it is begun or renamed: thus nobody opens the ``-wal`` and ``-shm`` of one database for those of
another. SQLite itself leaves them alone when it closes a database that was renamed. It, and not a reader of our own,
looks at the header too: closing a file would end the locks that SQLite has on it (SQLite documentation, "How To
Corrupt An SQLite Database File", 2.2 and 2.4).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import os
import stat
import threading
import time
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote

from lamina.engine import Measure
from lamina.errors import FormatError, InvalidName, shown
from lamina.formats.tar import Owner
from lamina.names import Digest, StorePath

if TYPE_CHECKING:
    import sqlite3  # where it runs it is imported when a ledger is opened

TAR_RULES = 1
"""The version of the tar rules, raised when the same nodes would give other bytes."""

SCHEMA = 1
_APPLICATION = int.from_bytes(b"lmna", "big")
_TABLES = (
    """CREATE TABLE compressed (
  diff_id BLOB NOT NULL, codec BLOB NOT NULL, digest BLOB NOT NULL, size INTEGER NOT NULL, seal BLOB NOT NULL,
  PRIMARY KEY (diff_id, codec)) WITHOUT ROWID""",
    """CREATE TABLE layers (
  key BLOB NOT NULL PRIMARY KEY, diff_id BLOB NOT NULL, size INTEGER NOT NULL, seal BLOB NOT NULL,
  recipe BLOB NOT NULL)""",
    # A path on disk has one content, so what was there before goes.
    """CREATE TABLE listings (
  top BLOB NOT NULL PRIMARY KEY, nar_hash BLOB NOT NULL, seal BLOB NOT NULL, listing BLOB NOT NULL)""",
)
_LEARN = {
    "layers": "INSERT OR REPLACE INTO layers VALUES (?, ?, ?, ?, ?)",
    "compressed": "INSERT OR REPLACE INTO compressed VALUES (?, ?, ?, ?, ?)",
    "listings": "INSERT OR REPLACE INTO listings VALUES (?, ?, ?, ?)",
}
_FORGET = {
    "layers": "DELETE FROM layers WHERE key = ?",
    "listings": "DELETE FROM listings WHERE top = ? AND nar_hash = ?",
}
_LAYER = "SELECT key, diff_id, size, seal FROM layers WHERE key = ?"
_LAYERS = "SELECT key, diff_id, size, seal, recipe FROM layers WHERE key > ? ORDER BY key LIMIT 64"
_COMPRESSED = "SELECT diff_id, codec, digest, size, seal FROM compressed WHERE diff_id = ? AND codec = ?"
_LISTINGS = "SELECT top, nar_hash, listing, seal FROM listings WHERE top IN ({})"

# SQLite takes 999 parameters at least (SQLITE_MAX_VARIABLE_NUMBER before 3.32).
_AT_ONCE = 900
# What is learnt is written when it is so much, in bytes and in rows.
_MOST_BYTES = 1 << 23
_MOST_ROWS = 1 << 12
# How long another process may be waited for, in seconds.
_PATIENCE = 2.0
_TICK = 0.01

_T = TypeVar("_T")
_Row = tuple[Any, ...]
Warn = Callable[[str], object]
Place = tuple[bytes, Digest]
"""Where a store path lies on this machine, and its NAR hash."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a layer of store paths is made from; ``mtime`` in whole seconds since 1970.

    ``contents`` are the paths in packing order, each with its NAR hash and NAR size.
    """

    owner: Owner
    mtime: int
    contents: tuple[tuple[StorePath, Digest, int], ...]

    @property
    def key(self) -> Digest:
        """The layer key, the SHA-256 of `dump`: layers of equal keys have equal bytes."""
        return Digest(hashlib.sha256(self.dump()).digest())

    def dump(self) -> bytes:
        """The recipe and the version of the tar rules as JSON in ASCII, always the same."""
        value = {
            "rules": TAR_RULES,
            "uid": self.owner.uid,
            "gid": self.owner.gid,
            "uname": self.owner.uname,
            "gname": self.owner.gname,
            "mtime": self.mtime,
            "paths": [[path.base, str(nar_hash), nar_size] for path, nar_hash, nar_size in self.contents],
        }
        return json.dumps(value, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, data: bytes) -> Recipe:
        """The recipe that was dumped, under the same tar rules; raises `FormatError`."""
        try:
            value = json.loads(data.decode("ascii"))
            uid, gid, mtime = (_integer(value[key]) for key in ("uid", "gid", "mtime"))
            owner = Owner(uid, gid, _text(value["uname"]), _text(value["gname"]))
            contents = tuple(
                (StorePath.parse_base(base), Digest.parse(nar_hash), _integer(nar_size))
                for base, nar_hash, nar_size in value["paths"]
            )
            recipe = cls(owner, mtime, contents)
            same = recipe.dump() == data
        except (ValueError, TypeError, KeyError, RecursionError, InvalidName) as error:
            raise _no_recipe(data) from error
        if not same:
            raise _no_recipe(data)
        return recipe


class Ledger:
    """What earlier runs have learnt, to be asked by any thread; what this one learns, for the next.

    It is written when it is much, and at last by `close`: also after a failure, for what was learnt is true. A run that
    learns nothing writes nothing.
    """

    def __init__(self, file: _File) -> None:
        self._file = file
        self._lock = threading.RLock()
        # By table and key, in the order in which they were learnt.
        self._learnt: dict[_Row, _Row] = {}
        self._forgotten: set[_Row] = set()
        self._weight = 0

    @classmethod
    def open(cls, file: Path, warn: Warn) -> Ledger:
        """The ledger at ``file``, made with the folders it lies in where it is not there.

        Raises nothing for the state they are in: where none can be had, ``warn`` is told so in a line, once, and the
        ledger knows nothing and keeps nothing.
        """
        found = _File(file, warn)
        found.open()
        return cls(found)

    def layer(self, recipe: Recipe) -> Measure | None:
        """Diff ID and size of the uncompressed tar."""
        key = recipe.key.raw
        row = self._find("layers", _LAYER, key)
        return _measure(row[1:3]) if row else None

    def learn_layer(self, recipe: Recipe, measure: Measure) -> None:
        """The tar of ``recipe`` is ``measure``."""
        dumped = recipe.dump()
        key = hashlib.sha256(dumped).digest()
        row = key, measure.digest.raw, measure.size
        self._learn(("layers", key), (*row, _seal(row), dumped))

    def forget_layer(self, recipe: Recipe) -> None:
        """What was known of the layer was wrong."""
        self._forget("layers", recipe.key.raw)

    def compressed(self, diff_id: Digest, codec: str) -> Measure | None:
        """Digest and size of the layer ``diff_id`` as ``codec`` compresses it: a text that says all that its bytes
        depend on.
        """
        row = self._find("compressed", _COMPRESSED, diff_id.raw, _bytes(codec))
        return _measure(row[2:4]) if row else None

    def learn_compressed(self, diff_id: Digest, codec: str, measure: Measure) -> None:
        """The layer ``diff_id`` compressed by ``codec`` is ``measure``."""
        row = diff_id.raw, _bytes(codec), measure.digest.raw, measure.size
        self._learn(("compressed", *row[:2]), (*row, _seal(row)))

    def listings(self, wanted: Collection[Place]) -> Mapping[Place, bytes]:
        """What is in those of the store paths of which it is known."""
        keys = {(top, nar_hash.raw): (top, nar_hash) for top, nar_hash in wanted}
        tops = sorted({top for top, _ in keys})
        with self._lock:
            rows: dict[_Row, bytes] = {}
            for start in range(0, len(tops), _AT_ONCE):
                rows |= self._stored_listings(keys, tops[start : start + _AT_ONCE])
            for key in keys:
                if row := self._learnt.get(("listings", *key)):
                    rows[key] = zlib.decompress(row[-1])
                elif ("listings", *key) in self._forgotten:
                    rows.pop(key, None)
        return {keys[key]: listing for key, listing in rows.items()}

    def _stored_listings(self, keys: Collection[_Row], tops: list[bytes]) -> dict[_Row, bytes]:
        query = _LISTINGS.format(",".join("?" * len(tops)))

        def look_up(database: sqlite3.Connection) -> dict[_Row, bytes]:
            rows = (row for row in database.execute(query, tops) if row[:2] in keys)
            return {row[:2]: zlib.decompress(_proven(row)[2]) for row in rows}

        return self._file.read(look_up) or {}

    def learn_listing(self, top: bytes, nar_hash: Digest, listing: bytes) -> None:
        """The store path at ``top`` with ``nar_hash`` is made of ``listing``; what was known of one with another hash
        at the same place is forgotten.
        """
        if self._file.keeps:
            row = top, nar_hash.raw, zlib.compress(listing, 1)
            self._learn(("listings", *row[:2]), (*row[:2], _seal(row), row[2]))

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
                except _DamagedError as error:
                    damage = error
                    continue
                if recipe and ("layers", row[0]) not in self._forgotten:
                    yield recipe, _measure(row[1:3])
            following = rows[-1][0]
            if not isinstance(following, bytes) or following <= last:
                damage = _DamagedError("keys that are out of order")
                break
            last = following
        if damage:
            with self._lock:
                self._file.recover(damage)

    def _layers_after(self, key: bytes) -> list[_Row]:
        with self._lock:
            return self._file.read(lambda database: database.execute(_LAYERS, (key,)).fetchall()) or []

    def close(self) -> None:
        """Writes what was learnt, in one transaction. Raises nothing; a second time there is nothing to do."""
        with self._lock:
            self._flush()
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _find(self, table: str, query: str, *key: bytes) -> _Row | None:
        name = table, *key
        with self._lock:
            if name in self._learnt or name in self._forgotten:
                return self._learnt.get(name)
            return self._file.read(lambda database: _only(database.execute(query, key).fetchall(), key))

    def _learn(self, name: _Row, row: _Row) -> None:
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
            database.execute(_FORGET[table], key)
        for (table, *_), row in self._learnt.items():
            database.execute(_LEARN[table], row)


class Oblivion(Ledger):
    """Knows nothing, keeps nothing, and has no file."""

    def __init__(self) -> None:
        super().__init__(_File(Path(), str))


class _DamagedError(Exception):
    """The file holds what no ledger has written."""


class _OlderError(Exception):
    """The file is of a schema before this one."""


class _RefusedError(Exception):
    """The file is not to be used and not to be touched."""


class _File:
    """The database at ``path``, once it is opened, in one connection; ``warn`` is told why there is none."""

    def __init__(self, path: Path, warn: Warn) -> None:
        self._path = path
        self._warn = warn
        self._database: sqlite3.Connection | None = None
        self._identity = (0, 0)
        self._unchanging = ""
        self._renewed = False
        self.keeps = False

    def open(self) -> None:
        """Opens it, begins it where it is not there; one that is damaged or older makes place for a new one."""
        try:
            import sqlite3
        except ImportError as error:  # Python can be built without
            self._warn(f"{self._path}: got {error}, expected a Python that has SQLite: going on without")
            return
        try:
            self._path = Path(os.path.realpath(self._path))
            self._open()
            self.keeps = True
        except (OSError, sqlite3.Error, _DamagedError, _OlderError, _RefusedError) as error:
            self.recover(error)

    def close(self) -> None:
        """Whatever is written is in the file now."""
        self.keeps = False
        if self._database:
            self._database.close()
            self._database = None

    def read(self, work: Callable[[sqlite3.Connection], _T]) -> _T | None:
        """What ``work`` finds; None where nothing can be read."""
        if not self._database:
            return None
        import sqlite3

        try:
            return work(self._database)
        except (sqlite3.Error, _DamagedError) as error:
            self.recover(error)
            return None

    def write(self, work: Callable[[sqlite3.Connection], None]) -> bool:
        """Whether ``work`` was done, in a transaction. Once it could not be, `keeps` is false."""
        if not self.keeps:
            return False
        import sqlite3

        if self._identity != self._seen():  # somebody has deleted it, or set it aside
            self.close()
            self.open()
        while self._database and self.keeps:
            try:
                _use_log(self._database)
                with _transaction(self._database, "IMMEDIATE"):
                    work(self._database)
            except sqlite3.Error as error:
                if self._is_damage(error):
                    self.recover(error)
                    continue
                self.keeps = False
                got = self._unchanging or error
                self._warn(f"{self._path}: got {got}, expected to keep there what was learnt: going on without")
            else:
                return True
        return False

    def recover(self, error: Exception) -> None:
        """Begins anew where ``error`` is of a kind that a new file helps against, once; else there is no ledger now."""
        path = self._path
        damaged = self._is_damage(error)
        self.close()
        if self._renewed or not (damaged or isinstance(error, _OlderError)):
            refused = isinstance(error, _RefusedError)
            got = str(error) if refused else f"{_said(error)}, expected a ledger that can be used"
            self._warn(f"{path}: got {got}: going on without")
            return
        self._renewed = True
        try:
            aside = self._take_away(keep=damaged)
        except (OSError, _RefusedError) as refusal:
            self._warn(f"{path}: got {_said(error)}, and {_said(refusal)} when it was set aside: going on without")
            return
        if damaged and aside:
            self._warn(f"{path}: got {_said(error)}, expected a whole ledger: set aside as {aside}, a new one is begun")
        self.open()

    def _is_damage(self, error: Exception) -> bool:
        """Whether it is the file that is to blame, and not what is around it."""
        import sqlite3

        if self._unchanging:  # who knows what others write meanwhile
            return False
        if not isinstance(error, sqlite3.Error):
            return isinstance(error, _DamagedError)
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
        if code == sqlite3.SQLITE_READONLY:  # also said of a file whose header asks for a newer SQLite to write to it
            return all(os.access(place, os.W_OK) for place in (self._path, self._path.parent))
        return code & 0xFF not in _surroundings()

    def _take_away(self, *, keep: bool) -> Path | None:
        """Where the file that was opened lies now; None where it was another's, who has done this already."""
        with _locked(self._path.parent, alone=True):
            if self._seen() != self._identity:
                return None
            aside = next(
                name for name in _names_aside(self._path) if not any(os.path.lexists(file) for file in _files(name))
            )
            # The database itself comes last: until then it is damaged, and nobody has a new one.
            for file, other in reversed(list(zip(_files(self._path), _files(aside), strict=True))):
                with contextlib.suppress(FileNotFoundError):
                    os.rename(file, other) if keep else os.unlink(file)
            return aside

    def _open(self) -> None:
        folder = self._path.parent
        if not folder.is_dir():
            _make_folder(folder)
        with _locked(folder, alone=False):
            if self._is_begun():
                self._connect()
                return
        with _locked(folder, alone=True) as alone:
            if not self._is_begun():
                self._begin(alone)
            self._connect()

    def _is_begun(self) -> bool:
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            return False
        if not stat.S_ISREG(status.st_mode):
            raise _RefusedError("no file, expected a ledger")
        return status.st_size > _EMPTY

    def _begin(self, alone: bool) -> None:
        """An empty file that is the user's alone, as SQLite makes those beside it; left from another are none."""
        if alone:
            for file in _files(self._path)[1:]:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(file)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR))

    def _seen(self) -> tuple[int, int]:
        try:
            status = os.stat(self._path)
        except OSError:
            return 0, 0
        return status.st_dev, status.st_ino

    def _connect(self) -> None:
        import sqlite3

        self._identity = self._seen()
        self._unchanging = ""
        # What is not ours is not even locked, nor is the log beside it taken into it.
        with contextlib.suppress(sqlite3.Error), contextlib.closing(self._connected(_UNCHANGING)) as database:
            if self._is_begun():
                _judge(database)
        try:
            self._database = self._checked("mode=rw")
        except sqlite3.Error as error:
            if not self._is_readable(error):
                raise
            # SQLite cannot have its files beside it, for want of a permission or of room, so nobody else can write.
            self._unchanging = str(error)
            try:
                self._database = self._checked(_UNCHANGING)
            except sqlite3.Error:
                raise error from None

    def _is_readable(self, error: sqlite3.Error) -> bool:
        """Whether all that there is lies in the file itself, and it was not the file that is to blame for ``error``."""
        import sqlite3

        log = _files(self._path)[1]
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        at_rest = not os.path.exists(log) or not os.path.getsize(log)
        return at_rest and code in _surroundings() - {sqlite3.SQLITE_BUSY}

    def _checked(self, options: str) -> sqlite3.Connection:
        database = self._connected(options)
        try:
            # A crash of the machine may cost what was learnt last, and no more (SQLite documentation, "synchronous").
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("PRAGMA cell_size_check = ON")
            if not _tables(database):
                _create(database)
            _judge(database)
            if _tables(database) != sorted(_TABLES):
                raise _DamagedError("other tables than a ledger's")
        except BaseException:
            database.close()
            raise
        return database

    def _connected(self, options: str) -> sqlite3.Connection:
        import sqlite3

        name = quote(os.fsencode(self._path.absolute()))
        database = sqlite3.connect(
            f"file:{name}?{options}", uri=True, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
        )
        database.text_factory = bytes  # what is no UTF-8 any more is compared all the same
        return database


_UNCHANGING = "mode=ro&immutable=1"
# A file of one byte is an empty database too (SQLite source, os_unix.c, unixFileSize).
_EMPTY = 1


def _tables(database: sqlite3.Connection) -> list[str]:
    rows = database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY sql")
    return [sql.decode("utf-8", "replace") for (sql,) in rows]


def _judge(database: sqlite3.Connection) -> None:
    """Raises `_RefusedError` for what is not ours, or a newer lamina's, `_OlderError` for an older one's."""
    application, version = (
        database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    if application != _APPLICATION:
        raise _RefusedError("a database of another program, expected a ledger")
    if version > SCHEMA:
        raise _RefusedError(f"a ledger of a newer lamina, schema {version}, expected {SCHEMA}")
    if version < SCHEMA:
        raise _OlderError


def _create(database: sqlite3.Connection) -> None:
    with _transaction(database, "EXCLUSIVE"):
        if not _tables(database):
            # In the file's own header from the start, where `_judge` looks: there is no log yet.
            for statement in (*_TABLES, f"PRAGMA application_id = {_APPLICATION}", f"PRAGMA user_version = {SCHEMA}"):
                database.execute(statement)
    _use_log(database)


def _use_log(database: sqlite3.Connection) -> None:
    """Has SQLite write ahead to a log, with which nobody who reads waits; where that cannot be it does without."""
    import sqlite3

    with contextlib.suppress(sqlite3.Error):
        database.execute("PRAGMA journal_mode = WAL").fetchall()


@contextlib.contextmanager
def _transaction(database: sqlite3.Connection, kind: str) -> Iterator[None]:
    import sqlite3

    database.execute(f"BEGIN {kind}")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # after some errors it has ended already
            database.execute("ROLLBACK")
        raise


def _surroundings() -> set[int]:
    """What SQLite says when it is not the file that is to blame."""
    import sqlite3

    return {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_AUTH,
    }


@contextlib.contextmanager
def _locked(folder: Path, *, alone: bool) -> Iterator[bool]:
    """Holds a lock on ``folder`` for the block, shared with others or ``alone``; false where there are none."""
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield False
        return
    try:
        yield _is_locked(partial(fcntl.flock, descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB))
    finally:
        os.close(descriptor)


def _is_locked(lock: Callable[[], None]) -> bool:
    for _ in range(int(_PATIENCE / _TICK)):
        try:
            lock()
        except BlockingIOError:
            time.sleep(_TICK)
        except OSError:
            return False
        else:
            return True
    raise _RefusedError(f"another process at work for {_PATIENCE:g} seconds, expected it to end")


def _make_folder(folder: Path) -> None:
    """All of it that is missing is the user's alone (XDG Base Directory Specification, "Referencing")."""
    missing = itertools.takewhile(lambda place: not place.exists(), (folder, *folder.parents))
    for place in reversed(list(missing)):
        place.mkdir(mode=stat.S_IRWXU, exist_ok=True)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))


def _files(database: Path) -> list[Path]:
    """The database and what SQLite puts beside it, the log first."""
    return [Path(f"{database}{ending}") for ending in ("", "-wal", "-shm", "-journal")]


def _names_aside(path: Path) -> Iterator[Path]:
    yield Path(f"{path}.damaged")
    yield from (Path(f"{path}.damaged.{number}") for number in itertools.count(2))


def _said(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


# --- rows


def _seal(values: Iterable[object]) -> bytes:
    seal = hashlib.blake2b(digest_size=8)
    for value in values:
        data = b"%d" % value if isinstance(value, int) else value
        if not isinstance(data, bytes):
            raise _DamagedError(f"{shown(value)} in a row")
        seal.update(b"%d%c" % (len(data), b"bi"[isinstance(value, int)]))
        seal.update(data)
    return seal.digest()


def _proven(row: _Row) -> _Row:
    """``row``, whose last value is the seal of the others; raises `_DamagedError`."""
    if row[-1] != _seal(row[:-1]):
        raise _DamagedError("a row that is not as it was written")
    return row


def _only(rows: list[_Row], key: tuple[bytes, ...]) -> _Row | None:
    for row in rows:
        if row[: len(key)] != key:
            raise _DamagedError("a row in the place of another")
        return _proven(row)
    return None


def _recipe(row: _Row) -> Recipe | None:
    """The recipe in a row of layers; None where it is one of other tar rules."""
    key, *_, dumped = _proven(row[:-1]) + row[-1:]
    if not isinstance(dumped, bytes) or hashlib.sha256(dumped).digest() != key:
        raise _DamagedError("a recipe that is not as it was written")
    try:
        return Recipe.parse(dumped)
    except FormatError:
        return None


def _measure(values: _Row) -> Measure:
    digest, size = values
    return Measure(Digest(digest), size)


def _bytes(codec: str) -> bytes:
    return codec.encode("utf-8", "surrogatepass")


# --- recipes


def _integer(value: object) -> int:
    if type(value) is not int:
        raise TypeError(value)
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _no_recipe(data: bytes) -> FormatError:
    return FormatError(f"layer recipe: got {shown(data)}, expected one as it is dumped")
