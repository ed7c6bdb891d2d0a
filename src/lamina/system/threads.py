"""A pool of threads.

The threads end with the pool's block or, after an interrupt, as soon as their tasks end. The error of a task is raised
by the ``result`` method of its future.

`concurrent.futures.ThreadPoolExecutor` is not used for three reasons: its threads keep the process from ending while a
server does not answer, it has no priorities, and a signal can leave its locks locked.
"""

from __future__ import annotations

import heapq
import itertools
import math
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from threading import Thread, current_thread
from types import TracebackType
from typing import Any, Self, TypeVar

# How many seconds an interrupted block waits for its threads. A thread may wait forever for a server, or for the lock
# of a future that the interrupt left locked.
_INTERRUPTED_TIMEOUT = 0.5

Priority = tuple[int, int]
"""The next task is the waiting one with the lowest priority, and the oldest of those with equal priority."""

_DEFAULT = (0, 0)
_HIGHEST, _LOWEST = (-sys.maxsize, 0), (sys.maxsize, 0)
_T = TypeVar("_T")
_Item = TypeVar("_Item")


class ThreadPool:
    """Up to ``size`` threads called ``name``, each started when there is a task for it; a context manager.

    The end of the block waits for all tasks. If the block ends with an error, waiting tasks are dropped and running
    tasks are waited for; after an interrupt, only for a moment.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        # A heap, and a ticket for each of its entries. Both are implemented in C, so a signal handler that raises an
        # exception cannot leave them locked, unlike a `queue.PriorityQueue`.
        self._tasks: list[tuple[Priority, int, Callable[[], Any] | None, Future[Any]]] = []
        self._tickets: SimpleQueue[None] = SimpleQueue()
        self._count = itertools.count()
        self._threads: list[Thread] = []
        self._is_closed = False

    def submit(self, task: Callable[[], _T], priority: Priority = _DEFAULT) -> Future[_T]:
        """Call ``task`` in a thread, and return a future for its result. Raises `RuntimeError` after the block."""
        if self._is_closed:
            raise RuntimeError(f"{self._name}: got a task, expected none after the pool was closed")
        future: Future[_T] = Future()
        self._push(priority, task, future)
        if len(self._threads) < self._size:
            # Daemon threads, so that the process can end while a server does not answer.
            thread = Thread(target=self._run_tasks, name=self._name, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                # The system allows no more threads. The text distinguishes this error from that of a lock that an
                # interrupt left released.
                if not self._threads or "start new thread" not in str(error):
                    raise
            else:
                self._threads.append(thread)
        return future

    def map(self, function: Callable[[_Item], _T], items: Iterable[_Item]) -> list[_T]:
        """Call ``function`` with each item and return the results in order. Raises the first error of a call."""
        return [future.result() for future in [self.submit(partial(function, item)) for item in items]]

    def close(self, timeout: float | None = None) -> None:
        """Drop waiting tasks, and wait for the running tasks to end, at most ``timeout`` seconds if it is given.

        Without ``timeout`` the futures of dropped tasks are cancelled. With ``timeout`` they are not touched, because
        an interrupt may have left their locks locked.
        """
        self._end(_HIGHEST, timeout)
        if timeout is None:
            for *_, future in self._tasks:
                future.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._end(_LOWEST, None)
        else:
            self.close(None if issubclass(kind, Exception) else _INTERRUPTED_TIMEOUT)

    def _push(self, priority: Priority, task: Callable[[], Any] | None, future: Future[Any]) -> None:
        heapq.heappush(self._tasks, (priority, next(self._count), task, future))
        self._tickets.put(None)

    def _end(self, priority: Priority, timeout: float | None) -> None:
        self._is_closed = True
        # Send an end marker for each possible thread, because an interrupt may have come between a thread's start and
        # its entry in the list.
        for _ in range(self._size):
            self._push(priority, None, Future())
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        for thread in {*self._threads} - {current_thread()}:
            thread.join(None if timeout is None else max(deadline - time.monotonic(), 0))

    def _run_tasks(self) -> None:
        while True:
            self._tickets.get()
            *_, task, future = heapq.heappop(self._tasks)
            if task is None:
                return
            if future.set_running_or_notify_cancel():
                try:
                    result = task()
                except BaseException as error:  # noqa: BLE001 - the caller gets it from the future
                    future.set_exception(error)
                else:
                    future.set_result(result)
                    del result
            del task, future
