"""How long to wait for a server, how often to ask again, and over how many connections.

Invariant: no wait is without an end: neither for a connection, nor for a byte, nor for one more try.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from lamina.errors import Error, Unavailable, Unreachable

# How many a server is asked over at once; Nix has 25 (nix.conf, http-connections).
MAX_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """All times are in seconds. ``sleep``, ``clock`` and ``jitter``, from 0 to 1, are for tests to replace."""

    connect_timeout: float = 10.0
    """For a connection and its handshake."""
    read_timeout: float = 30.0
    """For the next byte, whichever it is."""
    rate_window: float = 60.0
    """For the next ``min_bytes`` bytes."""
    min_bytes: int = 1 << 15
    attempts: int = 5
    """Tries in a row that bring less than ``min_bytes`` bytes each."""
    initial_delay: float = 0.25
    """Before the second try; it doubles with each, up to ``max_delay``."""
    max_delay: float = 30.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random

    def delay(self, attempt: int, retry_after: float = 0.0) -> float:
        """How long to pause before ``attempt``, the second being 2, where the server asked for ``retry_after`` seconds.

        Up to half of the pause is left to chance, for else all who were refused would come again at once.
        """
        initial_delay = min(self.initial_delay * 2.0 ** min(attempt - 2, 60), self.max_delay)
        return max(initial_delay * (1 - self.jitter() / 2), min(retry_after, self.max_delay))


DEFAULT_POLICY = RetryPolicy()


class TransientError(Exception):
    """What went wrong but may go well the next time; the text is what was got, as a message has it.

    ``retry_after`` is how many seconds the server asks to wait; ``is_unreachable`` says that it did not answer at all.
    """

    def __init__(self, got: str, retry_after: float = 0.0, *, is_unreachable: bool = False) -> None:
        super().__init__(got)
        self.retry_after = retry_after
        self.is_unreachable = is_unreachable


class RetryState:
    """Counts the failures of one undertaking, which ``subject`` is the name of, and raises errors of ``kind``."""

    def __init__(
        self,
        policy: RetryPolicy,
        subject: str,
        expected: str = "the whole file",
        kind: type[Error] = Unavailable,
    ) -> None:
        self._policy = policy
        self._subject = subject
        self._expected = expected
        self._kind = kind
        self._count = 0

    def retry(self, error: TransientError, size: int = 0) -> None:
        """Pauses until it is time for the next try; raises `Unavailable` where there is none,
        `Unreachable` where the server did not answer at all.

        ``size`` is how many bytes the try brought: where that was worth it, the count begins anew.
        """
        if size >= self._policy.min_bytes:
            self._count = 0
        self._count += 1
        if self._count >= self._policy.attempts:
            times = f" {self._count} times in a row" if self._count > 1 else ""
            kind = Unreachable if error.is_unreachable and self._kind is Unavailable else self._kind
            raise kind(f"{self._subject}: got {error}{times}, expected {self._expected}") from error.__cause__
        self._policy.sleep(self._policy.delay(self._count + 1, error.retry_after))


class TooSlowError(TimeoutError):
    """Bytes came, but not enough of them."""


class MinimumRate:
    """Whether the bytes of one answer come fast enough. Only time spent on waiting for them counts."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._size = 0
        self._waited = 0.0

    def record(self, size: int, seconds: float) -> None:
        """Takes note of ``size`` bytes that were waited ``seconds`` for; raises `TooSlowError`."""
        self._size += size
        self._waited += seconds
        if self._size >= self._policy.min_bytes:
            self._size, self._waited = 0, 0.0
        elif self._waited >= self._policy.rate_window:
            rate_window, min_bytes = self._policy.rate_window, self._policy.min_bytes
            raise TooSlowError(f"{self._size} bytes in {rate_window:g} seconds, which are less than {min_bytes}")
