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
CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Patience:
    """All times are in seconds. ``sleep``, ``clock`` and ``chance``, from 0 to 1, are for tests to replace."""

    connect: float = 10.0
    """For a connection and its handshake."""
    read: float = 30.0
    """For the next byte, whichever it is."""
    window: float = 60.0
    """For the next ``least`` bytes."""
    least: int = 1 << 15
    attempts: int = 5
    """Tries in a row that bring less than ``least`` bytes each."""
    pause: float = 0.25
    """Before the second try; it doubles with each, up to ``longest``."""
    longest: float = 30.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random

    def before(self, attempt: int, asked: float = 0.0) -> float:
        """How long to pause before ``attempt``, the second being 2, where the server asked for ``asked`` seconds.

        Up to half of the pause is left to chance, for else all who were refused would come again at once.
        """
        pause = min(self.pause * 2.0 ** min(attempt - 2, 60), self.longest)
        return max(pause * (1 - self.chance() / 2), min(asked, self.longest))


PATIENT = Patience()


class PassingError(Exception):
    """What went wrong but may go well the next time; the text is what was got, as a message has it.

    ``asked`` is how many seconds the server asks to wait; ``is_silent`` says that it did not answer at all.
    """

    def __init__(self, got: str, asked: float = 0.0, *, is_silent: bool = False) -> None:
        super().__init__(got)
        self.asked = asked
        self.is_silent = is_silent


class Tries:
    """Counts the failures of one undertaking, which ``subject`` is the name of, and raises errors of ``kind``."""

    def __init__(
        self,
        patience: Patience,
        subject: str,
        expected: str = "the whole file",
        kind: type[Error] = Unavailable,
    ) -> None:
        self._patience = patience
        self._subject = subject
        self._expected = expected
        self._kind = kind
        self._count = 0

    def failed(self, error: PassingError, size: int = 0) -> None:
        """Pauses until it is time for the next try; raises `Unavailable` where there is none,
        `Unreachable` where the server did not answer at all.

        ``size`` is how many bytes the try brought: where that was worth it, the count begins anew.
        """
        if size >= self._patience.least:
            self._count = 0
        self._count += 1
        if self._count >= self._patience.attempts:
            times = f" {self._count} times in a row" if self._count > 1 else ""
            kind = Unreachable if error.is_silent and self._kind is Unavailable else self._kind
            raise kind(f"{self._subject}: got {error}{times}, expected {self._expected}") from error.__cause__
        self._patience.sleep(self._patience.before(self._count + 1, error.asked))


class TooSlowError(TimeoutError):
    """Bytes came, but not enough of them."""


class Pace:
    """Whether the bytes of one answer come fast enough. Only time spent on waiting for them counts."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._size = 0
        self._waited = 0.0

    def came(self, size: int, seconds: float) -> None:
        """Takes note of ``size`` bytes that were waited ``seconds`` for; raises `TooSlowError`."""
        self._size += size
        self._waited += seconds
        if self._size >= self._patience.least:
            self._size, self._waited = 0, 0.0
        elif self._waited >= self._patience.window:
            window, least = self._patience.window, self._patience.least
            raise TooSlowError(f"{self._size} bytes in {window:g} seconds, which are less than {least}")
