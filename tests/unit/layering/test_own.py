"""A function of the caller as a strategy."""

from collections.abc import Iterable
from typing import Any

import pytest
from tests.support.factories import closure, layers, path

from lamina.core.closure import Closure
from lamina.errors import InvalidArgument, PlanError
from lamina.layering import LayerPlan, plan

GRAPH = closure("A→B,C  B→C", A=3, B=2)


def each_alone(closure: Closure, max_layers: int) -> Iterable[LayerPlan]:
    return (LayerPlan.of([info], "alone") for info in closure.bottom_up)


def test_the_function_decides_the_layers_and_their_order() -> None:
    planned = plan(GRAPH, strategy=each_alone)
    assert layers(planned) == ["C", "B", "A"]
    assert {one.reason for one in planned} == {"alone"}


def test_the_function_gets_the_number_of_layers_that_are_left() -> None:
    budgets = []

    def all_together(closure: Closure, max_layers: int) -> list[LayerPlan]:
        budgets.append(max_layers)
        return [LayerPlan.of(closure, "together")]

    assert layers(plan(GRAPH, strategy=all_together, max_layers=10, base_layers=3)) == ["A B C"]
    assert budgets == [6]


def test_paths_that_go_into_no_layer_are_left_out_afterwards() -> None:
    assert layers(plan(GRAPH, strategy=each_alone, ignored=[path("B")])) == ["C", "A"]


def test_more_layers_than_there_may_be_are_refused() -> None:
    with pytest.raises(PlanError, match="got a function that returns 3 layers, expected at most 2"):
        plan(GRAPH, strategy=each_alone, max_layers=3)


@pytest.mark.parametrize(("names", "count"), [(["A", "B"], "0 layers"), (["A", "B", "C", "B"], "2 layers")])
def test_a_path_in_no_layer_or_in_several_is_refused(names: list[str], count: str) -> None:
    infos = {info.path.name: info for info in GRAPH}
    with pytest.raises(InvalidArgument, match=f"into {count}, expected every path of the closure in exactly one"):
        plan(GRAPH, strategy=lambda *_: [LayerPlan.of([infos[name]], "") for name in names])


def test_a_path_of_another_closure_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="-D into 1 layers"):
        plan(GRAPH, strategy=lambda *_: [LayerPlan.of(GRAPH, ""), LayerPlan.of(closure("D"), "")])


def test_something_else_than_plans_is_refused() -> None:
    def return_names(closure: Closure, max_layers: int) -> Any:
        return ["auto"]

    with pytest.raises(InvalidArgument, match="got a function that returns 'auto', expected one that returns Layer"):
        plan(GRAPH, strategy=return_names)


def test_a_function_that_returns_nothing_is_refused() -> None:
    def forget(closure: Closure, max_layers: int) -> Any:
        return None

    with pytest.raises(InvalidArgument, match="layering: got a function that returns None, expected one that returns"):
        plan(GRAPH, strategy=forget)
