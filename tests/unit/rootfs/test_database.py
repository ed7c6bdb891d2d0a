"""The Nix database: its rows, bytes that depend on nothing else, and invalid databases."""

import hashlib
import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from tests.integration.tools import skip_unusable
from tests.support.examples import mark_rest
from tests.support.factories import infos, path

from lamina.core.names import Digest, StorePath
from lamina.errors import FormatError, PlanError, Unavailable
from lamina.rootfs import database
from lamina.rootfs.registration import SCHEMA, Registration
from lamina.stores.local import database as local
from lamina.stores.local.database import LocalStore

TABLES = {"ValidPaths", "Refs", "DerivationOutputs", "SchemaMigrations"}
WAL = b"\2\2"


def registered(graph: str) -> list[Registration]:
    return [Registration.of(info) for info in infos(graph)]


def many(count: int) -> list[Registration]:
    """Paths that refer to themselves and to earlier ones; every 50th has more signatures than fit into a page."""
    paths = [path(f"many-{number}") for number in range(count)]
    return [
        Registration(
            found,
            Digest(hashlib.sha256(found.base.encode()).digest()),
            number,
            frozenset(paths[number // step] for step in (1, 2, 3, 7, 50, 1000)),
            signatures=frozenset(f"key-{key}:{'x' * 80}" for key in range(0 if number % 50 else 120)),
        )
        for number, found in enumerate(paths)
    ]


FULL = replace(
    registered("A→A")[0],
    deriver=f"{path('Z')}.drv",
    registration_time=1700000000,
    ultimate=True,
    signatures=frozenset({"one:abc=", "two:def="}),
    ca="fixed:r:sha256:" + "0" * 52,
    outputs=frozenset({("out", path("B")), ("dev", path("Q"))}),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database of two paths, A and B; A refers to both."""
    return put(tmp_path, registered("A→A,B"))


def put(folder: Path, registrations: Iterable[Registration]) -> Path:
    made = folder / "db.sqlite"
    made.write_bytes(database.dump(registrations))
    return made


def run(file: Path, *statements: str) -> list[tuple[object, ...]]:
    """Run statements with Python's SQLite; return the rows of the last one."""
    rows: list[tuple[object, ...]] = []
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for statement in statements:
            rows = connection.execute(statement).fetchall()
    return rows


# Its rows


def test_a_path_is_registered_as_nix_does_it(file: Path) -> None:
    (row, _) = run(file, "SELECT * FROM ValidPaths")
    digest = hashlib.sha256(b"A").hexdigest()
    assert row == (1, str(path("A")), f"sha256:{digest}", 315532800, None, 1, None, None, None)
    assert run(file, "SELECT * FROM Refs") == [(1, 1), (1, 2)]


def test_every_column_of_a_base_images_path_is_kept(tmp_path: Path) -> None:
    file = put(tmp_path, [FULL])
    ((_, *row),) = run(file, "SELECT * FROM ValidPaths")
    assert row[2:] == [1700000000, FULL.deriver, 1, 1, "one:abc= two:def=", FULL.ca]
    assert run(file, "SELECT * FROM DerivationOutputs") == [(1, "dev", str(path("Q"))), (1, "out", str(path("B")))]
    assert database.read(file) == ((FULL,), ())


def test_the_tables_are_those_of_schema_10(file: Path) -> None:
    tables = run(file, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
    assert {name for (name,) in tables} == TABLES
    others = run(file, "SELECT type, name FROM sqlite_master WHERE type <> 'table' AND sql IS NOT NULL ORDER BY name")
    assert others == [
        ("trigger", "DeleteSelfRefs"),
        ("index", "IndexDerivationOutputs"),
        ("index", "IndexReference"),
        ("index", "IndexReferrer"),
    ]


@pytest.mark.parametrize("count", mark_rest([0, 1, 3000], 1))
def test_the_file_is_sound(count: int, tmp_path: Path) -> None:
    file = put(tmp_path, many(count))
    assert run(file, "PRAGMA integrity_check") == [("ok",)]
    assert run(file, "PRAGMA foreign_key_check") == []
    assert run(file, "PRAGMA freelist_count") == [(0,)]
    assert run(file, "SELECT count(*) FROM ValidPaths") == [(count,)]


def test_new_rows_are_numbered_after_ours(file: Path) -> None:
    add = "INSERT INTO ValidPaths (path, hash, registrationTime) VALUES ('x', 'y', 0)"
    assert run(file, add, "SELECT max(id) FROM ValidPaths") == [(3,)]


def test_a_path_is_deleted_with_its_references_but_not_while_another_refers_to_it(file: Path) -> None:
    keys = "PRAGMA foreign_keys = ON"
    with pytest.raises(sqlite3.IntegrityError):
        run(file, keys, "DELETE FROM ValidPaths WHERE id = 2")
    assert run(file, keys, "DELETE FROM ValidPaths WHERE id = 1", "SELECT * FROM Refs") == []


def test_our_own_store_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(database.DATABASE_PATH)
    folder.parent.mkdir(parents=True)
    (tmp_path / "nix/store").mkdir()
    put(folder.parent, map(Registration.of, infos("A→A,B C→B")))
    folder.with_name("schema").write_bytes(SCHEMA)
    store = LocalStore(tmp_path)
    assert set(store.query([path(name) for name in "ABCD"]).values()) == set(infos("A→A,B C→B"))
    assert (os.fsdecode(database.DATABASE_PATH), SCHEMA.decode()) == (local.DATABASE, local.SCHEMA)


def test_a_reference_to_an_unregistered_path_is_refused() -> None:
    with pytest.raises(PlanError, match=f"^{path('A')}: got a reference to {path('B')}, expected"):
        database.dump(registered("A→B")[:1])


def test_a_path_is_registered_once() -> None:
    with pytest.raises(PlanError, match=f"got {path('B')} twice"):
        database.dump(registered("A→B") + registered("B→"))


@pytest.mark.parametrize("wrong", [{"nar_size": 2**63}, {"nar_size": -1}, {"registration_time": 2**64}])
def test_a_number_that_sqlite_does_not_hold_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(PlanError, match="expected a number of 63 bits"):
        database.dump([replace(registered("A→")[0], **wrong)])  # type: ignore[arg-type]


# Its bytes


@pytest.mark.parametrize("count", mark_rest([0, 1, 100, 3000], 1))
def test_another_sqlite_gives_the_same_bytes(count: int) -> None:
    ours, theirs = sqlite3.sqlite_version, apsw.sqlite_lib_version()
    if ours == theirs:
        skip_unusable("apsw", f"it has SQLite {theirs}, as Python has")
    with closing(apsw.Connection(":memory:")) as connection:
        database.write(connection, many(count))
        assert database.normalise(connection.serialize("main")) == database.dump(many(count)), f"{ours} and {theirs}"


def test_a_sqlite_without_serialize_gives_the_same_bytes() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        database.write(connection, many(500))
        assert database.normalise(database._serialize_via_file(connection)) == database.dump(many(500))


def test_the_header_does_not_depend_on_how_it_was_made() -> None:
    made = database.dump(many(100))
    assert made[:20] == b"SQLite format 3\0" + (4096).to_bytes(2, "big") + b"\1\1"
    assert made[24:28] == made[92:96] == b"\0\0\0\1"
    assert int.from_bytes(made[28:32], "big") * 4096 == len(made)
    assert int.from_bytes(made[96:100], "big") == 3040001


def test_old_data_between_the_cells_is_overwritten(file: Path) -> None:
    removed = b"left-behind" * 10
    run(
        file,
        "PRAGMA secure_delete = OFF",
        f"INSERT INTO ValidPaths (path, hash, registrationTime) VALUES ('x', '{removed.decode()}', 0)",
        "INSERT INTO ValidPaths (path, hash, registrationTime) VALUES ('y', 'z', 0)",
        "DELETE FROM ValidPaths WHERE path = 'x'",
    )
    assert removed in file.read_bytes()
    file.write_bytes(database.normalise(file.read_bytes()))
    assert removed[4:] not in file.read_bytes()
    assert run(file, "PRAGMA integrity_check") == [("ok",)]
    assert run(file, "SELECT hash FROM ValidPaths WHERE path = 'y'") == [("z",)]


# Reading the database of a base image


def test_reading_a_database_writes_nothing(file: Path) -> None:
    run(file, "PRAGMA journal_mode = WAL")
    before = file.read_bytes(), file.stat().st_mtime_ns
    assert before[0][18:20] == WAL
    found, _ = database.read(file)
    assert [one.path.name for one in found] == ["A", "B"]
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
    assert [one.name for one in file.parent.iterdir()] == ["db.sqlite"]


def test_a_folder_name_may_contain_characters_that_uris_use(tmp_path: Path) -> None:
    folder = tmp_path / "a?b#c%20 &mode=rw"
    folder.mkdir()
    assert len(database.read(put(folder, registered("A→B")))[0]) == 2


def test_a_hash_in_nix32_is_read_too(file: Path) -> None:
    digest = Digest(bytes(range(32)))
    run(file, f"UPDATE ValidPaths SET hash = '{digest.nix32}'")
    assert {one.nar_hash for one in database.read(file)[0]} == {digest}


def test_a_path_that_refers_to_a_missing_row_is_left_out(file: Path) -> None:
    run(file, "DELETE FROM ValidPaths WHERE id = 2", "INSERT INTO Refs VALUES (7, 1)", "INSERT INTO Refs VALUES (8, 9)")
    assert database.read(file) == (
        (),
        (f"Nix database of the base image: left out {path('A')}, which refers to a path that has no row",),
    )


_OLD = [
    "ALTER TABLE ValidPaths RENAME TO Old",
    "CREATE TABLE ValidPaths (id, path, hash, registrationTime, deriver, narSize, ultimate, sigs, ca)",
]


@pytest.mark.parametrize(
    "statements",
    [
        ["DROP TABLE Refs"],
        ["DROP TABLE ValidPaths"],
        ["ALTER TABLE ValidPaths DROP COLUMN ca"],
        ["ALTER TABLE Refs ADD COLUMN made AS (referrer || 'x')"],
        ["DROP TABLE Refs", "CREATE VIEW Refs AS SELECT id AS referrer, id AS reference FROM ValidPaths"],
        ["PRAGMA writable_schema = ON", "UPDATE sqlite_master SET rootpage = 0 WHERE name = 'Refs'"],
        ["UPDATE ValidPaths SET path = '/nix/store/x' WHERE id = 1"],
        ["UPDATE ValidPaths SET path = path || char(0) WHERE id = 1"],
        ["UPDATE ValidPaths SET path = '../../etc/passwd' WHERE id = 1"],
        ["UPDATE ValidPaths SET path = CAST(path AS BLOB)"],
        ["UPDATE ValidPaths SET path = CAST(x'ff2f' AS TEXT) WHERE id = 1"],
        ["UPDATE ValidPaths SET hash = 'md5:00'"],
        ["UPDATE ValidPaths SET hash = x'00'"],
        ["UPDATE ValidPaths SET narSize = 'many'"],
        ["UPDATE ValidPaths SET narSize = 1.5"],
        ["UPDATE ValidPaths SET narSize = -1"],
        ["UPDATE ValidPaths SET registrationTime = x'31'"],
        ["UPDATE ValidPaths SET ultimate = 'yes'"],
        ["UPDATE ValidPaths SET deriver = 'unknown'"],
        ["UPDATE ValidPaths SET sigs = 'a' || char(10) || 'b'"],
        ["UPDATE ValidPaths SET sigs = printf('%.70000c', 'x')"],
        ["UPDATE ValidPaths SET ca = char(27)"],
        ["INSERT INTO Refs VALUES ('a', 'b')"],
        ["INSERT INTO Refs VALUES (1, x'00')"],
        ["INSERT INTO DerivationOutputs VALUES (1, 'out', '/etc')"],
        [
            "DROP TABLE DerivationOutputs",
            "CREATE TABLE DerivationOutputs (drv, id, path)",
            "INSERT INTO DerivationOutputs SELECT 1, 'out', path FROM ValidPaths",
        ],
        [*_OLD, "INSERT INTO ValidPaths SELECT 3, path, hash, 0, '', 1, 0, '', '' FROM Old, Refs"],
        [*_OLD, "INSERT INTO ValidPaths SELECT 1, path, hash, 0, '', 1, 0, '', '' FROM Old"],
        [*_OLD, "INSERT INTO ValidPaths SELECT id + 10 * reference, path, hash, 0, '', 1, 0, '', '' FROM Old, Refs"],
        [*_OLD, "INSERT INTO ValidPaths SELECT NULL, path, hash, 0, '', 1, 0, '', '' FROM Old LIMIT 1"],
    ],
    ids=lambda statements: statements[-1][:60],
)
def test_a_database_that_nix_would_not_write_is_refused(statements: list[str], file: Path) -> None:
    run(file, *statements)
    with pytest.raises(FormatError, match=r"^.*db\.sqlite: got .*, expected a Nix database of schema 10$"):
        database.read(file)


def test_an_error_message_that_a_hostile_database_causes_is_one_line(file: Path) -> None:
    rename = "UPDATE sqlite_master SET name = 'Refs' || char(10) || char(27) WHERE name = 'Refs'"
    run(
        file,
        "PRAGMA writable_schema = ON",
        rename,
        "UPDATE sqlite_master SET sql = 'CREATE x' WHERE name LIKE 'Refs_%'",
    )
    with pytest.raises(FormatError) as caught:
        database.read(file)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("content", [b"", b"x", b"SQLite format 3\0", bytes(4096), b"SQLite format 3\0" + bytes(4096)])
def test_a_file_that_is_not_a_database_is_refused(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    with pytest.raises(FormatError):
        database.read(file)


def test_a_truncated_database_is_refused(tmp_path: Path) -> None:
    file = put(tmp_path, many(300))
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(FormatError):
        database.read(file)


def test_a_path_that_is_not_a_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for file in (tmp_path / "pipe", tmp_path):
        with pytest.raises(FormatError, match="expected a file"):
            database.read(file)


def test_a_file_that_is_too_large_is_refused(file: Path) -> None:
    os.truncate(file, 1 << 40)
    with pytest.raises(FormatError, match="expected a file of at most"):
        database.read(file)


def test_a_file_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="No such file"):
        database.read(tmp_path / "none")


def _interior(child: int, cells: int = 500) -> bytes:
    """Return an interior page of a table's b-tree whose children are all the same page."""
    body = (child.to_bytes(4, "big") + b"\1") * cells
    start = 4096 - len(body)
    header = b"\5\0\0" + cells.to_bytes(2, "big") + start.to_bytes(2, "big") + b"\0" + child.to_bytes(4, "big")
    pointers = b"".join((start + 5 * cell).to_bytes(2, "big") for cell in range(cells))
    return (header + pointers).ljust(start, b"\0") + body


@pytest.mark.parametrize(
    ("table", "got"),
    [
        ("ValidPaths", "number 1"),
        ("Refs", "(interrupted|more rows than fit into its size)"),
        ("DerivationOutputs", "output 'dev'"),
    ],
)
def test_reading_stops_at_a_tree_that_uses_its_pages_many_times(table: str, got: str, tmp_path: Path) -> None:
    file = put(tmp_path, [FULL])
    ((root,),) = run(file, f"SELECT rootpage FROM sqlite_master WHERE name = '{table}'")
    assert isinstance(root, int)
    pages = bytearray(file.read_bytes())
    here = slice(4096 * (root - 1), 4096 * root)
    leaf = pages[here]
    pages[here] = _interior(len(pages) // 4096 + 1)
    for _ in range(15):
        pages += _interior(len(pages) // 4096 + 2)
    file.write_bytes(database.normalise(bytes(pages + leaf)))
    with pytest.raises(FormatError, match=f"got {got}"):
        database.read(file)


def test_a_query_that_does_not_end_is_interrupted(file: Path) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n) SELECT count(*) FROM n"
    with closing(sqlite3.connect(file)) as connection:
        database._Reader(connection, file.stat().st_size)
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            connection.execute(endless).fetchall()


def test_a_store_path_of_every_length_is_kept(tmp_path: Path) -> None:
    paths = [StorePath.parse_base(f"{path('A').hash}-{'n' * length}") for length in range(1, 212)]
    given = tuple(Registration(found, Digest(bytes(32)), 1, frozenset()) for found in paths)
    assert database.read(put(tmp_path, given)) == (given, ())
