"""Processes that work for this one, side by side.

Invariant: none outlives its crew, and a task that a process was lost over is done here instead, so that how many
there are, and whether any can be, shows in nothing but the time that it takes.

Processes and not threads: what is done for each file is Python, and Python's threads do that one at a time. Each is
this Python again, with the modules of `lamina.layers.worker_tasks`; a fork would copy the threads' locks as well.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from queue import PriorityQueue
from threading import Thread
from types import TracebackType
from typing import IO, Any, Self, TypeVar

from lamina.layers import worker_tasks
from lamina.layers.worker_tasks import TaskResult, WorkerTask
from lamina.system.cleanup import Cleanup

_START = "import sys; sys.path[:] = sys.argv[1:]; from lamina.layers.worker_tasks import main; main()"
_FIRST, _LAST = (-1, 0), (sys.maxsize, 0)


RunTask = Callable[[WorkerTask], TaskResult]
"""Has a task done and waits for it."""

_T = TypeVar("_T")


class WorkerPool:
    """As many as ``size`` processes, begun when there is something to do for them; ends them with the block.

    They have the open files ``pass_fds`` under the numbers that those have here.
    """

    def __init__(self, size: int, pass_fds: Collection[int] = ()) -> None:
        self._size = size
        self._pass_fds = tuple(pass_fds)
        self._waiting: PriorityQueue[tuple[tuple[int, int], int, Callable[[RunTask], Any] | None, Future[Any]]]
        self._waiting = PriorityQueue()
        self._count = itertools.count()
        self._workers: list[_Worker] = []
        self._threads: list[Thread] = []
        self._cleanup = Cleanup(self._kill)

    def submit(self, job: Callable[[RunTask], _T], priority: tuple[int, int]) -> Future[_T]:
        """What ``job`` gives or raises, which is called in a thread and may ask one of the processes.

        Of the works that wait, the one of least ``priority`` is next, then the oldest.
        """
        future: Future[_T] = Future()
        self._waiting.put((priority, next(self._count), job, future))
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
        # As many as there may be: an interrupt may have come between the start of a thread and its mention here.
        for _ in range(self._size):
            self._waiting.put((_LAST if kind is None else _FIRST, next(self._count), None, Future()))
        if kind is not None:
            self._kill()
        for thread in self._threads:
            thread.join()
        self._cleanup.cancel()

    def _kill(self) -> None:
        for worker in self._workers:
            worker.kill()

    def _run_jobs(self, worker: _Worker) -> None:
        with contextlib.closing(worker):
            while True:
                *_, job, future = self._waiting.get()
                if job is None:
                    return
                try:
                    result = job(worker.run_task)
                except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
                    future.set_exception(error)
                else:
                    future.set_result(result)
                    del result
                del job, future


class _Worker:
    """One process, begun with the first task."""

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
            stderr=subprocess.DEVNULL,  # what goes wrong there is done again here, and then said
            pass_fds=self._pass_fds,
            # A terminal sends its signals to this process alone, which ends the others.
            process_group=0 if os.name == "posix" else None,
        )
        if self._is_killed:  # it was, while this one began
            self._process.kill()
        return self._process


def _module_path() -> Iterable[str]:
    """Where this process finds modules, with the folder that lamina itself is in first: some have it elsewhere."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(worker_tasks.__file__)))
    own = os.path.dirname(package)
    return dict.fromkeys((own, *(os.path.abspath(place) for place in sys.path)))
