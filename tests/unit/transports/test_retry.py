"""The retry policy decides how long to wait for a server, and how often to repeat a request."""

import pytest

from lamina.errors import Unavailable
from lamina.transports.retry import (
    MinimumRate,
    RetryPolicy,
    RetryState,
    TooSlowError,
    TransientError,
    current_policy,
    use_policy,
)


def test_delays_double_up_to_the_maximum() -> None:
    policy = RetryPolicy(initial_delay=1, max_delay=10, jitter=lambda: 0.0)
    assert [policy.compute_delay(attempt) for attempt in range(2, 8)] == [1, 2, 4, 8, 10, 10]
    assert policy.compute_delay(10_000) == 10


def test_half_of_a_delay_is_random() -> None:
    assert RetryPolicy(initial_delay=8, jitter=lambda: 1.0).compute_delay(2) == 4
    assert RetryPolicy(initial_delay=8, jitter=lambda: 0.5).compute_delay(2) == 6
    assert 4 <= RetryPolicy(initial_delay=8).compute_delay(2) <= 8


def test_a_delay_is_at_least_what_the_server_asks_for() -> None:
    policy = RetryPolicy(initial_delay=1, max_delay=10, jitter=lambda: 0.0)
    assert [policy.compute_delay(2, asked) for asked in (0.5, 5, 10)] == [1, 5, 10]


def test_a_server_that_asks_for_a_longer_delay_than_the_maximum_is_given_up_at_once() -> None:
    slept: list[float] = []
    retries = RetryState(RetryPolicy(sleep=slept.append), "x")
    retries.retry(TransientError("HTTP 429", 60))
    with pytest.raises(
        Unavailable, match=r"^x: got HTTP 429 and 86400 seconds to wait, expected at most 60$"
    ) as caught:
        retries.retry(TransientError("HTTP 429", 86400, hint="log in"))
    assert caught.value.hint == "log in"
    assert not caught.value.is_transient, "nor is it asked again by somebody who does not know of the delay"
    assert slept == [60]


def test_the_error_after_the_last_attempt_has_the_hint_of_the_failure() -> None:
    retries = RetryState(RetryPolicy(attempts=1), "x")
    with pytest.raises(Unavailable) as caught:
        retries.retry(TransientError("HTTP 429", hint="log in"))
    assert caught.value.hint == "log in"
    assert caught.value.is_transient


def test_there_is_no_delay_after_the_last_attempt() -> None:
    slept: list[float] = []
    retries = RetryState(RetryPolicy(attempts=1, sleep=slept.append), "x")
    with pytest.raises(Unavailable, match=r"^x: got a cut, expected the whole file$"):
        retries.retry(TransientError("a cut"))
    assert slept == []


def test_bytes_must_arrive_at_the_minimum_rate() -> None:
    rate = MinimumRate(RetryPolicy(rate_window=10, min_bytes=100))
    for _ in range(50):
        rate.record(50, 4)
        rate.record(50, 4)
    rate.record(99, 9)
    with pytest.raises(TooSlowError, match=r"^99 B in 10 seconds, which is less than 100 B$"):
        rate.record(0, 1)


def test_a_policy_is_used_within_its_block() -> None:
    policy, inner = RetryPolicy(attempts=2), RetryPolicy(attempts=3)
    with use_policy(policy):
        with use_policy(inner):
            assert current_policy() is inner
        assert current_policy() is policy
    assert current_policy() == RetryPolicy()
