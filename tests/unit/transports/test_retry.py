"""How long to wait for a server, and how often to ask again."""

import pytest

from lamina.errors import Unavailable
from lamina.transports.retry import MinimumRate, RetryPolicy, RetryState, TooSlowError, TransientError


def test_pauses_double_up_to_the_longest() -> None:
    policy = RetryPolicy(initial_delay=1, max_delay=10, jitter=lambda: 0.0)
    assert [policy.delay(attempt) for attempt in range(2, 8)] == [1, 2, 4, 8, 10, 10]
    assert policy.delay(10_000) == 10


def test_half_of_a_pause_is_left_to_chance() -> None:
    assert RetryPolicy(initial_delay=8, jitter=lambda: 1.0).delay(2) == 4
    assert RetryPolicy(initial_delay=8, jitter=lambda: 0.5).delay(2) == 6
    assert 4 <= RetryPolicy(initial_delay=8).delay(2) <= 8


def test_who_is_asked_to_wait_waits_up_to_the_longest_pause() -> None:
    policy = RetryPolicy(initial_delay=1, max_delay=10, jitter=lambda: 0.0)
    assert [policy.delay(2, asked) for asked in (0.5, 5, 50)] == [1, 5, 10]


def test_the_last_try_is_not_waited_for() -> None:
    slept: list[float] = []
    tries = RetryState(RetryPolicy(attempts=1, sleep=slept.append), "x")
    with pytest.raises(Unavailable, match=r"^x: got a cut, expected the whole file$"):
        tries.retry(TransientError("a cut"))
    assert slept == []


def test_bytes_have_to_come_at_a_pace() -> None:
    pace = MinimumRate(RetryPolicy(rate_window=10, min_bytes=100))
    for _ in range(50):
        pace.record(50, 4)
        pace.record(50, 4)
    pace.record(99, 9)
    with pytest.raises(TooSlowError, match=r"^99 bytes in 10 seconds, which are less than 100$"):
        pace.record(0, 1)
