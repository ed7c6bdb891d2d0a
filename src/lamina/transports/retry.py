"""Define how long to wait for a server, how often to repeat a request, and how many connections to use.

Every wait has a limit: for a connection, for the next bytes, and for the next attempt.

This module counts attempts itself, because a download continues where it was cut: the next attempt requests the rest,
and the count starts again after enough bytes. The retries of urllib3 and stamina repeat the whole call.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace

from lamina.errors import Error, Unavailable, Unreachable
from lamina.messages.sizes import format_size

NETWORK_HINT = "check the network and the spelling of the host; --offline uses only what is on this machine"
"""The hint for a server that does not answer."""
# The maximum number of connections to one server at a time; Nix's default is 25 (nix.conf, http-connections).
MAX_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Timeouts and delays, all in seconds.

    ``sleep``, ``clock`` and ``jitter``, which returns a number from 0 to 1, are parameters so that tests can replace
    them.
    """

    connect_timeout: float = 10.0
    """The maximum time for a connection and its handshake."""
    read_timeout: float = 30.0
    """The maximum time until the next byte."""
    rate_window: float = 60.0
    """The maximum time for the next ``min_bytes`` bytes."""
    min_bytes: int = 1 << 15
    attempts: int = 5
    """The maximum number of consecutive attempts that receive less than ``min_bytes`` bytes each."""
    initial_delay: float = 0.25
    """The delay before the second attempt; it doubles with each attempt, up to ``max_delay``."""
    max_delay: float = 60.0
    """The maximum delay. A server that asks for a longer one is not asked again."""
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random

    def compute_delay(self, attempt: int, retry_after: float = 0.0) -> float:
        """Return how long to pause before ``attempt``, which is 2 for the first repetition.

        The pause is at least the ``retry_after`` seconds that the server asked for. Up to half of the delay is random,
        so that clients that were refused together do not retry at the same time.
        """
        full_delay = min(self.initial_delay * 2.0 ** min(attempt - 2, 60), self.max_delay)
        return max(full_delay * (1 - self.jitter() / 2), retry_after)


_CURRENT_POLICY = ContextVar("retry policy", default=RetryPolicy())  # noqa: B039 - it is frozen


def current_policy() -> RetryPolicy:
    """Return the policy of the caches that are opened in this context."""
    return _CURRENT_POLICY.get()


@contextlib.contextmanager
def use_policy(policy: RetryPolicy) -> Iterator[None]:
    """Open caches with ``policy`` within the block."""
    token = _CURRENT_POLICY.set(policy)
    try:
        yield
    finally:
        _CURRENT_POLICY.reset(token)


def shorten_waits(policy: RetryPolicy) -> RetryPolicy:
    """Return a policy for a server that a run can do without: two attempts, and five seconds for each wait."""
    return replace(
        policy,
        connect_timeout=min(policy.connect_timeout, 5.0),
        read_timeout=min(policy.read_timeout, 5.0),
        attempts=min(policy.attempts, 2),
        max_delay=min(policy.max_delay, 1.0),
    )


class TransientError(Exception):
    """A failure that may not happen again when the request is repeated.

    The text describes what was received instead of the file; it follows "got" in a message. ``retry_after`` is the
    number of seconds that the server asks to wait. ``is_unreachable`` means that there was no response at all. The
    ``hint`` is for the error after the last attempt.
    """

    def __init__(self, got: str, retry_after: float = 0.0, *, is_unreachable: bool = False, hint: str = "") -> None:
        super().__init__(got)
        self.retry_after = retry_after
        self.is_unreachable = is_unreachable
        self.hint = hint


class RetryState:
    """Counts the failed attempts of one request.

    Args:
        policy: how often to repeat the request.
        subject: the name of the file in messages.
        expected: the expected result in the error message.
        kind: the class of the error that is raised after the last attempt.
        hint: the hint of that error if the server did not respond at all.

    """

    def __init__(
        self,
        policy: RetryPolicy,
        subject: str,
        expected: str = "the whole file",
        kind: type[Error] = Unavailable,
        hint: str = "",
    ) -> None:
        self._policy = policy
        self._subject = subject
        self._expected = expected
        self._kind = kind
        self._hint = hint
        self._count = 0

    def retry(self, error: TransientError, size: int = 0) -> None:
        """Sleep until the next attempt, or raise an error of ``kind`` if there have been too many.

        It is raised at once if the server asks for a longer delay than ``max_delay``. If ``kind`` is `Unavailable` and
        the server did not respond at all, the error is `Unreachable`. It is transient, unless the server asks for a
        longer delay.

        Args:
            error: why the attempt failed.
            size: how many bytes the attempt received; from ``min_bytes`` on, the count of attempts starts again.

        """
        if size >= self._policy.min_bytes:
            self._count = 0
        self._count += 1
        if error.retry_after > self._policy.max_delay:
            got, expected = (
                f"{error} and {error.retry_after:.0f} seconds to wait",
                f"at most {self._policy.max_delay:g}",
            )
            raise self._kind(self._subject, got, expected, hint=error.hint) from error.__cause__
        if self._count >= self._policy.attempts:
            times = f" {self._count} times in a row" if self._count > 1 else ""
            kind = Unreachable if error.is_unreachable and self._kind is Unavailable else self._kind
            hint = NETWORK_HINT if kind is Unreachable else self._hint if error.is_unreachable else error.hint
            got = f"{error}{times}"
            raise kind(self._subject, got, self._expected, hint=hint, is_transient=True) from error.__cause__
        self._policy.sleep(self._policy.compute_delay(self._count + 1, error.retry_after))


class TooSlowError(TimeoutError):
    """The server sent bytes more slowly than the minimum rate."""


class MinimumRate:
    """Checks that the bytes of one response arrive fast enough. Only the time spent waiting for them counts."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._size = 0
        self._waited = 0.0

    def record(self, size: int, seconds: float) -> None:
        """Record that ``size`` bytes arrived after waiting for ``seconds``. Raises `TooSlowError`."""
        self._size += size
        self._waited += seconds
        if self._size >= self._policy.min_bytes:
            self._size, self._waited = 0, 0.0
        elif self._waited >= self._policy.rate_window:
            rate_window, min_bytes = self._policy.rate_window, self._policy.min_bytes
            got = f"{format_size(self._size)} in {rate_window:g} seconds"
            raise TooSlowError(f"{got}, which is less than {format_size(min_bytes)}")
