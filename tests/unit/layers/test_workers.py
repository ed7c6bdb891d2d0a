"""Tests of the worker pool: results, errors, lost processes, and that no process is left."""

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from tests.support.processes import has_ended, wait_until

from lamina.compression.compressors import NO_LAYER_COMPRESSION
from lamina.core.nodes import Extent
from lamina.errors import IntegrityError, NotFound
from lamina.layers import worker_tasks
from lamina.layers.worker_tasks import RunTask
from lamina.layers.workers import WorkerPool
from lamina.system.transfer import OnBytes, hash_pieces
from lamina.system.walk import list_tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "folder").mkdir(parents=True)
    (top / "folder" / "file").write_bytes(b"x" * 100_000)
    (top / "link").symlink_to("folder/file")
    return top


def list_job(top: Path) -> Callable[[RunTask], Any]:
    return lambda run_task: worker_tasks.parse_listings(run_task(worker_tasks.listing_task([os.fsencode(top)])))


def running_pids(pool: WorkerPool) -> list[int]:
    """Return the process IDs of the workers of ``pool`` that are running."""
    processes = (worker._process for worker in pool._workers)
    return [process.pid for process in processes if process and process.poll() is None]


def test_a_worker_returns_what_this_process_would(tree: Path) -> None:
    file = tree / "folder" / "file"
    extent = Extent.whole(os.fsencode(file), file.stat().st_size, file.stat().st_mtime_ns)
    with WorkerPool(2) as pool:
        listing = pool.submit(list_job(tree), (0, 0))
        blob_infos = pool.submit(
            lambda run_task: worker_tasks.parse_blob_infos(run_task(worker_tasks.hash_task(extent))), (0, 0)
        )
        assert listing.result() == [list_tree(os.fsencode(tree))]
        assert blob_infos.result() == (hash_pieces([extent]),)
    assert running_pids(pool) == []


def test_jobs_run_by_priority_and_then_by_age() -> None:
    done: list[int] = []
    gate = threading.Event()
    with WorkerPool(1) as pool:
        pool.submit(lambda run_task: gate.wait(), (0, 0))
        for number, priority in enumerate([(1, 5), (1, -9), (0, 3), (1, 5), (0, 3)]):
            pool.submit(lambda run_task, number=number: done.append(number), priority)  # type: ignore[misc]
        gate.set()
    assert done == [2, 4, 1, 0, 3], "and all of them before the pool ends"


def test_an_error_in_a_worker_is_raised_by_the_future(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    with WorkerPool(1) as pool:
        missing = pool.submit(list_job(tmp_path / "nothing"), (0, 0))
        changed = Extent.whole(os.fsencode(file), 1, 12345)
        touched = pool.submit(lambda run_task: run_task(worker_tasks.hash_task(changed)), (0, 0))
        with pytest.raises(NotFound, match="got nothing there, expected a store path"):
            missing.result()
        with pytest.raises(IntegrityError, match="got another modification time"):
            touched.result()


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_the_task_of_a_killed_worker_runs_in_this_process(tree: Path) -> None:
    with WorkerPool(1) as pool:
        assert pool.submit(list_job(tree), (0, 0)).result()
        for pid in running_pids(pool):
            os.kill(pid, signal.SIGKILL)
        assert pool.submit(list_job(tree), (0, 0)).result() == [list_tree(os.fsencode(tree))]


def test_without_worker_processes_all_tasks_run_in_this_process(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for executable in ("", str(tree / "python")):
        monkeypatch.setattr(sys, "executable", executable)
        with WorkerPool(2) as pool:
            assert pool.submit(list_job(tree), (0, 0)).result() == [list_tree(os.fsencode(tree))]


def test_an_exception_ends_the_workers_at_once(tmp_path: Path) -> None:
    """Each worker hashes a file of 1 TiB, so only killing it ends the task in time."""
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(1 << 40)
    extent = Extent.whole(os.fsencode(large), 1 << 40, large.stat().st_mtime_ns)
    futures: list[Future[Any]] = []
    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt), WorkerPool(2) as pool:  # noqa: PT012
        futures += [pool.submit(lambda run_task: run_task(worker_tasks.hash_task(extent)), (0, 0)) for _ in range(2)]
        wait_until(lambda: len(running_pids(pool)) == 2)
        raise KeyboardInterrupt
    assert running_pids(pool) == []
    assert threading.active_count() == threads
    assert all(future.exception() for future in futures)


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_a_worker_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom lamina.layers import worker_tasks\nfrom lamina.layers.workers import WorkerPool\n"
        "pool = WorkerPool(1)\ntask = worker_tasks.listing_task([os.fsencode(sys.argv[1])])\n"
        "pool.submit(lambda run_task: run_task(task), (0, 0)).result()\n"
        "print(pool._workers[0]._process.pid, flush=True)\nsignal.pause()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        worker = int(running.stdout.readline())
        running.kill()
    wait_until(lambda: has_ended(worker))


_INTERRUPTED = """
import concurrent.futures, queue, sys, threading
from lamina.layers import workers
from lamina.system import threads

threads._INTERRUPTED_TIMEOUT = 0.02
FILES = {module.__file__ for module in (workers, threads, queue, concurrent.futures._base)}
# Others of threading's functions use locks that are written in C, which only a trace function can interrupt there.
CONDITION = {function.__code__ for function in vars(threading.Condition).values() if hasattr(function, "__code__")}
ended = 0
for at in range(1, 1000):
    left = at
    def trace(frame, event, argument):
        global left
        if frame.f_code.co_filename not in FILES and frame.f_code not in CONDITION:
            return None
        left -= event == "line"
        if event == "line" and left == 0:
            raise KeyboardInterrupt
        return trace
    try:
        with workers.WorkerPool(2) as pool:
            sys.settrace(trace)
            assert [pool.submit(lambda run_task: 1, (0, 0)).result() for _ in range(3)] == [1, 1, 1]
            sys.settrace(None)
            break
    except (KeyboardInterrupt, RuntimeError):  # the latter from a lock that the interrupt left released
        sys.settrace(None)
        ended += 1
print(ended)
"""


def test_an_interrupt_at_any_line_ends_the_pool() -> None:
    """`with` on a lock that is written in Python can be interrupted on its way out, and leaves the lock held."""
    ran = subprocess.run([sys.executable, "-c", _INTERRUPTED], capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 100


@pytest.fixture
def large(tmp_path: Path) -> Extent:
    """A file that takes a worker several reports to write."""
    file = tmp_path / "large"
    with file.open("wb") as opened:
        opened.truncate(400 << 20)
    return Extent.whole(os.fsencode(file), 400 << 20, file.stat().st_mtime_ns)


def write_blob(extent: Extent, folder: Path, on_bytes: OnBytes) -> Callable[[RunTask], Any]:
    part = folder / "part"
    part.touch()
    task = worker_tasks.blob_task(extent, os.fsencode(part), NO_LAYER_COMPRESSION, 1)
    return lambda run_task: run_task(task, on_bytes)


@pytest.mark.integration
def test_a_worker_reports_the_bytes_that_it_has_written_so_far(large: Extent, tmp_path: Path) -> None:
    reports: list[int] = []
    with WorkerPool(1) as pool:
        _, (_, size) = pool.submit(write_blob(large, tmp_path, reports.append), (0, 0)).result()
    assert size == large.length
    assert reports
    assert all(count > 0 for count in reports)
    assert sum(reports) <= large.length


def test_a_display_that_fails_ends_the_task_and_its_worker(large: Extent, tmp_path: Path, tree: Path) -> None:
    """The worker's other replies would otherwise count as those to the next task."""

    def fail(count: int) -> None:
        raise ValueError("the display failed")

    with WorkerPool(1) as pool:
        failed = pool.submit(write_blob(large, tmp_path, fail), (0, 0))
        listed = pool.submit(list_job(tree), (1, 0))
        with pytest.raises(InterruptedError):
            listed.result()
        with pytest.raises(ValueError, match="the display failed"):
            failed.result()
    assert running_pids(pool) == []


def test_bytes_are_added_up_between_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("lamina.layers.worker_tasks.time.monotonic", lambda: now)
    replies = io.BytesIO()
    report = worker_tasks._BytesReporter(replies)
    for size in (10, 20):
        report(size)
    now = 1.0
    report(30)
    report(40)
    replies.seek(0)
    assert worker_tasks.receive(replies) == (worker_tasks.BYTES, 60)
    assert replies.read() == b""
