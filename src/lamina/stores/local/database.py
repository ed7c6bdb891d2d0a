"""A Nix store on this machine, read through its database.

Nothing is written, and no lock is held long enough to delay Nix noticeably.

The database is SQLite, schema 10 (Nix source, libstore, schema.sql). It is opened with ``mode=ro`` if another process
has it open. Otherwise, that mode would create the ``-shm`` file of a database in WAL mode: SQLite fails if the folder
is read-only, and leaves the file behind if it is writable. In that case the database is opened with ``immutable=1``,
which is correct as long as the ``-wal`` file is missing or empty and the database does not change during the read
(SQLite documentation, "Read-Only WAL-Mode Databases").

Invariant: each result is from one state of the database, never from the middle of an update.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from lamina.core.name_match import match_paths, search_prefix
from lamina.core.names import HASH_LENGTH, STORE_DIR, Digest, StorePath
from lamina.core.pathinfo import PathInfo
from lamina.errors import InvalidArgument, Unavailable
from lamina.formats.narinfo import NarInfo
from lamina.messages.redaction import short_repr
from lamina.stores.local.folder import FolderStore
from lamina.system.documents import check_file
from lamina.system.sqlite import DatabaseError, open_database

if TYPE_CHECKING:
    import sqlite3

DATABASE = "nix/var/nix/db/db.sqlite"
SCHEMA = "10"
_WAL = "db.sqlite-wal"
_SHARED_MEMORY = "db.sqlite-shm"
# Where the hash begins in a path, counted from 1 as SQL does.
_HASH_START = len(STORE_DIR) + 2
# The offset of the byte that says whether the database is in WAL mode (SQLite, "Database File Format", section 1.3.3).
_WAL_FORMAT = 18
_MAX_READS = 5
_MAX_SCHEMA = 1 << 10
_TIMEOUT = 10  # seconds
# Every SQLite accepts at least 999 parameters (SQLITE_MAX_VARIABLE_NUMBER before 3.32).
_MAX_PARAMETERS = 900

_T = TypeVar("_T")


class LocalStore(FolderStore):
    """The valid paths of the Nix store below ``root``."""

    has_index = True

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._database = root / DATABASE
        schema = self._database.with_name("schema")
        try:
            check_file(schema, str(schema), "the schema number of a Nix database", limit=_MAX_SCHEMA)
            found = schema.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable(schema, error, "the schema number of a Nix database") from error
        if found != SCHEMA:
            raise Unavailable(schema, f"schema {short_repr(found[:20])}", SCHEMA)

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        """Return the path infos of those of ``paths`` that are valid."""
        wanted = [str(path) for path in paths]
        return self._read(lambda database: _read_infos(database, wanted)) if wanted else {}

    def narinfo(self, path: StorePath) -> NarInfo | None:
        """Return the database's information about ``path`` as a narinfo, or None if the path is not valid."""

        def look_up(database: sqlite3.Connection) -> tuple[Mapping[StorePath, PathInfo], Any]:
            return _read_infos(database, [str(path)]), database.execute(_DETAILS, (str(path),)).fetchone()

        infos, row = self._read(look_up)
        info = infos.get(path)
        if info is None or row is None:
            return None
        deriver, signatures, address = ("" if value is None else str(value) for value in row)
        deriver = _parse_store_path(deriver).base if deriver else ""
        return NarInfo(info, "", "none", tuple(signatures.split()), deriver=deriver, address=address)

    def find(self, name: str) -> tuple[StorePath, ...]:
        """Return the valid paths that ``name`` may mean (`lamina.core.name_match`)."""
        # Store paths are ASCII, and SQLite does not accept some other strings, such as a lone surrogate.
        if not name.isascii():
            return ()
        rows = self._read(lambda database: database.execute(_BY_NAME, (f"-{search_prefix(name)}",)).fetchall())
        return match_paths((_parse_store_path(text) for (text,) in rows), name)

    def names(self) -> Collection[str]:
        """Return the names of all valid paths."""
        return self._read_column(f"substr(path, {_HASH_START + HASH_LENGTH + 1})")

    def hashes(self) -> Collection[str]:
        """Return the hashes of all valid paths."""
        return self._read_column(f"substr(path, {_HASH_START}, {HASH_LENGTH})")

    def with_hashes(self, hashes: Collection[str]) -> tuple[StorePath, ...]:
        """Return the valid paths that begin with one of ``hashes``."""

        def look_up(database: sqlite3.Connection) -> list[StorePath]:
            rows = (
                database.execute(_BY_HASH, (f"{STORE_DIR}/{hash_part}-", f"{STORE_DIR}/{hash_part}.")).fetchall()
                for hash_part in sorted(hashes)
            )
            return [_parse_store_path(text) for found in rows for (text,) in found]

        return tuple(self._read(look_up))

    def _read_column(self, expression: str) -> Collection[str]:
        query = f"SELECT {expression} FROM ValidPaths"  # noqa: S608 - only constants are inserted
        return {str(value) for (value,) in self._read(lambda database: database.execute(query).fetchall())}

    def _read(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        for _ in range(_MAX_READS):
            if self._is_idle_wal():
                with contextlib.suppress(_ChangedError):
                    return self._read_immutable(work)
                continue
            try:
                return self._read_shared(work)
            except DatabaseError as error:
                if not error.cannot_open:
                    raise self._make_error(error) from error
            with contextlib.suppress(_ChangedError):
                return self._read_immutable(work)
        got = f"changes during each of {_MAX_READS} reads"
        raise Unavailable(self._database, got, "a database at rest", is_transient=True)

    def _is_idle_wal(self) -> bool:
        """Return whether the database is in WAL mode and not in use, so that ``mode=ro`` would leave files behind."""
        if self._database.with_name(_SHARED_MEMORY).exists() or self._read_state().log_size:
            return False
        try:
            with self._database.open("rb") as file:
                return file.read(_WAL_FORMAT + 1)[_WAL_FORMAT:] == b"\x02"
        except OSError as error:
            raise self._make_error(error) from error

    def _read_shared(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        with open_database(self._database, "mode=ro", timeout=_TIMEOUT) as database:
            database.execute("BEGIN")
            return work(database)

    def _read_immutable(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Read with ``immutable=1``; raise `_ChangedError` if the file changed during the read."""
        before = self._read_state()
        if before.log_size:
            log = self._database.with_name(_WAL)
            raise Unavailable(
                log,
                "changes that are not in the database yet",
                "an empty log, or permission to read it",
                hint=f"run lamina as a user who may write to {log.parent}, or when no process writes to the store",
            )
        try:
            with open_database(self._database, "mode=ro&immutable=1", timeout=_TIMEOUT) as database:
                result = work(database)
        except DatabaseError as error:
            if self._read_state() == before:
                raise self._make_error(error) from error
            raise _ChangedError from error
        if self._read_state() != before:
            raise _ChangedError
        return result

    def _read_state(self) -> _DatabaseState:
        log_size = 0
        try:
            status = self._database.stat()
            # The last process that closes the database removes the log.
            with contextlib.suppress(FileNotFoundError):
                log_size = self._database.with_name(_WAL).stat().st_size
        except OSError as error:
            raise self._make_error(error) from error
        return _DatabaseState(status.st_ino, status.st_size, status.st_mtime_ns, log_size)

    def _make_error(self, error: Exception) -> Unavailable:
        return Unavailable(self._database, error, "a readable Nix database")


class _DatabaseState(NamedTuple):
    """Values that identify a state of the database on disk. Equal values mean that it did not change."""

    inode: int
    size: int
    mtime: int
    log_size: int


class _ChangedError(Exception):
    """The database changed while it was read with ``immutable=1``."""


_INFOS = "SELECT id, path, hash, narSize FROM ValidPaths WHERE path IN ({})"
_DETAILS = "SELECT deriver, sigs, ca FROM ValidPaths WHERE path = ?"
_REFERENCES = "SELECT Refs.referrer, path FROM Refs JOIN ValidPaths ON id = reference WHERE referrer IN ({})"
_BY_NAME = "SELECT path FROM ValidPaths WHERE instr(path, ?) > 0"
_BY_HASH = "SELECT path FROM ValidPaths WHERE path >= ? AND path < ?"


def _read_infos(database: sqlite3.Connection, paths: list[str]) -> dict[StorePath, PathInfo]:
    infos = {}
    for start in range(0, len(paths), _MAX_PARAMETERS):
        batch = paths[start : start + _MAX_PARAMETERS]
        rows = database.execute(_INFOS.format(_make_placeholders(batch)), batch).fetchall()
        references: dict[int, set[StorePath]] = {number: set() for number, *_ in rows}
        for referrer, text in database.execute(_REFERENCES.format(_make_placeholders(rows)), list(references)):
            references[referrer].add(_parse_store_path(text))
        for number, text, nar_hash, nar_size in rows:
            path = _parse_store_path(text)
            infos[path] = _make_info(path, nar_hash, nar_size, frozenset(references[number]))
    return infos


def _make_info(path: StorePath, nar_hash: object, nar_size: object, references: frozenset[StorePath]) -> PathInfo:
    # SQLite does not enforce the types of columns, so each value is checked.
    try:
        digest = Digest.parse(str(nar_hash))
    except InvalidArgument as error:
        raise Unavailable(path, f"hash {short_repr(nar_hash)} in the database", "a SHA-256") from error
    if nar_size is None:
        nar_size = 0
    if not isinstance(nar_size, int) or nar_size < 0:
        raise Unavailable(path, f"size {short_repr(nar_size)} in the database", "a number of bytes")
    return PathInfo(path, digest, nar_size, references)


def _parse_store_path(text: object) -> StorePath:
    try:
        return StorePath.parse(str(text))
    except InvalidArgument as error:
        raise error.convert(Unavailable).add_context("Nix database") from error


def _make_placeholders(items: Collection[object]) -> str:
    return ",".join("?" * len(items))
