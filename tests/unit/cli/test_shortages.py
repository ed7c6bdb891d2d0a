"""Too little memory, too few processes, threads or open files end in an error that names them, and leave no files."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.embedded_store import KEY, ROOT
from tests.support.examples import mark_rest
from tests.support.fake_nix_store import CompletedRun, FakeStore, Program
from tests.support.paths import EXAMPLES

from lamina.cli.shortages import find_shortage
from lamina.errors import FormatError, OutputError, Unavailable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limits")

# Sets a resource limit and executes the rest of its arguments.
_LIMITED = """
import os, resource, sys
name, amount = sys.argv[1], int(sys.argv[2])
resource.setrlimit(getattr(resource, name), (amount, amount))
os.execv(sys.argv[3], sys.argv[3:])
"""
MIB = 1 << 20


def run_limited(folder: Path, name: str, amount: int, arguments: Sequence[object], *prefix: str) -> CompletedRun:
    """Run ``lamina ARGUMENTS`` under a resource limit, started by the command ``prefix``."""
    command = [sys.executable, "-c", _LIMITED, name, str(amount), *prefix]
    command += [sys.executable, "-m", "lamina", *map(str, arguments)]
    environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "XDG_CACHE_HOME": str(folder / "cache")}
    done = subprocess.run(command, capture_output=True, env=environment, timeout=400, check=False)
    return CompletedRun(done.returncode, done.stdout, done.stderr.decode())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("limits")
    (found / "tmp").mkdir()
    store, chance = FakeStore(found / "root"), random.Random(1)
    # Large enough that worker processes are started.
    large = [store.add(f"large-{number}", chance.randbytes(12 * MIB)) for number in range(6)]
    store.add("hello-2", {"bin": {"hello": Program(b"#!/bin/sh")}}, references=large)
    return found


RUNS: dict[str, Callable[[Path], list[object]]] = {
    "tar.gz": lambda folder: [
        *(
            "build",
            "hello",
            "--store",
            folder / "root",
            "--no-layer-cache",
            "--jobs",
            "4",
            "-o",
            folder / "image.tar.gz",
        ),
    ],
    "fetch": lambda folder: [
        *("store", "fetch", ROOT, "--store", f"file://{EXAMPLES}/cache", "--trusted-key", KEY),
        *("--to", folder / "fetched"),
    ],
}
EXPECTED = ("memory: got", "threads and processes: got", "open files: got")


def check_shortage_error(folder: Path, ran: CompletedRun) -> None:
    lines = [line for line in ran.stderr.splitlines() if line.startswith(("lamina:", "hint:", "Traceback"))]
    assert ran.code in {0, 10}, ran.stderr
    if ran.code:
        assert lines[0].removeprefix("lamina: ").startswith(EXPECTED), ran.stderr
        assert lines[1].startswith("hint: raise the limit")
        assert len(lines) == 2
    assert list((folder / "tmp").iterdir()) == []
    assert not [name for name in os.listdir(folder) if name.startswith(".lamina.")]


@pytest.mark.parametrize("name", mark_rest(RUNS, 1))
@pytest.mark.parametrize("size", mark_rest([100, 70, 120, 180, 280], 1))
def test_too_little_memory_is_an_error_that_names_it(folder: Path, name: str, size: int) -> None:
    check_shortage_error(folder, run_limited(folder, "RLIMIT_AS", size * MIB, RUNS[name](folder)))


@pytest.mark.parametrize("name", mark_rest(RUNS, 1))
@pytest.mark.parametrize("count", mark_rest([7, 5, 6, 8, 10], 1))
def test_too_few_open_files_are_an_error_that_names_them(folder: Path, name: str, count: int) -> None:
    check_shortage_error(folder, run_limited(folder, "RLIMIT_NOFILE", count, RUNS[name](folder)))


@pytest.mark.parametrize("count", mark_rest([2, 1, 3, 5], 1))
def test_too_few_processes_are_an_error_that_names_them(folder: Path, count: int) -> None:
    """The limit counts the processes of a user, so the test runs as a user that has no others.

    Of root's rights, that user keeps only the one to read all files.
    """
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or not setpriv:
        pytest.skip("setpriv: to become another user needs it, and root")
    user = str(random.randrange(40_000, 60_000))
    rights = [f"--{kind}-caps=-all,+dac_override" for kind in ("inh", "ambient")]
    prefix = [setpriv, f"--reuid={user}", f"--regid={user}", "--clear-groups", *rights]
    check_shortage_error(folder, run_limited(folder, "RLIMIT_NPROC", count, RUNS["tar.gz"](folder), *prefix))


def raised_from(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "subject"),
    [
        (MemoryError(), "memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory"),
        (ImportError("x.so: failed to map segment from shared object"), "memory"),
        (raised_from(FormatError("x: got it broken"), MemoryError()), "memory"),
        (RuntimeError("can't start new thread"), "threads"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "threads"),
        (OSError(errno.EMFILE, "Too many open files"), "open files"),
        (raised_from(Unavailable("x: got no"), OSError(errno.ENFILE, "Too many open files in system")), "open files"),
        (raised_from(Unavailable("x"), raised_from(OutputError("y"), OSError(errno.EMFILE, "z"))), "open files"),
    ],
)
def test_a_shortage_is_recognised_in_the_error_or_its_causes(error: Any, subject: str) -> None:
    found = find_shortage(error)
    assert found
    assert str(found).startswith(subject)
    assert found.exit_code == 10


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), OSError(errno.ENOENT, "x"), FormatError("a text", got="too many open files", expected="few")],
)
def test_other_errors_are_not_shortages(error: Exception) -> None:
    assert find_shortage(error) is None
