"""A pool of worker processes.

Invariant: no worker outlives its pool. If a worker dies, or cannot be started, this process runs its task instead, so
the number of workers affects only the time that the work takes, never its result.

The workers are processes rather than threads because the work for each file is Python code, which threads would run one
at a time. Each worker is a new Python interpreter that imports `lamina.layers.worker_tasks`; a fork would also copy the
locks that other threads of this process hold.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import IO, Any, Self, TypeVar

from lamina.layers import worker_tasks
from lamina.layers.worker_tasks import TaskResult, WorkerTask
from lamina.system.cleanup import Cleanup

_START = "import sys; sys.path[:] = sys.argv[1:]; from lamina.layers.worker_tasks import main; main()"
# How long an interrupted pool waits for each thread, in seconds; they end at once, as their workers were killed.
_JOIN_TIMEOUT = 0.5
_HIGHEST_PRIORITY, _LOWEST_PRIORITY = (-1, 0), (sys.maxsize, 0)


RunTask = Callable[[WorkerTask], TaskResult]
"""Runs a task in a worker process and waits for its result."""

_T = TypeVar("_T")


class WorkerPool:
    """A pool of up to ``size`` worker processes; a context manager that ends them.

    Each process is started when there is a job for it. The workers inherit the file descriptors ``pass_fds`` under the
    same numbers.
    """

    def __init__(self, size: int, pass_fds: Collection[int] = ()) -> None:
        self._size = size
        self._pass_fds = tuple(pass_fds)
        # A heap, and a ticket for each of its entries. Both are written in C: a signal that raises in the middle cannot
        # leave them locked, as it can a `queue.PriorityQueue`.
        self._jobs: list[tuple[tuple[int, int], int, Callable[[RunTask], Any] | None, Future[Any]]] = []
        self._tickets: SimpleQueue[None] = SimpleQueue()
        self._count = itertools.count()
        self._workers: list[_Worker] = []
        self._threads: list[Thread] = []
        self._cleanup = Cleanup(self._kill)

    def submit(self, job: Callable[[RunTask], _T], priority: tuple[int, int]) -> Future[_T]:
        """Call ``job`` in a thread that has a worker process, and return a future for its result.

        Args:
            job: A function that receives the worker's `RunTask` and may call it any number of times.
            priority: The waiting job with the lowest priority is next; of equal ones, the oldest.
        """
        future: Future[_T] = Future()
        self._push(priority, job, future)
        if len(self._threads) < self._size:
            worker = _Worker(self._pass_fds)
            self._workers.append(worker)
            thread = Thread(target=self._run_jobs, args=(worker,), name="lamina-workers", daemon=True)
            thread.start()
            self._threads.append(thread)
        return future

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # One for each possible thread: an interrupt may have come between a thread's start and its entry in the list.
        for _ in range(self._size):
            priority = _LOWEST_PRIORITY if kind is None else _HIGHEST_PRIORITY
            self._push(priority, None, Future())
        if kind is not None:
            self._kill()
        for thread in self._threads:
            # A thread may wait for ever for the lock of a future that the interrupt left locked.
            thread.join(None if kind is None else _JOIN_TIMEOUT)
        self._cleanup.cancel()

    def _push(self, priority: tuple[int, int], job: Callable[[RunTask], Any] | None, future: Future[Any]) -> None:
        heapq.heappush(self._jobs, (priority, next(self._count), job, future))
        self._tickets.put(None)

    def _kill(self) -> None:
        for worker in self._workers:
            worker.kill()

    def _run_jobs(self, worker: _Worker) -> None:
        with contextlib.closing(worker):
            while True:
                self._tickets.get()
                *_, job, future = heapq.heappop(self._jobs)
                if job is None:
                    return
                try:
                    result = job(worker.run_task)
                except BaseException as error:  # noqa: BLE001 - the caller gets it from the future
                    future.set_exception(error)
                else:
                    future.set_result(result)
                    del result
                del job, future


class _Worker:
    """One worker process, which is started for its first task."""

    def __init__(self, pass_fds: Collection[int]) -> None:
        self._pass_fds = pass_fds
        self._process: subprocess.Popen[bytes] | None = None
        self._is_lost = not sys.executable or getattr(sys, "frozen", False)
        self._is_killed = False

    def run_task(self, task: WorkerTask) -> TaskResult:
        if not self._is_lost:
            try:
                requests, replies = self._pipes()
                worker_tasks.send(requests, task)
                reply = worker_tasks.receive(replies)
            except (OSError, EOFError, ValueError):
                self._is_lost = True
            else:
                return worker_tasks.parse_reply(reply)
        if self._is_killed:
            raise InterruptedError
        return worker_tasks.run(task)

    def kill(self) -> None:
        self._is_killed = True
        if self._process:
            self._process.kill()

    def close(self) -> None:
        if self._process:
            with contextlib.suppress(OSError):
                self._process.communicate()

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        process = self._process or self._start()
        if process.stdin is None or process.stdout is None:
            raise EOFError
        return process.stdin, process.stdout

    def _start(self) -> subprocess.Popen[bytes]:
        command = (sys.executable, "-I", "-S", "-c", _START, *_module_path())
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a task that fails there runs again here, where its error is reported
            pass_fds=self._pass_fds,
            # A group of its own: the terminal's signals then reach only this process, which ends the workers.
            process_group=0 if os.name == "posix" else None,
        )
        if self._is_killed:  # `kill` was called while the process was being started
            self._process.kill()
        return self._process


def _module_path() -> Iterable[str]:
    """Return this process's module path, with the folder of its own lamina first, so that workers import the same."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(worker_tasks.__file__)))
    own = os.path.dirname(package)
    return dict.fromkeys((own, *(os.path.abspath(folder) for folder in sys.path)))
