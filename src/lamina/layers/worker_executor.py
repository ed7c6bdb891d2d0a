"""The worker pool as an executor of `concurrent.futures`.

`concurrent.futures.ProcessPoolExecutor` is not used for three reasons: the death of one of its processes breaks the
whole pool, its processes import the program that started them, which must guard its main module, and an interrupt waits
for tasks that run.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from threading import Thread
from types import TracebackType
from typing import ParamSpec, TypeVar

from lamina.layers.workers import WorkerPool
from lamina.system.threads import Priority

_P = ParamSpec("_P")
_T = TypeVar("_T")

# Calls begin in the order in which they are submitted.
_PRIORITY: Priority = (0, 0)


class WorkerExecutor(Executor):
    """An executor that calls functions in ``size`` worker processes; a context manager that ends them.

    Functions, arguments, results and exceptions have to be values that `pickle` supports. If a worker process dies, the
    future of its call raises `WorkerLost`; the other calls are not affected, and another process takes its place. A
    block that ends with an error kills the processes at once.
    """

    def __init__(self, size: int) -> None:
        self._pool = WorkerPool(size)
        self._is_shut_down = False

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Call ``fn`` in a worker process, and return a future for its result. Raises `RuntimeError` after the end."""
        if self._is_shut_down:
            raise RuntimeError("lamina-workers: got a call, expected none after the executor was shut down")
        return self._pool.submit_call(partial(fn, *args, **kwargs), _PRIORITY)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the worker processes after their calls.

        Args:
            wait: Whether to return only when all calls have ended.
            cancel_futures: Whether to cancel the calls that have not begun, rather than run them first.
        """
        self._is_shut_down = True
        if wait:
            self._end(cancel_futures)
        else:
            Thread(target=self._end, args=(cancel_futures,), name="lamina-shutdown").start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_shut_down = True
        self._pool.__exit__(kind, error, trace)

    def _end(self, cancel_futures: bool) -> None:
        if cancel_futures:
            self._pool.cancel_waiting()
        self._pool.__exit__(None, None, None)
