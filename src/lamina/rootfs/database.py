"""Write the SQLite database of an image's Nix store, and read the database of a base image.

The database of a base image is untrusted: every value is checked, and the cost of reading is bounded by the file's
size.

The tables are those of schema 10, which Nix 2.0 to 2.34 have (as seen in databases made by 2.8, 2.26 and 2.34).
Everything that depends on SQLite's version, build or history is normalised: page size, journal mode, encoding, unused
bytes, and the counters and version in the header (SQLite documentation, "Database File Format", 1.3 and 1.6).

Invariant: equal registrations give equal bytes, in any order and with any version of SQLite. Every reference in a
written database is a path of that database.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lamina.core.names import Digest, StorePath
from lamina.errors import FormatError, InvalidArgument, PlanError, Unavailable
from lamina.messages.redaction import short_repr
from lamina.messages.sizes import format_size
from lamina.rootfs.registration import Registration
from lamina.system.sqlite import LIMIT_LENGTH, DatabaseError, open_database, open_in_memory
from lamina.system.tempdir import TempDir

if TYPE_CHECKING:
    import sqlite3

DATABASE_PATH = b"nix/var/nix/db/db.sqlite"
# Files that SQLite keeps beside a database in use. If SQLite finds such files, it applies them to the database.
WAL_SUFFIX = b"-wal"
SIDE_FILE_SUFFIXES = (WAL_SUFFIX, b"-shm", b"-journal")
_PAGE_SIZE = 4096
_INTEGER_LIMIT = 2**63


def dump(registrations: Iterable[Registration]) -> bytes:
    """Return the bytes of a ``db.sqlite`` in which ``registrations`` are the valid paths.

    Raises:
        PlanError: A path occurs twice, a reference is not registered, or a number does not fit into 63 bits.
    """
    with open_in_memory() as database:
        write(database, registrations)
        return normalise(_serialize(database))


# --- writing


class Connection(Protocol):
    """A connection to an empty database; it may come from any SQLite library."""

    def execute(self, statement: str, /) -> object:
        """Run one statement."""

    def executemany(self, statement: str, rows: Iterable[Sequence[str | int | None]], /) -> object:
        """Run one statement for each row."""


# Names, types and constraints are Nix's interface; the formatting of the statements is lamina's. SchemaMigrations was
# added after Nix 2.8: without it, newer versions write to the database before they read it. Without the trigger, a path
# that refers to itself could not be deleted.
_TABLES = """
CREATE TABLE ValidPaths (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE, hash TEXT NOT NULL,
  registrationTime INTEGER NOT NULL, deriver TEXT, narSize INTEGER, ultimate INTEGER, sigs TEXT, ca TEXT);

CREATE TABLE Refs (
  referrer INTEGER NOT NULL REFERENCES ValidPaths (id) ON DELETE CASCADE,
  reference INTEGER NOT NULL REFERENCES ValidPaths (id) ON DELETE RESTRICT,
  PRIMARY KEY (referrer, reference));

CREATE TABLE DerivationOutputs (
  drv INTEGER NOT NULL REFERENCES ValidPaths (id) ON DELETE CASCADE, id TEXT NOT NULL, path TEXT NOT NULL,
  PRIMARY KEY (drv, id));

CREATE TABLE SchemaMigrations (migration TEXT NOT NULL PRIMARY KEY);

CREATE INDEX IndexReferrer ON Refs (referrer);

CREATE INDEX IndexReference ON Refs (reference);

CREATE INDEX IndexDerivationOutputs ON DerivationOutputs (path);

CREATE TRIGGER DeleteSelfRefs BEFORE DELETE ON ValidPaths BEGIN
  DELETE FROM Refs WHERE referrer = OLD.id AND reference = OLD.id; END;
"""
_SETTINGS = (
    "PRAGMA encoding = 'UTF-8'",
    f"PRAGMA page_size = {_PAGE_SIZE}",
    "PRAGMA auto_vacuum = NONE",
    # Some builds of SQLite overwrite deleted data with zeros by default, others keep it.
    "PRAGMA secure_delete = ON",
)


def write(database: Connection, registrations: Iterable[Registration]) -> None:
    """Create the tables and fill them; raise the same errors as `dump`."""
    ordered = sorted(registrations, key=lambda registration: registration.path)
    numbers = {registration.path: number for number, registration in enumerate(ordered, 1)}
    if len(numbers) < len(ordered):
        duplicate = next(
            registration.path for registration, other in pairwise(ordered) if registration.path == other.path
        )
        raise PlanError("Nix database", f"{duplicate} twice", "each path once")
    for statement in (*_SETTINGS, "BEGIN", *_TABLES.strip().split("\n\n")):
        database.execute(statement)
    database.executemany(
        "INSERT INTO ValidPaths VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", map(_make_row, numbers.values(), ordered)
    )
    database.executemany("INSERT INTO Refs VALUES (?, ?)", _reference_rows(ordered, numbers))
    database.executemany(
        "INSERT INTO DerivationOutputs VALUES (?, ?, ?)",
        (
            (numbers[registration.path], name, str(path))
            for registration in ordered
            for name, path in sorted(registration.outputs)
        ),
    )
    for statement in ("COMMIT", "VACUUM"):
        database.execute(statement)


def _make_row(number: int, registration: Registration) -> tuple[str | int | None, ...]:
    for value in (registration.nar_size, registration.registration_time):
        if not 0 <= value < _INTEGER_LIMIT:
            raise PlanError(registration.path, value, "a number of 63 bits for the Nix database")
    return (
        number,
        str(registration.path),
        str(registration.nar_hash),
        registration.registration_time,
        registration.deriver or None,
        registration.nar_size or None,
        int(registration.ultimate) or None,
        " ".join(sorted(registration.signatures)) or None,
        registration.ca or None,
    )


def _reference_rows(ordered: Iterable[Registration], numbers: dict[StorePath, int]) -> Iterator[tuple[int, int]]:
    for registration in ordered:
        absent = [reference for reference in registration.references if reference not in numbers]
        if absent:
            raise PlanError(registration.path, f"a reference to {min(absent)}", "a path that the Nix database has too")
        for number in sorted(numbers[reference] for reference in registration.references):
            yield numbers[registration.path], number


def _serialize(database: sqlite3.Connection) -> bytes:
    # SQLite before 3.36, and builds without this function, lack it.
    serialize: Callable[[], bytes] | None = getattr(database, "serialize", None)
    return serialize() if serialize else _serialize_via_file(database)


def _serialize_via_file(database: sqlite3.Connection) -> bytes:
    with TempDir() as workspace:
        file = workspace.path / "db.sqlite"
        with open_database(file, "mode=rwc") as copy:
            database.backup(copy)
        return file.read_bytes()


# Header fields that depend on the file's history, by offset, and the values written to them: the journal mode DELETE,
# the file change counter, the schema cookie, the change for which the page count is valid, and the version of SQLite.
_NORMALISED_FIELDS = {
    18: b"\x01\x01",
    24: b"\0\0\0\1",
    40: b"\0\0\0\1",
    92: b"\0\0\0\1",
    96: (3_040_001).to_bytes(4, "big"),
}
_PAGE_COUNT = 28
# The types of b-tree pages and the lengths of their headers. All other pages begin with a page number, so with byte 0.
_TREE_HEADERS = {2: 12, 5: 12, 10: 8, 13: 8}


def normalise(content: bytes) -> bytes:
    """Return the database ``content`` without traces of the SQLite version and the file's history."""
    pages = bytearray(content)
    for offset, value in {**_NORMALISED_FIELDS, _PAGE_COUNT: (len(content) // _PAGE_SIZE).to_bytes(4, "big")}.items():
        pages[offset : offset + len(value)] = value
    for start in range(0, len(pages), _PAGE_SIZE):
        _clear_unused(memoryview(pages)[start : start + _PAGE_SIZE], 0 if start else 100)
    return bytes(pages)


def _clear_unused(page: memoryview, header: int) -> None:
    """Zero the bytes between the cells of a b-tree page, where SQLite leaves old data."""
    if page[header] not in _TREE_HEADERS:
        return
    block, cells, start = (int.from_bytes(page[header + offset : header + offset + 2], "big") for offset in (1, 3, 5))
    used = header + _TREE_HEADERS[page[header]] + 2 * cells
    page[used:start] = bytes(start - used)
    while block:
        next_block, size = (int.from_bytes(page[block + offset : block + offset + 2], "big") for offset in (0, 2))
        page[block + 4 : block + size] = bytes(size - 4)
        block = next_block


# --- reading

_MAX_FILE_SIZE = 1 << 28
# SQLITE_LIMIT_LENGTH, which bounds both a value and a row.
_MAX_VALUE_LENGTH = 1 << 16
_STEPS_PER_CHECK = 10_000
_COLUMNS = {
    "ValidPaths": ("id", "path", "hash", "registrationTime", "deriver", "narSize", "ultimate", "sigs", "ca"),
    "Refs": ("referrer", "reference"),
    "DerivationOutputs": ("drv", "id", "path"),
}


def checkpoint_wal(file: Path) -> None:
    """Move the content of the write-ahead log beside ``file`` into that database, which must be lamina's own copy.

    Raises:
        FormatError: The file or its log is not a valid database.
    """
    try:
        with open_database(file, "mode=rw") as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except DatabaseError as error:
        raise FormatError(file, error, "a database and its log") from error


def read(file: Path) -> tuple[tuple[Registration, ...], tuple[str, ...]]:
    """Read the registrations from the database ``file`` of a base image.

    A path that refers to a missing row is left out with a warning, because its references are unknown. Paths that
    refer to that path are handled by `lamina.rootfs.registration.merge_registrations`. Nothing is written, and no other
    file is opened: if the header says WAL mode, as in a database that Nix has closed, changes that are only in the log
    are not seen.

    Returns:
        The registrations in ascending order of their paths, and the warnings.

    Raises:
        FormatError: The file is not an intact database of schema 10, or is too large.
        Unavailable: The file cannot be read.
    """
    try:
        status = os.stat(file)
    except OSError as error:
        raise Unavailable(file, error, "a Nix database") from error
    if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_FILE_SIZE:
        got = format_size(status.st_size) if stat.S_ISREG(status.st_mode) else "no file"
        raise FormatError(file, got, f"a file of at most {format_size(_MAX_FILE_SIZE)}")
    try:
        with open_database(file, "mode=ro&immutable=1") as database:
            return _Reader(database, status.st_size).read()
    except (DatabaseError, UnicodeError, InvalidArgument, _UnexpectedContentError) as error:
        got = str(error)
        got = got if got.isprintable() else short_repr(got)
        raise FormatError(file, got, "a Nix database of schema 10") from error


class _UnexpectedContentError(Exception):
    """The database holds a value or a table that Nix would not have written."""


class _Reader:
    """Reads a possibly malicious database at a cost that is limited by the size of its file.

    Without the limit, a small file could yield many rows through pages that are used many times, views or computed
    columns.
    """

    def __init__(self, database: sqlite3.Connection, size: int) -> None:
        self._database = database
        # A value takes at least one byte. In an intact database, SQLite makes at most one step per eight bytes
        # (measured).
        self._bytes_left = size
        ticks = 10 + size // _STEPS_PER_CHECK
        # This callable runs in C. A signal handler could raise inside a Python callback, and SQLite drops exceptions
        # of callbacks.
        should_stop = partial(next, repeat(0, ticks), 1)
        database.set_progress_handler(should_stop, _STEPS_PER_CHECK)
        database.setlimit(LIMIT_LENGTH, _MAX_VALUE_LENGTH)
        for setting in ("PRAGMA trusted_schema = OFF", "PRAGMA cell_size_check = ON"):
            database.execute(setting)

    def read(self) -> tuple[tuple[Registration, ...], tuple[str, ...]]:
        for table in _COLUMNS:
            self._check_table(table)
        rows: dict[int, list[Any]] = {}
        for number, *row in self._rows("ValidPaths"):
            if number in rows:
                raise _UnexpectedContentError(f"number {number} twice")
            rows[number] = row
        paths = {number: StorePath.parse(_text(row[0])) for number, row in rows.items()}
        if len(set(paths.values())) < len(paths):
            raise _UnexpectedContentError("a path twice")
        references, incomplete = self._read_references(paths)
        outputs = self._read_outputs()
        registrations = (
            _registration(paths[number], row[1:], references.get(number, set()), outputs.get(number, {}))
            for number, row in rows.items()
            if number not in incomplete
        )
        warnings = (
            f"Nix database of the base image: left out {paths[number]}, which refers to a path that has no row"
            for number in incomplete
        )
        return tuple(sorted(registrations, key=lambda registration: registration.path)), tuple(sorted(warnings))

    def _read_references(self, paths: dict[int, StorePath]) -> tuple[dict[int, set[StorePath]], set[int]]:
        references: dict[int, set[StorePath]] = {}
        incomplete = set()
        for referrer, reference in self._rows("Refs"):
            if _row_number(reference) in paths:
                references.setdefault(referrer, set()).add(paths[reference])
            elif referrer in paths:
                incomplete.add(referrer)
        return references, incomplete

    def _read_outputs(self) -> dict[int, dict[str, StorePath]]:
        outputs_by_path: dict[int, dict[str, StorePath]] = {}
        for number, name, path in self._rows("DerivationOutputs"):
            outputs = outputs_by_path.setdefault(number, {})
            if name in outputs:
                raise _UnexpectedContentError(f"output {short_repr(name)} twice")
            outputs[_text(name)] = StorePath.parse(_text(path))
        return outputs_by_path

    def _check_table(self, name: str) -> None:
        query = "SELECT rootpage FROM sqlite_master WHERE name = ? AND type = 'table'"
        roots = self._database.execute(query, (name,)).fetchmany(2)
        computed = any(hidden for *_, hidden in self._database.execute(f"PRAGMA table_xinfo({name})").fetchmany(100))
        if len(roots) != 1 or not roots[0][0] or computed:
            raise _UnexpectedContentError(f"no plain table {name}")

    def _rows(self, table: str) -> Iterator[tuple[Any, ...]]:
        columns = _COLUMNS[table]
        # SQLite may read an index instead of the table, and a forged index may have other content.
        query = f"SELECT {', '.join(columns)} FROM {table} NOT INDEXED"  # noqa: S608 - constants only
        for row in self._database.execute(query):
            self._bytes_left -= len(columns) + sum(len(value) for value in row if isinstance(value, str | bytes))
            if self._bytes_left < 0:
                raise _UnexpectedContentError("more rows than fit into its size")
            _row_number(row[0])
            yield row


def _registration(
    path: StorePath, row: Sequence[object], references: set[StorePath], outputs: dict[str, StorePath]
) -> Registration:
    nar_hash, time, deriver, nar_size, ultimate, signatures, ca = row
    deriver = _text(deriver)
    return Registration(
        path=path,
        nar_hash=Digest.parse(_text(nar_hash)),
        nar_size=_number(nar_size),
        references=frozenset(references),
        deriver=str(StorePath.parse(deriver)) if deriver else "",
        registration_time=_number(time),
        ultimate=bool(_number(ultimate)),
        signatures=frozenset(_text(signatures).split()),
        ca=_text(ca),
        outputs=frozenset(outputs.items()),
    )


def _row_number(value: object) -> int:
    if not isinstance(value, int):
        raise _UnexpectedContentError(f"{short_repr(value)} as the number of a row")
    return value


def _text(value: object) -> str:
    """Return ``value`` as a string, which is empty for NULL."""
    text = "" if value is None else value
    if not isinstance(text, str) or not text.isprintable():
        raise _UnexpectedContentError(f"{short_repr(value)} as a string")
    return text


def _number(value: object) -> int:
    """Return ``value`` as a number, which is 0 for NULL."""
    number = 0 if value is None else value
    if not isinstance(number, int) or number < 0:
        raise _UnexpectedContentError(f"{short_repr(value)} as a number")
    return number
