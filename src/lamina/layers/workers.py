"""A pool of worker processes.

The workers are processes rather than threads because the work for each file is Python code, which threads would run one
at a time. Each worker is a new Python interpreter that imports `lamina.layers.worker_tasks`; a fork would also copy the
locks that other threads of this process hold.

Invariant: no worker outlives its pool. If a worker dies or cannot be started, this process runs the task instead, so
the number of workers affects only the time that the work takes, never its result. A call of another function is
different: if its worker dies, its future raises `WorkerLost`, because it may be the call that ends the process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import IO, Any, Self, TypeVar

from lamina.core.callbacks import ignore
from lamina.layers import worker_tasks
from lamina.layers.worker_tasks import RunTask, TaskResult, WorkerTask
from lamina.system.cleanup import Cleanup
from lamina.system.threads import Priority, ThreadPool
from lamina.system.transfer import OnBytes

_START = "import sys; sys.path[:] = sys.argv[1:]; from lamina.layers.worker_tasks import main; main()"

_T = TypeVar("_T")


class WorkerLost(Exception):
    """The process that ran a call ended before the call did; the call may run again in another process.

    ``deaths`` is the number of processes that ended in this way: a cluster may have tried several by itself.
    """

    def __init__(self, text: str, deaths: int = 1) -> None:
        super().__init__(text)
        self.deaths = deaths


class WorkerPool:
    """A pool of ``size`` worker processes; a context manager that ends them.

    Each process is started for its first task. The workers inherit the file descriptors ``pass_fds`` under the same
    numbers.
    """

    def __init__(self, size: int, pass_fds: Collection[int] = ()) -> None:
        self._workers = tuple(_Worker(tuple(pass_fds)) for _ in range(size))
        self._idle = list(self._workers)
        self._threads = ThreadPool(size, "lamina-workers")
        self._cleanup = Cleanup(self._kill)

    def submit(self, job: Callable[[RunTask], _T], priority: Priority) -> Future[_T]:
        """Call ``job`` in a thread that has a worker process, and return a future for its result.

        Args:
            job: A function that receives the worker's `RunTask` and may call it any number of times.
            priority: The order in which jobs are started, as in `ThreadPool.submit`.
        """
        return self._threads.submit(partial(self._use_worker, lambda worker: job(worker.run_task)), priority)

    def submit_call(self, call: Callable[[], _T], priority: Priority) -> Future[_T]:
        """Call a function in a worker process, and return a future for its result.

        If the process ends before the call does, the future raises `WorkerLost`, and the next task of this worker
        starts another process.

        Args:
            call: A function that `pickle` supports, as it does a `functools.partial` of a function of a module. So are
                its result and the exceptions that it raises.
            priority: As for `submit`.
        """
        return self._threads.submit(partial(self._use_worker, lambda worker: worker.run_call(call)), priority)

    def cancel_waiting(self) -> None:
        """Cancel the futures of tasks that have not begun, and wait for the others; the pool takes no more tasks."""
        self._threads.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._kill()
        self._threads.__exit__(kind, error, trace)
        for worker in self._workers:
            worker.close_input()  # close the inputs of all workers first, so that they end at the same time
        for worker in self._workers:
            worker.close()
        self._cleanup.cancel()

    def _use_worker(self, use: Callable[[_Worker], _T]) -> _T:
        worker = self._idle.pop()  # there are as many workers as threads
        try:
            return use(worker)
        finally:
            self._idle.append(worker)

    def _kill(self) -> None:
        for worker in self._workers:
            worker.kill()


class _Worker:
    """One worker process, which is started for its first task."""

    def __init__(self, pass_fds: Collection[int]) -> None:
        self._pass_fds = pass_fds
        self._process: subprocess.Popen[bytes] | None = None
        self._is_lost = not sys.executable or getattr(sys, "frozen", False)
        self._is_killed = False

    def run_task(self, task: WorkerTask, on_bytes: OnBytes = ignore) -> TaskResult:
        reply = self._exchange(task)
        while reply and reply[0] == worker_tasks.BYTES:
            try:
                on_bytes(reply[1])
            except BaseException:
                self.kill()  # else its other replies would count as those to the next task
                raise
            reply = self._exchange()
        if reply:
            return worker_tasks.parse_reply(*reply)
        if self._is_killed:
            raise InterruptedError
        return worker_tasks.run(task, on_bytes)

    def run_call(self, call: Callable[[], _T]) -> _T:
        value: _T = worker_tasks.parse_call_result(self._run_replaceable(worker_tasks.call_task(call)))
        return value

    def _run_replaceable(self, task: WorkerTask) -> TaskResult:
        """Run ``task``; if the process dies, raise `WorkerLost`, and let the next task start another process."""
        reply = self._exchange(task)
        if reply:
            return worker_tasks.parse_reply(*reply)
        if self._is_killed:
            raise InterruptedError
        if self._process:
            raise WorkerLost(self._drop_process(self._process))
        return worker_tasks.run(task)  # no process could be started

    def _drop_process(self, process: subprocess.Popen[bytes]) -> str:
        """Forget a process that ended, so that the next task starts another one, and return a text about its end."""
        process.kill()  # it may have closed its output only
        code = process.wait()
        self.close_input()
        self.close()
        self._process, self._is_lost = None, False
        reason = signal.Signals(-code).name if -code in {*signal.Signals} else f"exit code {code}"
        return f"worker process {process.pid} ended with {reason}"

    def _exchange(self, task: WorkerTask | None = None) -> tuple[str, Any] | None:
        """Send ``task``, if there is one, and return the next reply; None if the process is lost."""
        if self._is_lost:
            return None
        try:
            requests, replies = self._pipes()
            if task:
                worker_tasks.send(requests, task)
            kind, value = worker_tasks.receive(replies)
        except (OSError, EOFError, ValueError):
            self._is_lost = True
            return None
        return kind, value

    def kill(self) -> None:
        self._is_killed = True
        if self._process:
            self._process.kill()

    def close_input(self) -> None:
        if self._process and self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def close(self) -> None:
        if self._process and self._process.stdout:
            self._process.wait()
            self._process.stdout.close()

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
            stderr=subprocess.DEVNULL,  # a task that fails in a worker runs again in this process, which reports it
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
