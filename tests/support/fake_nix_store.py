"""A Nix store for tests, on disk and with a real database, and ways to run lamina on it.

The database matches the files on disk, unless a test changes either.

The tables are those of schema 10, as far as a program reads them (Nix source, libstore, schema.sql).
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
# Imported here with all that they import, because a forked process of another user cannot do it (see `as_nobody`).
LIBRARY = images
VERBS = {"stream": stream, "build": build, "script": script, "plan": plan, "inspect": inspect}
MODULE = (sys.executable, "-m", "lamina")

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
class SymlinkTo:
    """A symlink of a tree."""

    target: str | bytes


@dataclass(frozen=True, slots=True)
class Program:
    """An executable file of a tree."""

    content: bytes


Item = bytes | Program | SymlinkTo | Mapping[Any, "Item"]
"""A tree: a file, a symlink, or a folder as a mapping of names (text or bytes) to trees."""


def put(path: str | bytes | Path, item: Item) -> None:
    """Write ``item`` to ``path``, with the modes that a Nix store has."""
    location = os.fsencode(path)
    match item:
        case bytes() | Program():
            content, mode = (item, 0o444) if isinstance(item, bytes) else (item.content, 0o555)
            Path(os.fsdecode(location)).write_bytes(content)
            os.chmod(location, mode)
        case SymlinkTo():
            os.symlink(os.fsencode(item.target), location)
        case _:
            os.mkdir(location)
            for name, inner in item.items():
                put(os.path.join(location, os.fsencode(name)), inner)
            os.chmod(location, 0o555 if os.geteuid() == 0 else 0o755)


def store_path(name: str, seed: object = "") -> StorePath:
    """Return a store path named ``name``; its hash depends on the name and ``seed``."""
    return StorePath(f"{dump_nix32(hashlib.sha256(f'{name} {seed}'.encode()).digest()[:20])}-{name}")


@dataclass
class FakeStore:
    """A store below ``root``, which is created with it; ``numbers`` are the row IDs of its paths."""

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
        """Return the path on disk of ``path``."""
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
        """Write a path to the store, and register it as valid."""
        path = store_path(name, seed)
        put(self.location(path), item)
        self.register(path, [*references, path] if self_reference else references)
        return path

    def register(self, path: StorePath, references: Iterable[StorePath] = ()) -> None:
        """Register a path on disk as valid."""
        found = hash_pieces(nar.dump(walk(os.fsencode(self.location(path)), case_hack=False)))
        with self.writing() as database:
            self.write_row(database, path, found.digest.nix32, found.size, references)

    def register_many(self, paths: Iterable[StorePath]) -> None:
        """Register paths as valid that are not on disk and have no references."""
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
        """Open the database as Nix does to write: in one transaction, after which the log is empty."""
        with closing(sqlite3.connect(self.database)) as database, database:
            database.execute("PRAGMA synchronous = off")
            yield database

    def remove_empty_log(self) -> None:
        """Remove the empty log and its index that a privileged reader leaves; SQLite does so after the last writer."""
        with self.writing() as database:
            database.execute("SELECT * FROM ValidPaths").fetchall()
        assert not self.log.exists()


def example(root: Path) -> tuple[FakeStore, StorePath]:
    """Create a store of four paths; return it and the path that needs the others."""
    store = FakeStore(root)
    lib = store.add("libgreet-1.0", {"lib": {"libgreet.so": b"\x7fELF" + b"lib" * 1000}}, self_reference=True)
    data = store.add("words-2.1-data", {"share": {"hello.txt": b"hello\n", "empty": b""}})
    shell = store.add("sh-5", {"bin": {"sh": Program(b"#!/no\n")}}, [lib])
    hello = store.add(
        "hello-2.12.1",
        {
            "bin": {"hello": Program(f"#!{shell}/bin/sh\ncat {data}/share\n".encode())},
            "share": SymlinkTo(f"{data}/share"),
        },
        [shell, data],
    )
    return store, hello


def lose_files(store: FakeStore) -> None:
    """Remove the files of all paths but those of ``hello``, so that only a run that reads none of them succeeds."""
    for path in store.numbers:
        if not path.name.startswith("hello"):
            shutil.rmtree(store.location(path))


def graph_of(store: FakeStore) -> list[dict[str, Any]]:
    """Return the graph of the store as ``exportReferencesGraph`` writes it with ``__structuredAttrs``."""
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
    """Write the graph of the store to ``file``."""
    file.write_text(json.dumps(graph_of(store)))
    return file


@contextmanager
def layer_cache_at(file: Path) -> Iterator[LayerCache]:
    """Open the layer cache ``file`` for the block; a warning fails the test."""

    def warn(text: str) -> None:
        pytest.fail(text)

    with LayerCache.open(file, warn) as layer_cache:
        yield layer_cache


@contextmanager
def public_folder() -> Iterator[Path]:
    """Create a temporary folder that every user may read; those of pytest are only for their owner."""
    folder = Path(tempfile.mkdtemp(prefix="lamina-test-", dir=os.environ.get("TMPDIR", "/tmp"))).resolve()
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def as_nobody(function: Callable[[], T]) -> T:
    """Call ``function`` in a process of an ordinary user, and return or raise what it does.

    The process is forked, because that user may not be able to start the interpreter at its path. For the same reason
    ``function`` must not import modules that this process has not imported.
    """
    if os.geteuid() != 0:
        return function()
    return in_child(function, _become_nobody)


def in_child(function: Callable[[], T], before: Callable[[], object]) -> T:
    """Call ``before`` and ``function`` in a forked process, and return or raise what ``function`` does."""
    inlet, outlet = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 and later warn about forks with threads. Those of pytest-xdist hold no lock of lamina.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        _send_result(function, before, outlet)
    os.close(outlet)
    with open(inlet, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    assert answer, f"the child ended with status {status} and said nothing"
    good, value = pickle.loads(answer)
    if good:
        return cast("T", value)
    raise value


def _become_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY_UID)
    os.setuid(NOBODY_UID)


def _send_result(function: Callable[[], object], before: Callable[[], object], outlet: int) -> None:
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
    """The exit code and the output of a finished run of ``lamina``."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def error(self) -> str:
        """The line of stderr with the error; there must be exactly one."""
        (line,) = [line for line in self.stderr.splitlines() if line.startswith("lamina: ")]
        return line.removeprefix("lamina: ")


def run(*arguments: str | Path, wrapper: type[io.TextIOWrapper] = io.TextIOWrapper) -> CompletedRun:
    """Run ``lamina ARGUMENTS`` in this process, which is fast; ``wrapper`` is the class of its stdout."""
    stdout, stderr = io.BytesIO(), io.BytesIO()
    old_argv, old_action = sys.argv, signal.getsignal(signal.SIGTERM)
    sys.argv = ["lamina", *map(str, arguments)]
    out, err = wrapper(stdout, "utf-8"), io.TextIOWrapper(stderr, "utf-8", errors="backslashreplace")
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
    """Start ``lamina ARGUMENTS`` as a process of its own; its outputs are pipes unless ``options`` say otherwise."""
    piped: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*MODULE, *map(str, arguments)], **(piped | options))


def call(*arguments: str | Path, **options: Any) -> CompletedRun:
    """Run ``lamina ARGUMENTS`` as a process of its own, and wait for it."""
    with process(*arguments, **options) as running:
        stdout, stderr = running.communicate(timeout=240)
    return CompletedRun(running.returncode, stdout or b"", (stderr or b"").decode("utf-8", "backslashreplace"))


def in_mount_namespace(script: str, arguments: Sequence[str | Path] = ()) -> subprocess.CompletedProcess[bytes]:
    """Run a shell script in a mount namespace of its own; skip the test if that is not allowed."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("mounting needs root and unshare")
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    command = ["unshare", "-m", "--propagation", "private", "sh", "-euc", script, "sh", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, timeout=240)
