"""Real Nix accepts the databases that lamina writes, and lamina reads those that Nix writes."""

import itertools
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.closures import Nix, Sample, build_sample, shared_folder
from tests.integration.images import machine_store
from tests.integration.tools import skip_unusable

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.nodes import Symlink
from lamina.rootfs import database
from lamina.rootfs.registration import Registration, make_schema_and_gc_roots


@dataclass(frozen=True, slots=True)
class Root:
    """A root file system as the Nix in an image sees it: a folder with a store and our database."""

    folder: Path
    nix: Nix

    @property
    def database(self) -> Path:
        return self.folder / os.fsdecode(database.DATABASE_PATH)

    def inside(self, path: str | StorePath) -> Path:
        """Return the location of a path of the root on this machine."""
        return self.folder / str(path).removeprefix("/")

    def call(self, *arguments: str | Path, options: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.nix.call("nix-store", "--store", f"local?root={self.folder}{options}", *arguments, check=check)

    def lines(self, *arguments: str | Path) -> list[str]:
        return self.call(*arguments).stdout.splitlines()

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(statement).fetchall()


@contextmanager
def _make_root(nix: Nix, sample: Sample) -> Iterator[Root]:
    """Copy the closure to a root, with our database and the files beside it."""
    with shared_folder(nix) as folder:
        root = Root(folder, nix)
        root.inside("/nix/store").mkdir(parents=True)
        root.database.parent.mkdir(parents=True)
        subprocess.run(["cp", "-a", *sample.paths, root.inside("/nix/store")], check=True)
        root.database.write_bytes(database.dump(_registrations(sample)))
        for node in make_schema_and_gc_roots([StorePath.parse(sample.root)]):
            file = root.inside(os.fsdecode(node.path))
            file.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(node, Symlink):
                file.symlink_to(os.fsdecode(node.target))
            else:
                assert isinstance(node.content, bytes)
                file.write_bytes(node.content)
        yield root


def _registrations(sample: Sample) -> tuple[Registration, ...]:
    return tuple(map(Registration.of, Closure.resolve([StorePath.parse(sample.root)], machine_store().query)))


@pytest.fixture
def root(every_nix: Nix, small: Sample) -> Iterator[Root]:
    with _make_root(every_nix, small) as made:
        yield made


@pytest.fixture
def empty(every_nix: Nix) -> Iterator[Root]:
    """An empty store that Nix created."""
    with shared_folder(every_nix) as folder:
        made = Root(folder, every_nix)
        made.call("--init")
        yield made


def _assert_valid(root: Root) -> None:
    root.call("--verify", "--check-contents")
    assert root.sql("PRAGMA integrity_check") == [("ok",)]
    assert root.sql("PRAGMA foreign_key_check") == []


# Nix reads our database


def test_nix_finds_every_path_and_its_references(every_nix: Nix, sample: Sample) -> None:
    with _make_root(every_nix, sample) as root:
        registrations = _registrations(sample)
        assert sorted(root.lines("--query", "--requisites", sample.root)) == sorted(sample.paths)
        assert _parse_dump(root.lines("--dump-db", *sample.paths)) == {
            str(one.path): (one.nar_hash.hex, str(one.nar_size), "", sorted(map(str, one.references)))
            for one in registrations
        }
        (last,) = [one for one in registrations if str(one.path) == sample.root]
        assert set(root.lines("--query", "--references", sample.root)) == set(map(str, last.references))
        users = {str(one.path) for one in registrations if StorePath.parse(sample.paths[0]) in one.references}
        assert set(root.lines("--query", "--referrers", sample.paths[0])) == users


def _parse_dump(lines: list[str]) -> dict[str, tuple[str, str, str, list[str]]]:
    """Parse the output of ``nix-store --dump-db``: hash, size, deriver and references of each path."""
    records = {}
    remaining = iter(lines)
    for path in remaining:
        nar_hash, size, deriver, count = itertools.islice(remaining, 4)
        records[path] = nar_hash, size, deriver, sorted(itertools.islice(remaining, int(count)))
    return records


def test_nix_verifies_every_path_with_its_contents(every_nix: Nix, sample: Sample) -> None:
    with _make_root(every_nix, sample) as root:
        _assert_valid(root)
        assert {str(one.path) for one in database.read(root.database)[0]} == set(sample.paths)


def test_nix_finds_derivations_and_their_outputs(every_nix: Nix, nix: Nix, small: Sample) -> None:
    derivation = nix.call("nix-store", "--query", "--deriver", small.root).stdout.strip()
    with _make_root(every_nix, Sample(derivation, nix.requisites(derivation))) as root:
        assert root.lines("--query", "--outputs", derivation) == [small.root]
        _assert_valid(root)


def test_nix_finds_a_file_that_was_changed(root: Root, small: Sample) -> None:
    store = root.inside("/nix/store")
    file = next(path for path in sorted(store.rglob("*")) if path.is_file() and not path.is_symlink())
    assert file.resolve().is_relative_to(root.folder.resolve())
    file.chmod(0o644)
    content = file.read_bytes()
    file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    file.chmod(0o555)
    verified = root.call("--verify", "--check-contents", check=False)
    assert verified.returncode != 0
    assert "was modified!" in verified.stderr


def test_nix_finds_a_path_that_is_missing(root: Root, small: Sample) -> None:
    (root.inside("/nix/store") / "moved").mkdir()
    root.inside(small.root).rename(root.inside("/nix/store") / "moved" / "away")
    assert "disappeared" in root.call("--verify", check=False).stderr
    assert small.root not in {str(one.path) for one in database.read(root.database)[0]}


def test_nix_adds_a_path_to_our_database(root: Root, small: Sample) -> None:
    source = root.folder / "new"
    source.write_text("something new\n")
    (added,) = root.lines("--add", source)
    _assert_valid(root)
    found, warnings = database.read(_checkpoint(root))
    assert {str(one.path) for one in found} == {*small.paths, added}
    assert not warnings
    (new,) = (one for one in found if str(one.path) == added)
    assert new.ca.startswith("fixed:r:sha256:")
    assert set(found) - {new} == set(_registrations(small))


def _checkpoint(root: Root) -> Path:
    """Move the write-ahead log into the database, and return the database."""
    root.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return root.database


def test_nix_collects_the_paths_that_no_gc_root_keeps(every_nix: Nix, nix: Nix) -> None:
    sample = build_sample(nix, "small", "collected")
    with _make_root(every_nix, sample) as root:
        assert root.lines("--gc", "--print-dead") == []
        (link,) = root.inside("/nix/var/nix/gcroots/docker").iterdir()
        link.unlink()
        assert sorted(root.lines("--gc", "--print-dead")) == sorted(sample.paths)
        root.call("--gc")
        assert root.sql("SELECT path FROM ValidPaths") == root.sql("SELECT * FROM Refs") == []
        _assert_valid(root)


def test_a_newer_nix_reads_our_database_in_a_read_only_store(newer_nix: Nix, small: Sample) -> None:
    with _make_root(newer_nix, small) as root:
        before = root.database.read_bytes()
        option = ("--option", "extra-experimental-features", "read-only-local-store")
        queried = root.call(*option, "--query", "--requisites", small.root, options="&read-only=true")
        assert sorted(queried.stdout.splitlines()) == sorted(small.paths)
        assert root.database.read_bytes() == before


# lamina reads a database of Nix


def test_a_database_that_nix_loaded_is_read(empty: Root, nix: Nix, small: Sample) -> None:
    dump = nix.call("nix-store", "--dump-db", *small.paths).stdout
    subprocess.run(
        [*empty.nix.prefix, "nix-store", "--store", f"local?root={empty.folder}", "--load-db"],
        env=empty.nix.environment,
        input=dump.encode(),
        check=True,
        timeout=60,
    )
    found, warnings = database.read(_checkpoint(empty))
    assert not warnings
    derivers = {path: nix.call("nix-store", "--query", "--deriver", path).stdout.strip() for path in small.paths}
    assert {str(one.path): one.deriver for one in found} == derivers
    plain = [Registration(one.path, one.nar_hash, one.nar_size, one.references) for one in found]
    assert plain == sorted(_registrations(small), key=lambda one: one.path)
    empty.database.write_bytes(database.dump(found))
    assert database.read(empty.database) == (found, ())


def test_the_database_of_this_machine_is_read(nix: Nix, small: Sample, tmp_path: Path) -> None:
    with shared_folder(nix) as folder:
        own = machine_store().root / os.fsdecode(database.DATABASE_PATH)
        try:
            with (
                closing(sqlite3.connect(f"file:{own}?mode=ro", uri=True)) as source,
                closing(sqlite3.connect(folder / "db.sqlite")) as copy,
            ):
                source.backup(copy)
        except sqlite3.Error as error:
            skip_unusable("nix", f"{own}: {error}")
        found, _ = database.read(folder / "db.sqlite")
    by_path = {str(one.path): one for one in found}
    assert set(small.paths) <= by_path.keys()
    derivation = by_path[by_path[small.root].deriver]
    assert small.root in {str(path) for _, path in derivation.outputs}


_SCHEMA_QUERIES = {
    "columns": "SELECT name, lower(type), \"notnull\", pk FROM pragma_table_info('{}')",
    "keys": 'SELECT "table", "from", lower(on_delete) FROM pragma_foreign_key_list(\'{}\') ORDER BY "from"',
    "indices": "SELECT name, \"unique\", origin FROM pragma_index_list('{}') ORDER BY name",
}


def test_our_tables_equal_the_tables_of_nix(empty: Root, root: Root) -> None:
    names = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
    nix_tables = {name for (name,) in empty.sql(names)}
    our_tables = {name for (name,) in root.sql(names)}
    assert nix_tables <= our_tables <= nix_tables | {"SchemaMigrations"}
    for name in nix_tables:
        for part, query in _SCHEMA_QUERIES.items():
            assert root.sql(query.format(name)) == empty.sql(query.format(name)), f"{part} of {name}"
    triggers = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'"
    assert root.sql(triggers) == empty.sql(triggers)
    assert empty.database.with_name("schema").read_bytes() == root.database.with_name("schema").read_bytes()
