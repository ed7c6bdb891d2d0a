"""How a run ends on a signal while modules are imported, and with a stderr that cannot be written to."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.examples import mark_rest
from tests.support.fake_nix_store import FakeStore, call, example

# --- signals before the run begins

_EARLY = """
import os, signal, sys
number, left = int(sys.argv.pop(1)), int(sys.argv.pop(1))
import lamina.cli.start
def imported(event, arguments):
    global left
    if event == "import" and arguments[0].startswith(("lamina", "click")):
        left -= 1
        if not left:
            signal.raise_signal(number)
sys.addaudithook(imported)
for name in [name for name in sys.modules if name.startswith("lamina.")]:
    del sys.modules[name]
import lamina.cli.start
lamina.cli.start.main()
"""


@pytest.mark.parametrize("at", [1, 2, 3, 5, 8, 13, 21])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_while_lamina_is_imported_shows_no_traceback(number: signal.Signals, code: int, at: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _EARLY, str(int(number)), str(at), "plan", "--help"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == code
    assert done.stderr in {"", "lamina: interrupted\n"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_is_ignored_stays_ignored(number: signal.Signals, tmp_path: Path) -> None:
    """`nohup` ignores SIGHUP, and a shell ignores SIGINT for what it starts in the background."""
    program = (
        "import signal, sys\n"
        "number = int(sys.argv.pop(1))\n"
        "signal.signal(number, signal.SIG_IGN)\n"
        "import lamina.cli.start\n"
        "from lamina.cli.exits import run_to_exit_code\n"
        "run_to_exit_code(lambda: signal.raise_signal(number))\n"
        "print('done')\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(int(number))], capture_output=True, check=True)
    assert done.stdout == b"done\n"


_TWICE = """
import os, signal, sys, time
from lamina.cli.exits import run_to_exit_code
from lamina.system.tempdir import TempDir

def work():
    workspace = TempDir()
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.raise_signal(signal.SIGINT)
        print("not reached", flush=True)

sys.exit(run_to_exit_code(work))
"""


def test_a_second_signal_ends_a_run_that_is_still_ending(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", _TWICE], env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (143, b"", b"")
    assert list(tmp_path.iterdir()) == []


_LOST = """
import signal, sys
from lamina.cli.exits import run_to_exit_code

class Finalized:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)

def work():
    Finalized()
    print("not reached", flush=True)

sys.exit(run_to_exit_code(work))
"""


def test_a_signal_within_a_finalizer_is_not_lost() -> None:
    """Python prints an exception from a finalizer and goes on, so the exception alone would not end the run."""
    done = subprocess.run([sys.executable, "-c", _LOST], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (143, b"", b"")


# --- a stderr that cannot be written to


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    monkeypatch.chdir(tmp_path)
    return example(tmp_path / "root")[0]


def open_full_device() -> int:
    return os.open("/dev/full", os.O_WRONLY)


def open_pipe_without_reader() -> int:
    inlet, outlet = os.pipe()
    os.close(inlet)
    return outlet


def open_full_pipe() -> int:
    """Open a pipe that is full and does not block; its other end stays open until this process ends."""
    _, outlet = os.pipe()
    os.set_blocking(outlet, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(outlet, bytes(1 << 16)):
            pass
    return outlet


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("opened", mark_rest([open_full_device, open_pipe_without_reader, open_full_pipe], 1))
@pytest.mark.parametrize("arguments", mark_rest([[], ["--json"], ["--progress", "plain", "--debug"]], 1))
def test_a_stderr_that_cannot_be_written_to_changes_no_exit_code(
    store: FakeStore, tmp_path: Path, opened: Callable[[], int], arguments: list[str]
) -> None:
    stderr = opened()
    image = tmp_path / "image.tar"
    try:
        good = call("build", "hello", "--store", store.root, "-o", image, *arguments, stderr=stderr)
        bad = call("build", "absent", "--store", store.root, "-o", image, *arguments, stderr=stderr)
        usage = call("build", "--absent", stderr=stderr)
    finally:
        os.close(stderr)
    assert (good.code, bad.code, usage.code) == (0, 5, 2)
    assert image.exists()
