"""The operations of a layering pipeline, each by itself."""

from collections.abc import Callable, Mapping

import pytest
from tests.support.factories import closure, path

from lamina.errors import InvalidArgument
from lamina.layering import operations
from lamina.layering.graph import Graph
from lamina.layering.operations import SplitPoints, Value, graphs_in

GRAPH = Graph.of(closure("R→A,D  A→B,C  B→C  D→C", R=9, A=5, B=4, C=3, D=2), ())


def paths(text: str) -> frozenset[str]:
    return frozenset(str(path(name)) for name in text.split())


def show(value: Value) -> object:
    match value:
        case Graph():
            return " ".join(info.path.name for info in value.infos)
        case Mapping():
            return {name: show(item) for name, item in value.items()}
        case _:
            return [show(item) for item in value]


def test_a_popularity_contest_gives_each_path_a_graph() -> None:
    assert show(operations.popularity_contest("here", GRAPH)) == ["C", "B", "A", "D", "R"]


def test_a_list_is_reversed_and_limited() -> None:
    parts = operations.split_every("here", GRAPH, 2)
    assert show(parts) == ["D C", "B A", "R"]
    assert show(operations.reverse("here", parts)) == ["R", "B A", "D C"]
    assert show(operations.limit_layers("here", parts, 2)) == ["D C", "B A R"]
    assert operations.limit_layers("here", parts, 3) is parts


def test_paths_are_removed() -> None:
    assert show(operations.remove_paths("here", GRAPH, paths("B R"))) == "D C A"
    assert operations.remove_paths("here", GRAPH, paths("nothing")) is GRAPH


@pytest.mark.parametrize(
    ("operation", "main", "rest"),
    [(operations.subcomponent_out, "C B", "D A R"), (operations.subcomponent_in, "B A R", "D C")],
)
def test_a_subcomponent_is_separated(operation: Callable[..., Value], main: str, rest: str) -> None:
    assert show(operation("here", GRAPH, paths("B"))) == {"main": main, "rest": rest}


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (SplitPoints(paths("A"), frozenset()), {"main": "B A", "common": "C", "rest": "D R"}),
        (SplitPoints(frozenset(), paths("D")), {"main": "C", "rest": "D B A R"}),
        (SplitPoints(paths("nothing"), frozenset()), {"rest": "D C B A R"}),
        (SplitPoints(paths("R"), frozenset()), {"main": "D C B A R"}),
    ],
)
def test_a_graph_is_split_into_what_some_paths_need_and_what_others_need(
    points: SplitPoints, expected: dict[str, str]
) -> None:
    assert show(operations.split_paths("here", GRAPH, points)) == expected


def test_a_step_is_applied_to_one_value_or_to_each_item() -> None:
    def halve(value: Value) -> Value:
        return operations.split_every("here", value, 1)

    split = operations.subcomponent_out("here", GRAPH, paths("B"))
    assert show(operations.over("here", split, "main", halve)) == {"main": ["C", "B"], "rest": "D A R"}
    assert show(operations.each("here", (GRAPH,), halve)) == [["D", "C", "B", "A", "R"]]
    assert show(operations.flatten("here", operations.over("here", split, "main", halve))) == ["C", "B", "D A R"]
    assert len(list(graphs_in(operations.pipe("here", GRAPH, halve)))) == 5


@pytest.mark.parametrize(
    ("operation", "value", "message"),
    [
        (operations.popularity_contest, (GRAPH,), r"here: got a list of 1 items, expected a graph"),
        (operations.reverse, GRAPH, r"here: got a graph of 5 paths, expected a list"),
        (operations.reverse, {"main": GRAPH}, r"here: got an object of main, expected a list"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(operation: Callable[..., Value], value: Value, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message) as caught:
        operation("here", value)
    assert caught.value.hint


def test_a_missing_name_and_a_list_of_lists_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="got no 'common' in an object of main") as caught:
        operations.over("here", {"main": GRAPH}, "common", lambda value: value)
    assert "leaves out" in caught.value.hint
    with pytest.raises(InvalidArgument, match="expected graphs to merge"):
        operations.limit_layers("here", (GRAPH, (GRAPH,), (GRAPH,)), 2)
