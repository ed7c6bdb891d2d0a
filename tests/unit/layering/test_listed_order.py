"""The order of listed layers among those that are planned by rate."""

import pytest
from tests.support.factories import closure, layers, path

from lamina.layering import LayerPlan, PinnedLayers, Strategy, plan
from lamina.layering.known_updates import NOTHING_KNOWN, KnownUpdates, parse_rates
from lamina.layering.listed_order import insert_listed

GRAPH = closure("app-1→numpy-1,helper-2 numpy-1→python-3 helper-2→python-3 python-3→openssl-3 openssl-3→glibc-2")
NEXT = closure("app-2→numpy-1,helper-2 numpy-1→python-3 helper-2→python-3 python-3→openssl-3 openssl-3→glibc-2")
LISTS = [["helper", "python"], ["openssl"]]


def layer(name: str, rate: float | None) -> LayerPlan:
    return LayerPlan((path(name),), rate=rate)


def plan_listed(
    strategy: Strategy, known: KnownUpdates = NOTHING_KNOWN, lists: list[list[str]] = LISTS
) -> list[LayerPlan]:
    return list(plan(GRAPH, max_layers=9, strategy=strategy, lists=lists, known=known))


def test_each_listed_layer_lies_below_those_that_change_more_often() -> None:
    plans = plan_listed("cost")
    assert layers(plans) == ["glibc-2", "openssl-3", "numpy-1", "helper-2 python-3", "app-1"]
    rates = [layer.rate or 0 for layer in plans]
    assert rates == sorted(rates)
    assert rates[-1] == 1


def test_the_rate_of_a_listed_layer_is_that_of_the_same_layer_without_a_list() -> None:
    alone = {layer.paths: layer.rate for layer in plan_listed("cost", lists=[])}
    assert {layer.paths: layer.rate for layer in plan_listed("cost", lists=[["numpy"], ["app"]])} == alone


def test_rates_of_the_user_decide() -> None:
    known = KnownUpdates(parse_rates({"openssl": 0.001, "helper": 1000}, "rates"))
    plans = plan_listed("cost", known, [["helper"], ["openssl"]])
    assert layers(plans) == ["glibc-2", "openssl-3", "python-3", "numpy-1", "helper-2", "app-1"]


@pytest.mark.parametrize("strategy", ["auto", "popularity"])
def test_with_other_strategies_the_lists_decide(strategy: str) -> None:
    plans = plan_listed(strategy)
    assert [layer.paths for layer in plans[-2:]] == [
        tuple(sorted((path("helper-2"), path("python-3")))),
        (path("openssl-3"),),
    ]
    assert {layer.rate for layer in plans} == {None}


def test_layers_of_the_same_rate_have_the_order_of_the_lists_and_come_last() -> None:
    planned = [layer("a", 0.1), layer("b", 0.5), layer("c", None), layer("d", 0.5)]
    found = insert_listed(planned, [layer("y", 0.5), layer("x", 0.5), layer("z", 0.05), layer("w", 0.2)])
    assert layers(found) == ["z", "a", "w", "b", "c", "d", "y", "x"]


def test_the_first_layers_keep_the_order_of_an_earlier_image() -> None:
    """By the new rates alone, numpy would lie above the layer with helper and python."""
    before = plan_listed("cost")
    earlier = PinnedLayers(((), *(layer.paths for layer in before)))
    known = KnownUpdates(parse_rates({"numpy": 1000}, "rates"))
    assert layers(plan_listed("cost", known)) != layers(before)
    plans = plan(NEXT, max_layers=9, strategy=earlier, lists=LISTS, known=known)
    assert layers(plans) == [*layers(before)[:-1], "app-2"]


def test_a_listed_layer_between_layers_that_are_kept_does_not_change_their_order() -> None:
    """By the new rates alone, helper would lie above numpy."""
    lists = [["openssl"]]
    before = plan_listed("cost", lists=lists)
    assert layers(before) == ["glibc-2", "openssl-3", "python-3", "helper-2", "numpy-1", "app-1"]
    known = KnownUpdates(parse_rates({"helper": 1000}, "rates"))
    assert layers(plan_listed("cost", known, lists)) != layers(before)
    earlier = PinnedLayers(tuple(layer.paths for layer in before))
    plans = plan(NEXT, max_layers=9, strategy=earlier, lists=lists, known=known)
    assert layers(plans) == [*layers(before)[:-1], "app-2"]


def test_a_listed_layer_of_other_paths_is_ordered_by_rate() -> None:
    earlier = [(path("a"),), (path("y"), path("b")), (path("c"),)]
    planned = [layer("a", 0.5), layer("c", 0.6)]
    assert layers(insert_listed(planned, [layer("y", 0.1)], earlier)) == ["a", "y", "c"]
    assert layers(insert_listed(planned, [layer("y", 0.1)], [])) == ["y", "a", "c"]
