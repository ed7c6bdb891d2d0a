"""Rates that the user gives and rates from a history, and what they change in a plan."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pytest
from tests.support.closures import random_closure
from tests.support.factories import closure, layers, path

from lamina.core.closure import Closure
from lamina.errors import InvalidArgument
from lamina.layering import plan
from lamina.layering.known_updates import NOTHING_KNOWN, KnownUpdates, parse_rates
from lamina.layering.rates import estimate_rates
from lamina.layering.updates import DEFAULT_STATISTICS

# Both libraries have one size and the same place in the graph, so only their rates tell them apart.
TWO = closure("app-1→busy-1,calm-1,deep-1", **{"app-1": 5, "busy-1": 50, "calm-1": 50, "deep-1": 50})


def estimate(found: Closure, known: KnownUpdates) -> dict[str, int]:
    rates, _ = known.estimate(found)
    return {info.path.name: rate for info, rate in zip(found, rates, strict=True)}


def give(**rates: float) -> KnownUpdates:
    return KnownUpdates(parse_rates(rates, "rates"))


def remember(found: Closure, *updates: str) -> KnownUpdates:
    """Return a history in which each update changed the named package and the root."""
    current = {info.path.name: info.path for info in found}
    images = [
        frozenset({**current, f"{changed}-1": path(f"{changed}-0.{number}"), "app-1": path(f"app-0.{number}")}.values())
        for number, changed in enumerate(updates)
    ]
    return KnownUpdates(history=(tuple(images),))


def test_nothing_known_leaves_the_defaults() -> None:
    assert NOTHING_KNOWN.estimate(TWO) == (estimate_rates(TWO), DEFAULT_STATISTICS)


def test_a_given_rate_is_relative_to_most_packages() -> None:
    rates = estimate(TWO, give(busy=4))
    assert rates["busy-1"] == pytest.approx(4 * rates["calm-1"], rel=0.1)
    rates = estimate(TWO, give(calm=0.25))
    assert 4 * rates["calm-1"] == pytest.approx(rates["busy-1"], rel=0.1)


def test_the_first_pattern_that_takes_a_path_counts() -> None:
    rates = estimate(TWO, KnownUpdates(parse_rates([("busy", 8), ("*", 1)], "rates")))
    assert rates["busy-1"] == pytest.approx(8 * rates["calm-1"], rel=0.1)
    rates = estimate(TWO, KnownUpdates(parse_rates([("*", 1), ("busy", 8)], "rates")))
    assert rates["busy-1"] == rates["calm-1"]


def test_a_pattern_can_take_a_closure() -> None:
    found = closure("app-1→lib-1 lib-1→deep-1 app-1→other-1")
    rates = estimate(found, KnownUpdates(parse_rates({"lib^*": 5}, "rates")))
    assert rates["lib-1"] == rates["deep-1"] == pytest.approx(5 * rates["other-1"], rel=0.1)


def test_what_changed_often_has_a_higher_rate() -> None:
    rates = estimate(TWO, remember(TWO, "busy", "busy", "busy", "busy", "calm"))
    assert rates["busy-1"] > rates["calm-1"] > rates["deep-1"]


def test_a_given_rate_counts_more_than_the_history() -> None:
    history = remember(TWO, "busy", "busy", "busy").history
    rates = estimate(TWO, KnownUpdates(parse_rates({"busy": 0.01}, "rates"), history))
    assert rates["busy-1"] < rates["calm-1"]


@pytest.mark.parametrize("known", [give(busy=20), remember(TWO, *["busy"] * 9)], ids=["rates", "history"])
def test_a_library_that_changes_often_gets_a_layer_of_its_own(known: KnownUpdates) -> None:
    assert "busy-1" in layers(plan(TWO, max_layers=4, strategy="cost", known=known))
    assert layers(plan(TWO, max_layers=4, strategy="cost", known=known))[0] == "calm-1 deep-1"


def test_rates_stay_small_numbers_in_large_closures() -> None:
    found = random_closure(3, 3000)
    rates, _ = KnownUpdates(parse_rates({found.infos[0].path.name: 1000}, "rates")).estimate(found)
    assert min(rates) >= 1
    assert sum(rates) <= 3 * len(found)


def test_a_pattern_that_matches_nothing_is_a_warning() -> None:
    warnings: list[str] = []
    plan(TWO, strategy="cost", known=give(gone=2, busy=2), warn=warnings.append)
    assert warnings == ["rates: gone matches none of the 4 store paths, so it changes nothing"]


@pytest.mark.parametrize("strategy", ["auto", "popularity"])
def test_another_strategy_cannot_use_rates(strategy: str) -> None:
    with pytest.raises(InvalidArgument, match=f"rates: got the layering {strategy}, expected cost"):
        plan(TWO, strategy=strategy, known=give(busy=2))


def test_numbers_are_those_that_were_written() -> None:
    assert parse_rates({"a": 0.1, "b": 3}, "rates") == (("a", Fraction(1, 10)), ("b", Fraction(3)))
    assert parse_rates(parse_rates({"a": 0.1}, "rates"), "rates") == (("a", Fraction(1, 10)),)


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ({"a": 0}, "rates: a: got 0, expected a number from 0.001 to 1000"),
        ({"a": -1}, "rates: a: got -1, expected a number"),
        ({"a": float("nan")}, "rates: a: got nan, expected a number"),
        ({"a": "2"}, "rates: a: got '2', expected a number"),
        ({"a": True}, "rates: a: got True, expected a number"),
        ({"a/b": 1}, "rates: got 'a/b', expected patterns on package names"),
    ],
)
def test_other_values_are_errors(rates: Mapping[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        parse_rates(rates, "rates")
    assert message in str(raised.value)
