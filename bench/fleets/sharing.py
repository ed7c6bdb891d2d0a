"""Simulated time, and resources that everything which uses them at the same time shares evenly.

A network, a processor or a server that answers requests gives each of its users the same rate, and no user more than a
limit. All users of a resource therefore advance alike, and a heap knows who is done next.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from itertools import count
from math import inf
from typing import TypeAlias


class Clock:
    """Simulated time, in seconds, and what happens next."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()

    def call_at(self, time: float, call: Callable[[], object]) -> None:
        """Call ``call`` at ``time``; calls of the same time are made in the order in which they were asked for."""
        heapq.heappush(self._events, (time, next(self._numbers), call))

    def run(self) -> None:
        """Advance until nothing is left to happen."""
        while self._events:
            self.now, _, call = heapq.heappop(self._events)
            call()


class SharedResource:
    """A resource with a total rate, in units per second.

    Args:
        clock: the time.
        name: the name of the resource.
        rate: how many units it does in a second, for all users together.
        limit: how many units it does in a second for one user.
    """

    def __init__(self, clock: Clock, name: str, rate: float, limit: float = inf) -> None:
        self.name = name
        self.rate = rate
        self.used = 0.0
        self._clock = clock
        self._limit = limit
        self._users: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = count()
        # The amount that one user would have got since the start, the time at which it was that, and the valid event.
        self._progress = self._updated = 0.0
        self._version = 0

    def use(self, amount: float, call: Callable[[], object]) -> None:
        """Use ``amount`` units, and call ``call`` when they are done."""
        self._advance()
        self.used += amount
        heapq.heappush(self._users, (self._progress + amount, next(self._numbers), call))
        self._schedule()

    def measure_use(self, seconds: float) -> float:
        """Return the used part of what it could have done in ``seconds``, from 0 to 1."""
        return self.used / (self.rate * seconds) if seconds else 0.0

    def _find_rate(self) -> float:
        return min(self._limit, self.rate / len(self._users)) if self._users else 0.0

    def _advance(self) -> None:
        self._progress += self._find_rate() * (self._clock.now - self._updated)
        self._updated = self._clock.now

    def _schedule(self) -> None:
        self._version += 1
        if self._users:
            version, left = self._version, max(0.0, self._users[0][0] - self._progress)
            self._clock.call_at(self._clock.now + left / self._find_rate(), lambda: self._end(version))

    def _end(self, version: int) -> None:
        if version != self._version:  # other users came or went meanwhile
            return
        self._advance()
        target, _, call = heapq.heappop(self._users)
        self._progress = max(self._progress, target)
        self._schedule()
        call()


@dataclass(frozen=True, slots=True)
class Use:
    """A request of a process for ``amount`` units of ``resource``; without a resource, for that many seconds."""

    amount: float
    resource: SharedResource | None = None


Process: TypeAlias = Generator[Iterable[Use], None, None]
"""A process yields what it uses at the same time, and goes on when all of it is done."""


def start_process(clock: Clock, process: Process) -> None:
    """Run a process from now on."""

    def go_on() -> None:
        uses = next(process, None)
        if uses is None:
            return
        waiting = [use for use in uses if use.amount > 0]
        left = len(waiting)
        if not waiting:
            clock.call_at(clock.now, go_on)

        def end() -> None:
            nonlocal left
            left -= 1
            if not left:
                go_on()

        for use in waiting:
            if use.resource:
                use.resource.use(use.amount, end)
            else:
                clock.call_at(clock.now + use.amount, end)

    go_on()
