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
from threading import Event, Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from lamina.errors import Error, InvalidArgument, OutputError
from lamina.fleet.fingerprint import Fingerprint, list_versions
from lamina.layers.workers import WorkerLost

if TYPE_CHECKING:
    from distributed import Client  # see `lamina.fleet.dask_cluster`

_P = ParamSpec("_P")
_T = TypeVar("_T")

_WATCH_SECONDS = 5
_CONTINUE = "run the command again: it makes only layers that are missing"


class DaskExecutor(Executor):
    """An executor that calls functions on the workers of a Dask cluster.

    Dask itself runs a call again if its worker dies. After the number of deaths that the scheduler allows, the future
    raises `WorkerLost`. If the scheduler is lost, all futures raise `OutputError`.

    A worker with other versions may join at any time, and refuses its calls. It would always be idle, and get one call
    after the other. So after a refusal, later calls go only to the workers that have the right versions then. If all of
    these leave, the futures of their calls raise `WorkerLost`, because Dask would wait for them for ever.

    Args:
        client: The connection to the cluster.
        subject: The cluster, for errors.
        fingerprint: The versions that all workers must have.
    """

    def __init__(self, client: Client, subject: str, fingerprint: Fingerprint) -> None:
        self._client = client
        self._fingerprint = fingerprint
        self._has_refusal = False
        self._allowed: frozenset[str] = frozenset()
        self._restricted: dict[Future[Any], frozenset[str]] = {}
        self._has_ended = Event()
        self._watcher: Thread | None = None
        # Not pure: a call of the same function with the same arguments is another call.
        self._executor = client.get_executor(pure=False)
        self._subject = subject
        self._numbers = itertools.count()
        self._running: set[Future[Any]] = set()
        self._abandoned: set[Future[Any]] = set()
        self._is_cancelled = False

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Call ``fn`` on a worker, and return a future for its result. Earlier calls have a higher priority."""
        if self._has_refusal:
            self._find_workers()
        call = pickle.dumps(_Call(partial(fn, *args, **kwargs)))
        outer: Future[_T] = Future()
        try:
            inner: Future[_T] = self._executor.submit(
                pickle.loads,
                call,
                # Tasks whose keys have the same name are one group, which the scheduler keeps until a worker is free.
                key=f"{fn.__name__}-{uuid.uuid4()}",
                priority=-next(self._numbers),
                **({"workers": list(self._allowed)} if self._allowed else {}),
            )
        except Exception as error:
            translated = self._translate(error)
            if translated is error:
                raise
            outer.set_exception(translated)
            return outer
        if self._allowed:
            self._restricted[inner] = self._allowed
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
        self._has_ended.set()
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
        if inner in self._abandoned:
            outer.set_exception(WorkerLost("all Dask workers with the right versions left"))
        elif inner.cancelled():
            outer.set_exception(self._lost_scheduler("its end, or a restart"))
        elif error := inner.exception():
            outer.set_exception(self._translate(error))
        else:
            outer.set_result(inner.result())

    def _find_workers(self) -> None:
        """Ask all workers for their versions, and prefer those that have the right ones."""
        self._has_refusal = False
        with suppress(OSError, TimeoutError):  # the call fails too, and says why
            versions = self._client.run(list_versions, self._fingerprint.compressions, on_error="return")
            self._allowed = frozenset(self._fingerprint.select_workers(versions))
            if self._allowed and self._watcher is None:
                self._watcher = Thread(target=self._watch, name="lamina-dask-workers", daemon=True)
                self._watcher.start()

    def _watch(self) -> None:
        """Give up calls whose workers have all left."""
        while not self._has_ended.wait(_WATCH_SECONDS):
            with suppress(Exception):  # without a connection, all calls end anyway
                workers = self._client.nthreads().keys()
                for inner, allowed in list(self._restricted.items()):
                    if inner.done():
                        self._restricted.pop(inner, None)
                    elif not allowed & workers:
                        self._has_refusal = True
                        self._abandoned.add(inner)
                        inner.cancel()

    def _translate(self, error: BaseException) -> BaseException:
        from distributed import KilledWorker
        from distributed.client import ClosedClientError
        from distributed.comm.core import CommClosedError

        if isinstance(error, Error):
            self._has_refusal |= isinstance(error, InvalidArgument)
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
