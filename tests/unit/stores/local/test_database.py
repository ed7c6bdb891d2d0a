"""The Nix store on this machine: every query sees one state of the database, whatever other processes do."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Self

import pytest
from tests.support.fake_nix_store import (
    MODULE,
    FakeStore,
    SymlinkTo,
    as_nobody,
    example,
    in_mount_namespace,
    public_folder,
    put,
    run,
    store_path,
)

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.nodes import Directory
from lamina.errors import NotFound, StoreError, Unavailable
from lamina.formats import nar
from lamina.stores.local.database import LocalStore
from lamina.system.transfer import hash_pieces

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root: the writer has permissions that the reader lacks"
)

_WRITER = """
import sqlite3, sys
when = sys.argv[2]
database = None
for line in sys.stdin:
    database = database or sqlite3.connect(sys.argv[1], isolation_level=None)
    database.execute("PRAGMA wal_autocheckpoint = 0")
    database.execute(line)
    if when == "at once":
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if when == "and leaves":
        database.close()
        database = None
    print("done", flush=True)
"""


class Writer:
    """Another process that writes to the database; its changes stay in the log unless ``when`` says otherwise."""

    def __init__(self, store: FakeStore, when: str = "") -> None:
        command = [sys.executable, "-c", _WRITER, str(store.database), when]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def add(self, path: StorePath) -> None:
        self.execute(
            f"INSERT INTO ValidPaths (path, hash, registrationTime, narSize) "
            f"VALUES ('{path}', 'sha256:{'0' * 52}', 0, 120)"
        )

    def execute(self, statement: str) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(statement.encode() + b"\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == b"done\n"


class HashWithCallback(str):
    """A hash that calls ``event`` when it is formatted into a query."""

    __slots__ = ("event",)
    event: Callable[[], object]

    def __new__(cls, text: str, event: Callable[[], object]) -> Self:
        hash_part = super().__new__(cls, text)
        hash_part.event = event
        return hash_part

    def __format__(self, spec: str) -> str:
        self.event()
        return str(self)


@pytest.fixture
def folder() -> Iterator[Path]:
    with public_folder() as path:
        yield path


@pytest.fixture
def store(folder: Path) -> FakeStore:
    return example(folder / "root")[0]


def check_valid(root: Path, *paths: StorePath) -> list[bool]:
    """Return for each of ``paths`` whether an ordinary user finds it valid."""
    return as_nobody(lambda: [path in LocalStore(root).query(paths) for path in paths])


# --- path infos


def test_a_path_has_the_path_info_of_the_database(store: FakeStore) -> None:
    (hello,) = LocalStore(store.root).find("hello")
    info = LocalStore(store.root).query([hello])[hello]
    found = hash_pieces(nar.dump(LocalStore(store.root).nodes(hello)))
    assert (info.path, info.nar_hash, info.nar_size) == (hello, found.digest, found.size)
    assert {path.name for path in info.references} == {"sh-5", "words-2.1-data"}


def test_a_path_may_refer_to_itself(store: FakeStore) -> None:
    (lib,) = LocalStore(store.root).find("libgreet")
    assert LocalStore(store.root).query([lib])[lib].references == {lib}


def test_a_path_that_is_not_valid_is_left_out_even_where_it_is_on_disk(store: FakeStore) -> None:
    stranger = store_path("stranger-1")
    put(store.location(stranger), b"here")
    assert LocalStore(store.root).query([stranger]) == {}
    with pytest.raises(NotFound, match="got no such valid path in the store, expected one that was built"):
        Closure.resolve([stranger], LocalStore(store.root).query)


def test_an_empty_query_has_an_empty_result(store: FakeStore) -> None:
    assert LocalStore(store.root).query([]) == {}


def test_thousands_of_paths_fit_in_one_query(store: FakeStore) -> None:
    paths = [store_path(f"many-{number}") for number in range(2500)]
    store.register_many(paths)
    assert set(LocalStore(store.root).query([*paths, store_path("other-1")])) == set(paths)


def test_a_valid_path_that_is_not_on_disk_is_named(store: FakeStore) -> None:
    (shell,) = LocalStore(store.root).find("sh")
    shutil.rmtree(store.location(shell))
    with pytest.raises(NotFound, match=rf"{store.location(shell)}: got nothing there, expected a store path"):
        LocalStore(store.root).nodes(shell)


# --- names


def test_a_name_is_found_with_its_version_and_without(store: FakeStore) -> None:
    local = LocalStore(store.root)
    assert local.find("hello") == local.find("hello-2.12.1") == (store_path("hello-2.12.1"),)


@pytest.mark.parametrize("name", ["hell", "ello", "hello-2", "2.12.1", "hello-2.12.1.drv", "", "-", "%", "_", "HELLO"])
def test_part_of_a_name_is_not_found(store: FakeStore, name: str) -> None:
    store.register_many([store_path("hello-2.12.1.drv")])
    assert LocalStore(store.root).find(name) == ()


def test_a_name_of_several_paths_gives_them_all_in_order(store: FakeStore) -> None:
    others = [store_path("hello-2.12.1", 1), store_path("hello-2.10")]
    store.register_many(others)
    assert LocalStore(store.root).find("hello") == tuple(sorted([*others, store_path("hello-2.12.1")]))


def test_a_derivation_is_not_what_its_name_means(store: FakeStore) -> None:
    store.register_many([store_path("hello-2.12.1.drv")])
    assert LocalStore(store.root).find("hello") == (store_path("hello-2.12.1"),)


def test_an_output_belongs_to_its_own_package_name(store: FakeStore) -> None:
    assert LocalStore(store.root).find("words") == (store_path("words-2.1-data"),)


def test_paths_are_found_by_their_hashes(store: FakeStore) -> None:
    local = LocalStore(store.root)
    (hello,), (shell,) = local.find("hello"), local.find("sh")
    assert set(local.with_hashes({hello.hash, shell.hash, "0" * 32})) == {hello, shell}
    assert local.with_hashes(set()) == ()


def test_the_names_of_all_valid_paths_are_listed(store: FakeStore) -> None:
    assert set(LocalStore(store.root).names()) == {path.name for path in store.numbers}


def test_the_folder_of_a_store_may_have_any_name(folder: Path) -> None:
    store, hello = example(folder / "a b%20c?mode=rw#d&e")
    store.remove_empty_log()
    assert check_valid(store.root, hello) == [True]
    assert LocalStore(store.root).query([hello])
    assert next(iter(LocalStore(store.root).nodes(hello))) == Directory(b"")


def test_a_relative_folder_is_a_store(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(store.root.parent)
    assert LocalStore(Path("root")).find("hello")


# --- other users and concurrent writers


def test_an_ordinary_user_reads_a_database_that_no_process_has_open(store: FakeStore) -> None:
    store.remove_empty_log()
    if os.geteuid() != 0:
        store.database.parent.chmod(0o555)
    try:
        assert check_valid(store.root, store_path("hello-2.12.1"), store_path("other-1")) == [True, False]
    finally:
        store.database.parent.chmod(0o755)
    assert [path.name for path in sorted(store.database.parent.iterdir())] == ["db.sqlite", "schema"]


@needs_root
def test_an_ordinary_user_sees_changes_that_are_only_in_the_log_of_a_live_writer(store: FakeStore) -> None:
    new = store_path("new-1")
    with Writer(store) as writer:
        writer.add(new)
        assert store.log.stat().st_size
        assert check_valid(store.root, new, store_path("hello-2.12.1")) == [True, True]


@needs_root
def test_an_ordinary_user_sees_one_state_while_a_writer_is_in_the_middle_of_an_update(store: FakeStore) -> None:
    new, half = store_path("new-1"), store_path("half-1")
    with Writer(store) as writer:
        writer.add(new)
        writer.execute("BEGIN IMMEDIATE")
        writer.add(half)
        assert check_valid(store.root, new, half) == [True, False]


def test_reading_a_store_at_rest_leaves_nothing_behind(store: FakeStore) -> None:
    """The folder is writable here, so a shared reader would leave ``-shm`` and ``-wal``."""
    before = sorted(store.database.parent.iterdir())
    assert LocalStore(store.root).find("sh")
    assert sorted(store.database.parent.iterdir()) == before


def test_a_write_during_a_read_is_seen(store: FakeStore) -> None:
    (shell,) = LocalStore(store.root).find("sh")
    new = StorePath("z" * 32 + "-new-1")
    with Writer(store) as writer:
        changes = [lambda: writer.add(new)]
        hashes = {shell.hash, HashWithCallback(new.hash, lambda: changes and changes.pop()())}
        assert LocalStore(store.root).with_hashes(hashes) == (shell, new)


def test_a_log_that_comes_and_goes_is_no_error(store: FakeStore) -> None:
    """Each process that opens the database creates the log, and the last one that closes it removes it."""
    ended = threading.Event()

    def create_and_remove() -> None:
        while not ended.is_set():
            store.log.touch()
            store.log.unlink()

    thread = threading.Thread(target=create_and_remove)
    thread.start()
    try:
        for _ in range(200):
            assert LocalStore(store.root).find("sh")
    finally:
        ended.set()
        thread.join()


@needs_root
def test_a_read_sees_one_state_and_does_not_block_a_writer(store: FakeStore) -> None:
    (shell,) = LocalStore(store.root).find("sh")
    new = StorePath("z" * 32 + "-new-1")
    with Writer(store) as writer:
        writer.execute("SELECT count(*) FROM ValidPaths")
        changes = [lambda: writer.add(new)]
        hashes = {shell.hash, HashWithCallback(new.hash, lambda: changes and changes.pop()())}
        assert LocalStore(store.root).with_hashes(hashes) == (shell,)
        assert LocalStore(store.root).with_hashes(hashes) == (shell, new)


@needs_root
@pytest.mark.parametrize("ending", ["-wal", "-shm"])
def test_a_log_that_may_not_be_read_is_an_error_and_not_an_older_state(store: FakeStore, ending: str) -> None:
    new = store_path("new-1")
    with Writer(store) as writer:
        writer.add(new)
        store.database.with_name(f"db.sqlite{ending}").chmod(0o600)
        with pytest.raises(Unavailable, match="got changes that are not in the database yet") as caught:
            check_valid(store.root, new)
    assert str(caught.value).startswith(str(store.log))


@needs_root
def test_changes_of_a_killed_writer_are_seen_or_refused(store: FakeStore) -> None:
    new = store_path("new-1")
    with Writer(store) as writer:
        writer.add(new)
    assert store.log.stat().st_size
    try:
        assert check_valid(store.root, new) == [True]
    except Unavailable as error:
        assert "run lamina as a user who may write to" in error.hint  # noqa: PT017 - either will do


@needs_root
def test_a_log_without_its_index_is_an_error_with_a_hint(store: FakeStore) -> None:
    new = store_path("new-1")
    with Writer(store) as writer:
        writer.add(new)
    store.database.with_name("db.sqlite-shm").unlink()

    def hint() -> str:
        try:
            LocalStore(store.root).query([new])
        except Unavailable as error:
            return error.hint
        return "no error"

    assert as_nobody(hint).startswith(f"run lamina as a user who may write to {store.database.parent}")
    assert LocalStore(store.root).query([new]), "who may write there is not held up"


@needs_root
def test_an_empty_log_counts_as_none(store: FakeStore) -> None:
    store.log.touch(0o644)
    assert check_valid(store.root, store_path("hello-2.12.1")) == [True]


@needs_root
@pytest.mark.parametrize("when", ["at once", "later"])
def test_a_database_at_rest_that_changes_while_it_is_read_is_read_again(store: FakeStore, when: str) -> None:
    (shell,) = LocalStore(store.root).find("sh")
    new = StorePath("z" * 32 + "-new-1")
    store.remove_empty_log()
    with Writer(store, when) as writer:
        # The shared read fails before a hash is formatted; the immutable read then formats it, which changes the file.
        changes = [lambda: writer.add(new)]
        hashes = {shell.hash, HashWithCallback(new.hash, lambda: changes and changes.pop()())}
        assert as_nobody(lambda: LocalStore(store.root).with_hashes(hashes)) == (shell, new)


@needs_root
def test_a_database_that_never_rests_is_an_error(store: FakeStore) -> None:
    store.remove_empty_log()
    count = itertools.count()
    with Writer(store, "and leaves") as writer:
        hashes = {
            store_path("sh-5").hash,
            HashWithCallback("z" * 32, lambda: writer.add(store_path(f"new-{next(count)}"))),
        }
        with pytest.raises(Unavailable, match="got changes during each of 5 reads, expected a database at rest"):
            as_nobody(lambda: LocalStore(store.root).with_hashes(hashes))


def test_a_read_only_mount_is_read(store: FakeStore) -> None:
    store.remove_empty_log()
    script = 'mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; ! touch "$1/x" 2>&-; shift; "$@"'
    done = in_mount_namespace(script, [store.root, *MODULE, "plan", "--store", store.root, "hello", "--json"])
    assert done.returncode == 0, done.stderr
    assert str(store_path("hello-2.12.1")).encode() in done.stdout


@needs_root
def test_a_folder_that_may_not_be_entered_is_an_error(store: FakeStore) -> None:
    store.database.parent.chmod(0o700)
    with pytest.raises(StoreError, match=r"nix/var/nix/db.*: got .*ermission denied"):
        check_valid(store.root, store_path("hello-2.12.1"))
    ran = as_nobody(lambda: run("plan", "--store", store.root, "hello"))
    assert (ran.code, ran.stdout) == (5, b""), ran.stderr
    assert "ermission denied, expected" in ran.error


@needs_root
def test_a_database_that_may_not_be_read_is_an_error(store: FakeStore) -> None:
    store.database.chmod(0o600)
    with pytest.raises(Unavailable, match=r"db.sqlite: got .*, expected a readable Nix database"):
        check_valid(store.root, store_path("hello-2.12.1"))


# --- invalid stores


def test_another_schema_is_refused(store: FakeStore) -> None:
    store.schema.write_text("7\n")
    with pytest.raises(Unavailable, match=r"schema: got schema '7', expected 10"):
        LocalStore(store.root)


def test_a_database_without_a_schema_number_is_refused(store: FakeStore) -> None:
    store.schema.unlink()
    with pytest.raises(Unavailable, match=r"schema: got .*, expected the schema number of a Nix database"):
        LocalStore(store.root)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"ten", b"1\n0", b"9" * 10_000])
def test_a_broken_schema_number_is_refused_in_one_line(store: FakeStore, content: bytes) -> None:
    store.schema.write_bytes(content)
    with pytest.raises(Unavailable) as caught:
        LocalStore(store.root)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_store_without_a_database_is_refused(store: FakeStore) -> None:
    store.database.unlink()
    with pytest.raises(Unavailable, match=r"db.sqlite: got No such file or directory"):
        LocalStore(store.root).find("hello")


@pytest.mark.parametrize("content", [b"hello, this is a text\n" * 100, b"", os.urandom(8192)])
def test_a_file_that_is_not_a_database_is_refused(store: FakeStore, content: bytes) -> None:
    store.database.write_bytes(content)
    with pytest.raises(Unavailable, match=r"db.sqlite: got .*, expected a readable Nix database"):
        LocalStore(store.root).find("hello")


def test_a_database_cut_short_is_refused(store: FakeStore) -> None:
    with store.database.open("r+b") as file:
        file.truncate(4096)
    with pytest.raises(Unavailable, match=r"db.sqlite: got .*, expected a readable Nix database"):
        LocalStore(store.root).find("hello")


def test_a_folder_without_a_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="got no nix/store in it, expected a folder that holds one"):
        LocalStore(tmp_path)


BAD_HASHES = ["''", "'md5:0'", "'sha256:0'", f"'sha256:{'e' * 52}'", "x'00ff'", "CAST(x'ff' AS TEXT)", "5", "1.5"]
BAD_SIZES = ["'many'", "-1", "1.5", "x'05'"]


@pytest.mark.parametrize(
    "change", [f"hash = {value}" for value in BAD_HASHES] + [f"narSize = {value}" for value in BAD_SIZES]
)
def test_a_row_with_a_broken_value_is_refused(store: FakeStore, change: str) -> None:
    hello = store_path("hello-2.12.1")
    with store.writing() as database:
        database.execute(f"UPDATE ValidPaths SET {change} WHERE path = ?", (str(hello),))
    with pytest.raises(Unavailable, match=r": got .*, expected "):
        LocalStore(store.root).query([hello])


@pytest.mark.parametrize(
    "path", ["''", "'/nix/store/short'", "'/elsewhere/x'", "x'2f6e6978'", "CAST(x'2fff' AS TEXT)", "7"]
)
def test_a_reference_to_an_invalid_store_path_is_refused(store: FakeStore, path: str) -> None:
    with store.writing() as database:
        database.execute(f"UPDATE ValidPaths SET path = {path} WHERE path = ?", (str(store_path("sh-5")),))
    with pytest.raises(Unavailable, match=r": .*got .*, expected "):
        LocalStore(store.root).query([store_path("hello-2.12.1")])


def test_a_name_that_fits_a_broken_row_is_refused(store: FakeStore) -> None:
    with store.writing() as database:
        database.execute("UPDATE ValidPaths SET path = CAST(x'ff2d7368' AS TEXT) WHERE path LIKE '%-sh-5'")
    with pytest.raises(Unavailable, match=r": .*got .*, expected "):
        LocalStore(store.root).find("sh")


def test_a_missing_size_is_zero(store: FakeStore) -> None:
    hello = store_path("hello-2.12.1")
    with store.writing() as database:
        database.execute("UPDATE ValidPaths SET narSize = NULL WHERE path = ?", (str(hello),))
    assert LocalStore(store.root).query([hello])[hello].nar_size == 0


def test_reading_leaves_the_database_as_it_was(store: FakeStore) -> None:
    store.remove_empty_log()
    before = store.database.read_bytes()
    local = LocalStore(store.root)
    local.query(local.find("hello"))
    assert store.database.read_bytes() == before
    with closing(sqlite3.connect(store.database)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_store_path_that_is_a_link_is_given_as_one(store: FakeStore) -> None:
    link = store.add("link-1", SymlinkTo("words"))
    (node,) = LocalStore(store.root).nodes(link)
    assert node.path == b""
