"""Run tasks, and try again those whose worker or server failed.

The tasks may run anywhere: only their `concurrent.futures.Future` is known here.

Invariant: a task is started again only after its previous attempt ended, and at most `RetryRules.attempts` times.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from lamina.errors import Error
from lamina.layers.workers import WorkerLost

_Key = TypeVar("_Key", bound=Hashable)
Start = Callable[[], Future[Any]]
"""Starts a task, and returns the future for its result."""


@dataclass(frozen=True, slots=True)
class RetryRules:
    """How often a task is tried, and how long to wait before it is tried again.

    Every request of a task has been repeated for some seconds already. So these rules are for workers that end, and for
    servers that fail for longer: with `Error.is_transient`. Any other error would come again, so it is final.

    Attributes:
        attempts: how often a task is tried at most.
        delays: how many seconds to wait before the second attempt, the third, and so on, after a server failed.
    """

    attempts: int = 3
    delays: tuple[float, ...] = (15.0, 45.0)

    def find_delay(self, error: BaseException, number: int) -> float | None:
        """Return how many seconds to wait after ``error`` ended attempt ``number``; None to give up."""
        if number >= self.attempts:
            return None
        if isinstance(error, WorkerLost):
            return 0.0
        if isinstance(error, Error) and error.is_transient:
            return self.delays[min(number, len(self.delays)) - 1]
        return None


DEFAULT_RULES = RetryRules()
"""The rules of a batch, by which a server may fail for about a minute."""


@dataclass(frozen=True, slots=True)
class _Attempt(Generic[_Key]):
    key: _Key
    start: Start
    number: int = 1


class TaskRunner(Generic[_Key]):
    """Starts tasks and yields those that ended, in the order in which they end; used by one thread.

    Args:
        rules: how often a task is tried.
        on_retry: is called with the key of a task that will be tried again, and with the error.
    """

    def __init__(self, rules: RetryRules, on_retry: Callable[[_Key, BaseException], object]) -> None:
        self._rules = rules
        self._on_retry = on_retry
        self._ended: SimpleQueue[tuple[_Attempt[_Key], Future[Any]]] = SimpleQueue()
        self._running: dict[_Key, Future[Any]] = {}
        self._numbers = count()
        self._delayed: list[tuple[float, int, _Attempt[_Key]]] = []  # a heap by the time of the start

    def start(self, key: _Key, start: Start, delay: float = 0.0) -> None:
        """Start a task, after ``delay`` seconds."""
        if delay:
            self._delay(_Attempt(key, start), delay)
        else:
            self._begin(_Attempt(key, start))

    def drop(self, key: _Key) -> None:
        """Forget a task whose result is not needed any more. It does not run if it has not begun."""
        self._delayed = [entry for entry in self._delayed if entry[2].key != key]
        heapq.heapify(self._delayed)
        if future := self._running.pop(key, None):
            future.cancel()

    def __iter__(self) -> Iterator[tuple[_Key, Future[Any]]]:
        """Yield the key and the future of each task that ended for good; more may be started meanwhile."""
        while self._running or self._delayed:
            self._begin_due()
            try:
                attempt, future = self._ended.get(timeout=self._find_wait())
            except Empty:
                continue
            if self._running.get(attempt.key) is not future:
                continue  # it was dropped
            del self._running[attempt.key]
            error = None if future.cancelled() else future.exception()
            # A cluster may have tried several workers by itself.
            number = attempt.number + (error.deaths - 1 if isinstance(error, WorkerLost) else 0)
            delay = self._rules.find_delay(error, number) if error else None
            if error is None or delay is None:
                yield attempt.key, future
                continue
            self._on_retry(attempt.key, error)
            self._delay(_Attempt(attempt.key, attempt.start, number + 1), delay)

    def _begin(self, attempt: _Attempt[_Key]) -> None:
        future = attempt.start()
        self._running[attempt.key] = future
        future.add_done_callback(lambda ended: self._ended.put((attempt, ended)))

    def _delay(self, attempt: _Attempt[_Key], seconds: float) -> None:
        heapq.heappush(self._delayed, (time.monotonic() + seconds, next(self._numbers), attempt))

    def _begin_due(self) -> None:
        while self._delayed and self._delayed[0][0] <= time.monotonic():
            self._begin(heapq.heappop(self._delayed)[2])

    def _find_wait(self) -> float | None:
        """Return how many seconds there are until the next delayed task is due; None if there is no such task."""
        return max(0.0, self._delayed[0][0] - time.monotonic()) if self._delayed else None
