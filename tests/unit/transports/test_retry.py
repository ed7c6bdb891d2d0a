"""How long to wait for a server, and how often to ask again."""

import pytest

from lamina.errors import Unavailable
from lamina.transports.retry import Pace, PassingError, Patience, TooSlowError, Tries


def test_pauses_double_up_to_the_longest() -> None:
    patience = Patience(pause=1, longest=10, chance=lambda: 0.0)
    assert [patience.before(attempt) for attempt in range(2, 8)] == [1, 2, 4, 8, 10, 10]
    assert patience.before(10_000) == 10


def test_half_of_a_pause_is_left_to_chance() -> None:
    assert Patience(pause=8, chance=lambda: 1.0).before(2) == 4
    assert Patience(pause=8, chance=lambda: 0.5).before(2) == 6
    assert 4 <= Patience(pause=8).before(2) <= 8


def test_who_is_asked_to_wait_waits_up_to_the_longest_pause() -> None:
    patience = Patience(pause=1, longest=10, chance=lambda: 0.0)
    assert [patience.before(2, asked) for asked in (0.5, 5, 50)] == [1, 5, 10]


def test_the_last_try_is_not_waited_for() -> None:
    slept: list[float] = []
    tries = Tries(Patience(attempts=1, sleep=slept.append), "x")
    with pytest.raises(Unavailable, match=r"^x: got a cut, expected the whole file$"):
        tries.failed(PassingError("a cut"))
    assert slept == []


def test_bytes_have_to_come_at_a_pace() -> None:
    pace = Pace(Patience(window=10, least=100))
    for _ in range(50):
        pace.came(50, 4)
        pace.came(50, 4)
    pace.came(99, 9)
    with pytest.raises(TooSlowError, match=r"^99 bytes in 10 seconds, which are less than 100$"):
        pace.came(0, 1)
