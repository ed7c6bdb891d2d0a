"""How many examples hypothesis tries.

A test states the number for a thorough run. In the inner loop, ``-m "not integration"``, it is a fifth of that.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

_THOROUGH = 100
# How long it takes to think of an example says more about the machine than about the code.
settings.register_profile("thorough", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("thorough"), max_examples=_THOROUGH // 5)


def choose_profile(marker_expression: str) -> None:
    """Set the number of examples for a run with ``-m marker_expression``, before the tests are imported."""
    settings.load_profile("quick" if marker_expression == "not integration" else "thorough")


def examples(thorough: int) -> settings:
    """Return the settings for a test that tries ``thorough`` examples in a thorough run."""
    return settings(max_examples=max(1, thorough * settings().max_examples // _THOROUGH))
