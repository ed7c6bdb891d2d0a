"""A Nix store to test with, on disk and with a real database, and lamina run on it.

Invariant: what stands in the database is true of what is on disk, until a test spoils it.

The tables are those of schema 10 as far as anybody reads them (Nix source, libstore, schema.sql).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from lamina.api import images
from lamina.cli import build, inspect, plan, script, stream
from lamina.cli.main import main
from lamina.core.names import StorePath, dump_nix32
from lamina.formats import nar
from lamina.layer_cache.cache import LayerCache
from lamina.system.transfer import hash_pieces
from lamina.system.walk import walk

T = TypeVar("T")
NOBODY_UID = 65534
# A forked process cannot import them any more (see `as_nobody`), nor what they do.
LIBRARY = images
VERBS = {"stream": stream, "build": build, "script": script, "plan": plan, "inspect": inspect}
MODULE = (sys.executable, "-m", "lamina.cli.main")

_TABLES = """
CREATE TABLE ValidPaths (
    id               INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    path             TEXT UNIQUE NOT NULL,
    hash             TEXT NOT NULL,
    registrationTime INTEGER NOT NULL,
    deriver          TEXT,
    narSize          INTEGER,
    ultimate         INTEGER,
    sigs             TEXT,
    ca               TEXT
);
CREATE TABLE Refs (
    referrer  INTEGER NOT NULL,
    reference INTEGER NOT NULL,
    PRIMARY KEY (referrer, reference),
    FOREIGN KEY (referrer) REFERENCES ValidPaths(id) ON DELETE CASCADE,
    FOREIGN KEY (reference) REFERENCES ValidPaths(id) ON DELETE RESTRICT
);
CREATE INDEX IndexReferrer ON Refs(referrer);
CREATE INDEX IndexReference ON Refs(reference);
CREATE TABLE DerivationOutputs (
    drv  INTEGER NOT NULL,
    id   TEXT NOT NULL,
    path TEXT NOT NULL,
    PRIMARY KEY (drv, id),
    FOREIGN KEY (drv) REFERENCES ValidPaths(id) ON DELETE CASCADE
);
CREATE INDEX IndexDerivationOutputs ON DerivationOutputs(path);
"""


@dataclass(frozen=True, slots=True)
class Link:
    """A symlink."""

    target: str | bytes


@dataclass(frozen=True, slots=True)
class Program:
    """A file that may be executed."""

    content: bytes


Item = bytes | Program | Link | Mapping[Any, "Item"]
"""What is on disk: a file, or a folder as a mapping of names (texts or bytes) to what is in it."""


def put(path: str | bytes | Path, item: Item) -> None:
    """Writes ``item`` at ``path`` with the modes of a store."""
    location = os.fsencode(path)
    match item:
        case bytes() | Program():
            content, mode = (item, 0o444) if isinstance(item, bytes) else (item.content, 0o555)
            Path(os.fsdecode(location)).write_bytes(content)
            os.chmod(location, mode)
        case Link():
            os.symlink(os.fsencode(item.target), location)
        case _:
            os.mkdir(location)
            for name, inner in item.items():
                put(os.path.join(location, os.fsencode(name)), inner)
            os.chmod(location, 0o555 if os.geteuid() == 0 else 0o755)


def store_path(name: str, seed: object = "") -> StorePath:
    """A store path of that name; another ``seed`` gives another hash."""
    return StorePath(f"{dump_nix32(hashlib.sha256(f'{name} {seed}'.encode()).digest()[:20])}-{name}")


@dataclass
class FakeStore:
    """The store below ``root``, made when this is."""

    root: Path
    numbers: dict[StorePath, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.root / "nix/store").mkdir(parents=True)
        self.database.parent.mkdir(parents=True)
        self.schema.write_text("10")
        with closing(sqlite3.connect(self.database)) as database:
            database.execute("PRAGMA synchronous = off")
            database.execute("PRAGMA journal_mode = wal")
            database.executescript(_TABLES)

    @property
    def database(self) -> Path:
        return self.root / "nix/var/nix/db/db.sqlite"

    @property
    def log(self) -> Path:
        return self.database.with_name("db.sqlite-wal")

    @property
    def schema(self) -> Path:
        return self.database.with_name("schema")

    def location(self, path: StorePath) -> Path:
        """Where ``path`` is on this machine."""
        return self.root / "nix/store" / path.base

    def add(
        self,
        name: str,
        item: Item,
        references: Iterable[StorePath] = (),
        *,
        seed: object = "",
        self_reference: bool = False,
    ) -> StorePath:
        """Puts a path in the store and makes it valid."""
        path = store_path(name, seed)
        put(self.location(path), item)
        self.register(path, [*references, path] if self_reference else references)
        return path

    def register(self, path: StorePath, references: Iterable[StorePath] = ()) -> None:
        """Makes a path on disk valid."""
        found = hash_pieces(nar.dump(walk(os.fsencode(self.location(path)), case_hack=False)))
        with self.writing() as database:
            self.write_row(database, path, found.digest.nix32, found.size, references)

    def register_many(self, paths: Iterable[StorePath]) -> None:
        """Makes paths valid that are not on disk, without references."""
        with self.writing() as database:
            for path in paths:
                self.write_row(database, path, "sha256:" + "0" * 52, 120)

    def write_row(
        self,
        database: sqlite3.Connection,
        path: StorePath,
        nar_hash: object,
        nar_size: object,
        references: Iterable[StorePath] = (),
    ) -> None:
        row = (str(path), nar_hash, nar_size)
        added = database.execute(
            "INSERT INTO ValidPaths (path, hash, registrationTime, narSize) VALUES (?, ?, 0, ?)", row
        )
        self.numbers[path] = cast("int", added.lastrowid)
        database.executemany(
            "INSERT INTO Refs VALUES (?, ?)",
            [(self.numbers[path], self.numbers[reference]) for reference in references],
        )

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The database as Nix writes to it: one transaction, with nothing left in the log afterwards."""
        with closing(sqlite3.connect(self.database)) as database, database:
            database.execute("PRAGMA synchronous = off")
            yield database

    def at_rest(self) -> None:
        """Takes away what a privileged reader leaves: an empty log and its index go with the last who may write."""
        with self.writing() as database:
            database.execute("SELECT * FROM ValidPaths").fetchall()
        assert not self.log.exists()


def example(root: Path) -> tuple[FakeStore, StorePath]:
    """A store of four paths, and the one that needs the others."""
    store = FakeStore(root)
    lib = store.add("libgreet-1.0", {"lib": {"libgreet.so": b"\x7fELF" + b"lib" * 1000}}, self_reference=True)
    data = store.add("words-2.1-data", {"share": {"hello.txt": b"hello\n", "empty": b""}})
    shell = store.add("sh-5", {"bin": {"sh": Program(b"#!/no\n")}}, [lib])
    hello = store.add(
        "hello-2.12.1",
        {"bin": {"hello": Program(f"#!{shell}/bin/sh\ncat {data}/share\n".encode())}, "share": Link(f"{data}/share")},
        [shell, data],
    )
    return store, hello


def graph_of(store: FakeStore) -> list[dict[str, Any]]:
    """The whole store as exportReferencesGraph gives it under __structuredAttrs."""
    with closing(sqlite3.connect(store.database)) as database:
        rows = database.execute("SELECT id, path, hash, narSize FROM ValidPaths ORDER BY path").fetchall()
        return [
            {
                "path": path,
                "narHash": nar_hash,
                "narSize": size,
                "closureSize": size,
                "references": [
                    text
                    for (text,) in database.execute(
                        "SELECT path FROM Refs JOIN ValidPaths ON id = reference WHERE referrer = ? ORDER BY path",
                        (number,),
                    )
                ],
            }
            for number, path, nar_hash, size in rows
        ]


def write_graph(store: FakeStore, file: Path) -> Path:
    """The whole store as a closure graph in ``file``."""
    file.write_text(json.dumps(graph_of(store)))
    return file


@contextmanager
def layer_cache_at(file: Path) -> Iterator[LayerCache]:
    """The layer cache in ``file`` for the block, which nothing may be odd about."""

    def warn(text: str) -> None:
        pytest.fail(text)

    with LayerCache.open(file, warn) as layer_cache:
        yield layer_cache


@contextmanager
def public_folder() -> Iterator[Path]:
    """A temporary folder that every user may look into (pytest's own are for their owner alone)."""
    folder = Path(tempfile.mkdtemp(prefix="lamina-test-", dir=os.environ.get("TMPDIR", "/tmp"))).resolve()
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def as_nobody(function: Callable[[], T]) -> T:
    """What ``function`` gives, or raises, in a process of an ordinary user.

    Forks, for the interpreter itself may lie where that user cannot start it; so nothing may be imported in there
    that was not imported here.
    """
    if os.geteuid() != 0:
        return function()
    return in_child(function, _drop)


def in_child(function: Callable[[], T], before: Callable[[], object]) -> T:
    """What ``function`` gives, or raises, in a forked process where ``before`` was called."""
    inlet, outlet = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 and later warn of threads, and pytest-xdist has some; none holds a lock of ours.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        _answer(function, before, outlet)
    os.close(outlet)
    with open(inlet, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    assert answer, f"the child ended with status {status} and said nothing"
    good, value = pickle.loads(answer)
    if good:
        return cast("T", value)
    raise value


def _drop() -> None:
    os.setgroups([])
    os.setgid(NOBODY_UID)
    os.setuid(NOBODY_UID)


def _answer(function: Callable[[], object], before: Callable[[], object], outlet: int) -> None:
    answer = b""
    try:
        before()
        try:
            answer = pickle.dumps((True, function()))
        except Exception as error:  # noqa: BLE001 - whatever it is, the parent raises it
            answer = pickle.dumps((False, error))
        with open(outlet, "wb") as pipe:
            pipe.write(answer)
    except BaseException:  # noqa: BLE001 - a child must not go on as a second pytest
        traceback.print_exc()
    finally:
        os._exit(0)


@dataclass(frozen=True, slots=True)
class CompletedRun:
    """How a run of ``lamina`` ended and what it wrote."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def error(self) -> str:
        """The one line of stderr that says what is wrong."""
        (line,) = [line for line in self.stderr.splitlines() if line.startswith("lamina: ")]
        return line.removeprefix("lamina: ")


def run(*arguments: str | Path) -> CompletedRun:
    """``lamina ARGUMENTS`` in this process, which is fast."""
    stdout, stderr = io.BytesIO(), io.BytesIO()
    old_argv, old_action = sys.argv, signal.getsignal(signal.SIGTERM)
    sys.argv = ["lamina", *map(str, arguments)]
    out, err = io.TextIOWrapper(stdout, "utf-8"), io.TextIOWrapper(stderr, "utf-8", errors="backslashreplace")
    try:
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main()
        out.flush()
        err.flush()
    finally:
        sys.argv = old_argv
        signal.signal(signal.SIGTERM, old_action)
    assert isinstance(ended.value.code, int)
    return CompletedRun(ended.value.code, stdout.getvalue(), stderr.getvalue().decode())


def process(*arguments: str | Path, **options: Any) -> subprocess.Popen[bytes]:
    """``lamina ARGUMENTS`` as a process of its own, its outputs piped where ``options`` say nothing else."""
    piped: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*MODULE, *map(str, arguments)], **(piped | options))


def call(*arguments: str | Path, **options: Any) -> CompletedRun:
    """``lamina ARGUMENTS`` as a process of its own, to its end."""
    with process(*arguments, **options) as running:
        stdout, stderr = running.communicate(timeout=60)
    return CompletedRun(running.returncode, stdout or b"", (stderr or b"").decode("utf-8", "backslashreplace"))


def in_mount_namespace(script: str, arguments: Sequence[str | Path] = ()) -> subprocess.CompletedProcess[bytes]:
    """Runs a shell script that may mount what it likes; skips the test where that is not allowed."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("mounting needs root and unshare")
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    command = ["unshare", "-m", "--propagation", "private", "sh", "-euc", script, "sh", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, timeout=60)
