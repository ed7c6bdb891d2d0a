"""The number of examples in the inner loop, ``-m "not integration"``, and in a thorough run.

A test states the number of random examples for a thorough run; the inner loop tries a fifth of them. Of the cases that
differ little, the inner loop takes the first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

_THOROUGH = 100
# How long it takes to think of an example says more about the machine than about the code.
settings.register_profile("thorough", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("thorough"), max_examples=_THOROUGH // 5)


def is_inner_loop(marker_expression: str) -> bool:
    """Return whether a run with ``-m marker_expression`` is the inner loop."""
    return marker_expression == "not integration"


def choose_profile(marker_expression: str) -> None:
    """Set the number of examples for a run with ``-m marker_expression``, before the tests are imported."""
    settings.load_profile("quick" if is_inner_loop(marker_expression) else "thorough")


def examples(thorough: int) -> settings:
    """Return the settings for a test that tries ``thorough`` examples in a thorough run."""
    return settings(max_examples=scale(thorough))


def scale(thorough: int) -> int:
    """Return how often a loop with random input repeats, of ``thorough`` times in a thorough run."""
    return max(1, thorough * settings().max_examples // _THOROUGH)


def mark_rest(values: Iterable[object], inner: int) -> list[Any]:
    """Return ``values`` as parameters of a test, of which only the first ``inner`` belong to the inner loop."""
    rows = [value if isinstance(value, tuple) else (value,) for value in values]
    return [
        *(pytest.param(*row) for row in rows[:inner]),
        *(pytest.param(*row, marks=pytest.mark.integration) for row in rows[inner:]),
    ]
