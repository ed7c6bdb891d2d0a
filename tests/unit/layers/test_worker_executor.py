"""Tests of the executor: results, exceptions, processes that die, the end, and that no process is left."""

import math
import operator
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, wait
from pathlib import Path

import pytest
from tests.support import remote_calls
from tests.support.processes import has_ended, wait_until

from lamina.errors import ScriptError
from lamina.layers.worker_executor import WorkerExecutor
from lamina.layers.workers import WorkerLost

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="needs signals")


@pytest.fixture
def executor() -> Iterator[WorkerExecutor]:
    with WorkerExecutor(1) as running:
        yield running


def read_pid(file: Path) -> int:
    wait_until(file.exists)
    return int(file.read_text())


def test_functions_are_called_in_other_processes() -> None:
    with WorkerExecutor(2) as executor:
        assert executor.submit(os.getpid).result() != os.getpid()
        assert executor.submit(int, "101", base=2).result() == 5
        assert list(executor.map(math.factorial, range(6))) == [1, 1, 2, 6, 24, 120]


def test_two_calls_run_at_the_same_time(tmp_path: Path) -> None:
    with WorkerExecutor(2) as executor:
        first = executor.submit(remote_calls.wait_for, tmp_path / "second")
        second = executor.submit(remote_calls.append, tmp_path / "second", "")
        assert second.result() is None
        assert first.result() != os.getpid()


def test_calls_begin_in_the_order_in_which_they_are_submitted(executor: WorkerExecutor, tmp_path: Path) -> None:
    file = tmp_path / "calls"
    wait([executor.submit(remote_calls.append, file, str(number)) for number in range(9)])
    assert file.read_text().split() == list(map(str, range(9)))


def test_an_error_comes_back_with_its_fields(executor: WorkerExecutor) -> None:
    raised = ScriptError("subject", "a", "b", hint="c", output="d")
    error = executor.submit(remote_calls.raise_error, raised).exception()
    assert isinstance(error, ScriptError)
    assert vars(error) == vars(raised)


def test_another_exception_comes_back_with_the_traceback_of_the_other_process(executor: WorkerExecutor) -> None:
    error = executor.submit(operator.truediv, 1, 0).exception()
    assert isinstance(error, ZeroDivisionError)
    assert "worker_tasks.py" in error.__notes__[0]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (remote_calls.raise_unpicklable, "LocalError: only here"),
        (remote_calls.raise_misshapen, "MisshapenError: 1 and 2"),
    ],
)
def test_an_exception_that_cannot_be_pickled_comes_back_as_its_text(
    executor: WorkerExecutor, call: object, text: str
) -> None:
    assert callable(call)
    error = executor.submit(call).exception()
    assert isinstance(error, RuntimeError)
    assert str(error) == text


def test_what_cannot_be_pickled_fails_its_call_alone(executor: WorkerExecutor) -> None:
    assert executor.submit(lambda: 1).exception() is not None
    assert "pickle" in str(executor.submit(iter, (_ for _ in ())).exception())
    assert "pickle" in str(executor.submit(open, os.devnull).exception())
    assert executor.submit(abs, -1).result() == 1


@needs_signals
def test_a_killed_process_fails_its_call_alone_and_another_one_takes_its_place(tmp_path: Path) -> None:
    with WorkerExecutor(2) as executor:
        killed = executor.submit(remote_calls.write_pid_and_wait, tmp_path / "pid")
        pid = read_pid(tmp_path / "pid")
        other = executor.submit(remote_calls.wait_for, tmp_path / "gate")
        waiting = [executor.submit(abs, -number) for number in range(4)]
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(WorkerLost, match=f"^worker process {pid} ended with SIGKILL$"):
            killed.result()
        assert [future.result() for future in waiting] == [0, 1, 2, 3], "while the other process is still busy"
        (tmp_path / "gate").touch()
        assert other.result() not in (pid, os.getpid())
        assert has_ended(pid)


def test_a_function_that_ends_its_process_fails_its_call_each_time(executor: WorkerExecutor) -> None:
    for _ in range(3):
        with pytest.raises(WorkerLost, match="ended with exit code 7"):
            executor.submit(os._exit, 7).result()
    assert executor.submit(abs, -1).result() == 1


@pytest.mark.parametrize("executable", ["", "nothing"])
def test_without_worker_processes_functions_are_called_in_this_process(
    executable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", executable and str(tmp_path / executable))
    with WorkerExecutor(1) as executor:
        assert executor.submit(os.getpid).result() == os.getpid()
        assert isinstance(executor.submit(operator.truediv, 1, 0).exception(), ZeroDivisionError)


@pytest.mark.parametrize("waits", [True, False])
def test_a_shutdown_runs_the_calls_that_were_submitted(waits: bool, tmp_path: Path) -> None:
    executor = WorkerExecutor(1)
    first = executor.submit(remote_calls.wait_for, tmp_path / "gate")
    second = executor.submit(os.getpid)
    if waits:
        (tmp_path / "gate").touch()
    executor.shutdown(wait=waits)
    assert first.done() is waits
    (tmp_path / "gate").touch()
    assert second.result() == first.result()
    wait_until(lambda: has_ended(first.result()))
    with pytest.raises(RuntimeError, match="after the executor was shut down"):
        executor.submit(abs, -1)


def test_a_shutdown_cancels_the_calls_that_have_not_begun(tmp_path: Path) -> None:
    executor = WorkerExecutor(1)
    running = executor.submit(remote_calls.write_pid_and_wait, tmp_path / "pid")
    waiting = executor.submit(abs, -1)
    pid = read_pid(tmp_path / "pid")
    executor.shutdown(wait=False, cancel_futures=True)
    os.kill(pid, signal.SIGTERM)
    with pytest.raises(CancelledError):
        waiting.result()
    assert isinstance(running.exception(), WorkerLost)


def test_an_interrupt_ends_the_processes_at_once(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), WorkerExecutor(1) as executor:  # noqa: PT012
        running = executor.submit(remote_calls.write_pid_and_wait, tmp_path / "pid")
        pid = read_pid(tmp_path / "pid")
        begun = time.monotonic()
        raise KeyboardInterrupt
    assert time.monotonic() - begun < 60
    assert has_ended(pid)
    assert isinstance(running.exception(), InterruptedError)


_UNGUARDED = """
import math
from lamina.layers.worker_executor import WorkerExecutor
print("started")
with WorkerExecutor(2) as executor:
    print(executor.submit(math.factorial, 5).result())
"""


def test_a_program_needs_no_guard_for_its_main_module(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(_UNGUARDED)
    ran = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.split() == ["started", "120"]
