"""Dask's executor, with the errors of the cluster as those of lamina.

`distributed.Client.get_executor` gives an executor of `concurrent.futures`. It does not keep the order of the calls,
and when the scheduler dies, its futures are cancelled.
"""

from __future__ import annotations

import itertools
import pickle
import uuid
from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures import wait as _wait
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from lamina.errors import Error, OutputError
from lamina.layers.workers import WorkerLost

if TYPE_CHECKING:
    from distributed import Client  # see `lamina.fleet.dask_cluster`

_P = ParamSpec("_P")
_T = TypeVar("_T")

_CONTINUE = "run the command again: it makes only layers that are missing"


class DaskExecutor(Executor):
    """An executor that calls functions on the workers of a Dask cluster.

    Dask itself runs a call again if its worker dies. After the number of deaths that the scheduler allows, the future
    raises `WorkerLost`. If the scheduler is lost, all futures raise `OutputError`.

    Args:
        client: The connection to the cluster.
        subject: The cluster, for errors.
    """

    def __init__(self, client: Client, subject: str) -> None:
        # Not pure: a call of the same function with the same arguments is another call.
        self._executor = client.get_executor(pure=False)
        self._subject = subject
        self._numbers = itertools.count()
        self._running: set[Future[Any]] = set()
        self._is_cancelled = False

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Call ``fn`` on a worker, and return a future for its result. Earlier calls have a higher priority."""
        call = pickle.dumps(_Call(partial(fn, *args, **kwargs)))
        outer: Future[_T] = Future()
        try:
            inner: Future[_T] = self._executor.submit(
                pickle.loads,
                call,
                # Tasks whose keys have the same name are one group, which the scheduler keeps until a worker is free.
                key=f"{fn.__name__}-{uuid.uuid4()}",
                priority=-next(self._numbers),
            )
        except Exception as error:
            translated = self._translate(error)
            if translated is error:
                raise
            outer.set_exception(translated)
            return outer
        self._running.add(outer)
        outer.add_done_callback(self._running.discard)
        outer.add_done_callback(lambda done: inner.cancel() if done.cancelled() else None)
        inner.add_done_callback(partial(self._finish, outer))
        return outer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls.

        Args:
            wait: Whether to wait for all calls; otherwise they are cancelled, because the connection may end.
            cancel_futures: Whether to cancel the calls that have not ended.
        """
        if wait and not cancel_futures:
            _wait(self._running.copy())
        self._is_cancelled = True
        with suppress(Exception):  # the connection may have ended
            self._executor.shutdown(wait=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown(cancel_futures=kind is not None)

    def _finish(self, outer: Future[_T], inner: Future[_T]) -> None:
        if inner.cancelled() and self._is_cancelled:
            outer.cancel()
        if not outer.set_running_or_notify_cancel():
            return
        if inner.cancelled():
            outer.set_exception(self._lost_scheduler("its end, or a restart"))
        elif error := inner.exception():
            outer.set_exception(self._translate(error))
        else:
            outer.set_result(inner.result())

    def _translate(self, error: BaseException) -> BaseException:
        from distributed import KilledWorker
        from distributed.client import ClosedClientError
        from distributed.comm.core import CommClosedError

        if isinstance(error, Error):
            return error
        if isinstance(error, KilledWorker):
            return _describe_death(error)
        if isinstance(error, (ClosedClientError, CommClosedError, TimeoutError)):
            return self._lost_scheduler(error)
        return error

    def _lost_scheduler(self, found: object) -> OutputError:
        return OutputError(self._subject, found, "a connection to the scheduler", hint=_CONTINUE)


class _Call:
    """A function that is called when this object, pickled, is read back.

    The scheduler reads the pickled data of tasks. It then needs no lamina, because for the scheduler this is a string.
    """

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call

    def __reduce__(self) -> tuple[Callable[[], object], tuple[()]]:
        return self._call, ()


def _describe_death(error: Any) -> WorkerLost:
    deaths = error.allowed_failures + 1
    return WorkerLost(f"Dask worker {error.last_worker.address} died, as did {deaths - 1} before it", deaths)
