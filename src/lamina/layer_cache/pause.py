"""A time in which a place that failed is left alone, and what is known about its failures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from threading import RLock

PAUSE = 300.0
"""For how many seconds a place is left alone after it failed. Few commands run longer, but servers do."""


class Pause:
    """A time in which something is not tried again; safe for many threads.

    Args:
        clock: returns the current time in seconds; a parameter so that tests can replace it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = RLock()
        self._end = -math.inf

    @property
    def is_paused(self) -> bool:
        """Whether the time has begun and not ended."""
        return self._clock() < self._end

    def begin(self) -> bool:
        """Pause for `PAUSE` seconds from now on; return whether there was no pause already."""
        with self._lock:
            is_first = not self.is_paused
            if is_first:
                self._end = self._clock() + PAUSE
        return is_first


class Health:
    """The failures of a shared place, and the times in which it is left alone.

    A process that opens a place again and again, as a worker does, keeps this between the times.

    Args:
        clock: returns the current time in seconds; a parameter so that tests can replace it.

    Attributes:
        lock: guards ``failures``.
        failures: how many requests failed since the last pause.
        requests: the pause of all requests.
        writing: the pause of those that write.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.lock: RLock = RLock()
        self.failures: int = 0
        self.requests: Pause = Pause(clock)
        self.writing: Pause = Pause(clock)
