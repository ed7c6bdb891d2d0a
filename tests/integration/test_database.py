"""Against real Nix: it takes a database of ours for one of its own, and we read one of its own."""

import itertools
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.closures import Nix, Sample, seen_folder
from tests.integration.images import machine
from tests.integration.tools import unusable

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.nodes import Symlink
from lamina.rootfs import database
from lamina.rootfs.registration import Registration, make_schema_and_gc_roots


@dataclass(frozen=True, slots=True)
class Root:
    """What an image is to the Nix in it: a folder with a store and our database, seen as ``/``."""

    place: Path
    nix: Nix

    @property
    def database(self) -> Path:
        return self.place / os.fsdecode(database.DATABASE_PATH)

    def inside(self, path: str | StorePath) -> Path:
        """Where a path of the root is on this machine."""
        return self.place / str(path).removeprefix("/")

    def call(self, *arguments: str | Path, options: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.nix.call("nix-store", "--store", f"local?root={self.place}{options}", *arguments, check=check)

    def lines(self, *arguments: str | Path) -> list[str]:
        return self.call(*arguments).stdout.splitlines()

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(statement).fetchall()


@contextmanager
def _root(nix: Nix, sample: Sample) -> Iterator[Root]:
    """A copy of the closure with a database that we made, and what belongs beside it."""
    with seen_folder(nix) as place:
        root = Root(place, nix)
        root.inside("/nix/store").mkdir(parents=True)
        root.database.parent.mkdir(parents=True)
        subprocess.run(["cp", "-a", *sample.paths, root.inside("/nix/store")], check=True)
        root.database.write_bytes(database.dump(_registrations(sample)))
        for node in make_schema_and_gc_roots([StorePath.parse(sample.root)]):
            at = root.inside(os.fsdecode(node.path))
            at.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(node, Symlink):
                at.symlink_to(os.fsdecode(node.target))
            else:
                assert isinstance(node.content, bytes)
                at.write_bytes(node.content)
        yield root


def _registrations(sample: Sample) -> tuple[Registration, ...]:
    return tuple(map(Registration.of, Closure.resolve([StorePath.parse(sample.root)], machine().query)))


@pytest.fixture
def root(every_nix: Nix, small: Sample) -> Iterator[Root]:
    with _root(every_nix, small) as made:
        yield made


@pytest.fixture
def empty(every_nix: Nix) -> Iterator[Root]:
    """A store as Nix itself makes it."""
    with seen_folder(every_nix) as place:
        made = Root(place, every_nix)
        made.call("--init")
        yield made


def _assert_sound(root: Root) -> None:
    root.call("--verify", "--check-contents")
    assert root.sql("PRAGMA integrity_check") == [("ok",)]
    assert root.sql("PRAGMA foreign_key_check") == []


# Nix on a database of ours


def test_nix_finds_every_path_and_what_it_refers_to(every_nix: Nix, sample: Sample) -> None:
    with _root(every_nix, sample) as root:
        registrations = _registrations(sample)
        assert sorted(root.lines("--query", "--requisites", sample.root)) == sorted(sample.paths)
        assert _records(root.lines("--dump-db", *sample.paths)) == {
            str(one.path): (one.nar_hash.hex, str(one.nar_size), "", sorted(map(str, one.references)))
            for one in registrations
        }
        (last,) = [one for one in registrations if str(one.path) == sample.root]
        assert set(root.lines("--query", "--references", sample.root)) == set(map(str, last.references))
        users = {str(one.path) for one in registrations if StorePath.parse(sample.paths[0]) in one.references}
        assert set(root.lines("--query", "--referrers", sample.paths[0])) == users


def _records(lines: list[str]) -> dict[str, tuple[str, str, str, list[str]]]:
    """What ``nix-store --dump-db`` says of each path: hash, size, deriver, references."""
    found = {}
    left = iter(lines)
    for path in left:
        nar_hash, size, deriver, count = itertools.islice(left, 4)
        found[path] = nar_hash, size, deriver, sorted(itertools.islice(left, int(count)))
    return found


def test_nix_verifies_every_path_with_its_contents(every_nix: Nix, sample: Sample) -> None:
    with _root(every_nix, sample) as root:
        _assert_sound(root)
        assert {str(one.path) for one in database.read(root.database)[0]} == set(sample.paths)


def test_nix_finds_derivations_and_their_outputs(every_nix: Nix, nix: Nix, small: Sample) -> None:
    derivation = nix.call("nix-store", "--query", "--deriver", small.root).stdout.strip()
    with _root(every_nix, Sample(derivation, nix.requisites(derivation))) as root:
        assert root.lines("--query", "--outputs", derivation) == [small.root]
        _assert_sound(root)


def test_nix_finds_a_file_that_was_changed(root: Root, small: Sample) -> None:
    store = root.inside("/nix/store")
    file = next(found for found in sorted(store.rglob("*")) if found.is_file() and not found.is_symlink())
    assert file.resolve().is_relative_to(root.place.resolve())
    file.chmod(0o644)
    content = file.read_bytes()
    file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    file.chmod(0o555)
    failed = root.call("--verify", "--check-contents", check=False)
    assert failed.returncode != 0
    assert "was modified!" in failed.stderr


def test_nix_finds_a_path_that_is_missing(root: Root, small: Sample) -> None:
    (root.inside("/nix/store") / "moved").mkdir()
    root.inside(small.root).rename(root.inside("/nix/store") / "moved" / "away")
    assert "disappeared" in root.call("--verify", check=False).stderr
    assert small.root not in {str(one.path) for one in database.read(root.database)[0]}


def test_nix_adds_to_it(root: Root, small: Sample) -> None:
    source = root.place / "new"
    source.write_text("something new\n")
    (added,) = root.lines("--add", source)
    _assert_sound(root)
    found, warnings = database.read(_at_rest(root))
    assert {str(one.path) for one in found} == {*small.paths, added}
    assert not warnings
    (new,) = (one for one in found if str(one.path) == added)
    assert new.ca.startswith("fixed:r:sha256:")
    assert set(found) - {new} == set(_registrations(small))


def _at_rest(root: Root) -> Path:
    """The database with all that Nix has in its log."""
    root.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return root.database


def test_nix_collects_what_no_root_keeps_and_deletes_it(root: Root, small: Sample) -> None:
    assert root.lines("--gc", "--print-dead") == []
    (link,) = root.inside("/nix/var/nix/gcroots/docker").iterdir()
    link.unlink()
    assert sorted(root.lines("--gc", "--print-dead")) == sorted(small.paths)
    root.call("--gc")
    assert root.sql("SELECT path FROM ValidPaths") == root.sql("SELECT * FROM Refs") == []
    _assert_sound(root)


def test_newer_nix_reads_it_where_nothing_may_be_written(newer_nix: Nix, small: Sample) -> None:
    with _root(newer_nix, small) as root:
        before = root.database.read_bytes()
        option = ("--option", "extra-experimental-features", "read-only-local-store")
        said = root.call(*option, "--query", "--requisites", small.root, options="&read-only=true")
        assert sorted(said.stdout.splitlines()) == sorted(small.paths)
        assert root.database.read_bytes() == before


# We on a database of Nix's


def test_what_nix_loads_into_its_own_we_read(empty: Root, nix: Nix, small: Sample) -> None:
    dump = nix.call("nix-store", "--dump-db", *small.paths).stdout
    subprocess.run(
        [*empty.nix.prefix, "nix-store", "--store", f"local?root={empty.place}", "--load-db"],
        env=empty.nix.environment,
        input=dump.encode(),
        check=True,
        timeout=60,
    )
    found, warnings = database.read(_at_rest(empty))
    assert not warnings
    derivers = {path: nix.call("nix-store", "--query", "--deriver", path).stdout.strip() for path in small.paths}
    assert {str(one.path): one.deriver for one in found} == derivers
    plain = [Registration(one.path, one.nar_hash, one.nar_size, one.references) for one in found]
    assert plain == sorted(_registrations(small), key=lambda one: one.path)
    empty.database.write_bytes(database.dump(found))
    assert database.read(empty.database) == (found, ())


def test_the_machines_own_is_read(nix: Nix, small: Sample, tmp_path: Path) -> None:
    with seen_folder(nix) as place:
        own = machine().root / os.fsdecode(database.DATABASE_PATH)
        try:
            with (
                closing(sqlite3.connect(f"file:{own}?mode=ro", uri=True)) as source,
                closing(sqlite3.connect(place / "db.sqlite")) as copy,
            ):
                source.backup(copy)
        except sqlite3.Error as error:
            unusable("nix", f"{own}: {error}")
        found, _ = database.read(place / "db.sqlite")
    by_path = {str(one.path): one for one in found}
    assert set(small.paths) <= by_path.keys()
    derivation = by_path[by_path[small.root].deriver]
    assert small.root in {str(path) for _, path in derivation.outputs}


_SHAPE = {
    "columns": "SELECT name, lower(type), \"notnull\", pk FROM pragma_table_info('{}')",
    "keys": 'SELECT "table", "from", lower(on_delete) FROM pragma_foreign_key_list(\'{}\') ORDER BY "from"',
    "indices": "SELECT name, \"unique\", origin FROM pragma_index_list('{}') ORDER BY name",
}


def test_our_tables_are_nixs_own(empty: Root, root: Root) -> None:
    names = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
    theirs = {name for (name,) in empty.sql(names)}
    ours = {name for (name,) in root.sql(names)}
    assert theirs <= ours <= theirs | {"SchemaMigrations"}
    for name in theirs:
        for what, query in _SHAPE.items():
            assert root.sql(query.format(name)) == empty.sql(query.format(name)), f"{what} of {name}"
    triggers = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'"
    assert root.sql(triggers) == empty.sql(triggers)
    assert empty.database.with_name("schema").read_bytes() == root.database.with_name("schema").read_bytes()
