"""Pipelines: upstream's examples, every operation, and errors with their location."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from tests.support.factories import closure, info, layers, path
from tests.unit.layering.test_plans import many

from lamina.core.closure import Closure
from lamina.errors import InvalidArgument
from lamina.layering import LayerPlan, Pipeline, plan
from lamina.layering.graph import Graph, merge_graphs
from lamina.layering.pipeline import _OPERATIONS

# The graph of upstream's tests of split_paths: two roots, a common part, and X without referrers.
SPLIT = closure("P→A A→B,D D→E B→D,F Q→B R→C X→")
# The graph of upstream's tests of whole pipelines: A(2)→C(6), B(4)→C,D(8).
SIZED = closure("A→C B→C,D", A=2, B=4, C=6, D=8)
CONTEST = closure("A→B,G B→C,E C→D,E D→F E→F")


def paths(value: Any) -> Any:
    """Replace single letters in ``value`` by the store paths that they stand for."""
    match value:
        case str() if len(value) == 1 and value.isupper():
            return str(path(value))
        case dict():
            return {key: paths(item) for key, item in value.items()}
        case list():
            return [paths(item) for item in value]
        case _:
            return value


def planned(calls: list[Any], found: Closure, ignored: str = "") -> tuple[LayerPlan, ...]:
    return plan(found, strategy=Pipeline.parse(paths(calls)), ignored=list(map(path, ignored)))


def divided(calls: list[Any], found: Closure, ignored: str = "") -> list[str]:
    return layers(planned(calls, found, ignored))


def sets(found: Sequence[str]) -> list[set[str]]:
    return [set(layer.split()) for layer in found]


def refused(calls: list[Any], found: Closure = SPLIT) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        planned(calls, found)
    return caught.value


# --- missing paths


@pytest.mark.parametrize(
    ("calls", "parts"),
    [
        ([["remove_paths", "Z"]], ["layering: [0] remove_paths"]),
        ([["subcomponent_out", ["P", "Z"]]], ["layering: [0] subcomponent_out"]),
        ([["split_paths", [{"children_of": "Z"}]]], ["layering: [0] split_paths"]),
        ([["subcomponent_in", ["Z"]], ["over", "main", ["remove_paths", ["Z"]]]], ["[0] sub", "[2] remove_paths"]),
        ([["popularity_contest"], ["map", ["remove_paths", ["A"]]]], []),
        ([["popularity_contest"], ["map", ["pipe", [["remove_paths", ["Z"]]]]]], ["[1] pipe"]),
        ([["split_paths", ["A"]], ["over", "rest", ["remove_paths", ["A"]]]], ["[2] remove_paths"]),
        ([["subcomponent_out", ["P", "Q"]], ["over", "main", ["remove_paths", "A"]]], []),
    ],
)
def test_an_operation_that_matches_nothing_is_a_warning(calls: list[Any], parts: list[str]) -> None:
    warnings: list[str] = []
    plan(SPLIT, strategy=Pipeline.parse(paths(calls)), warn=warnings.append)
    assert len(warnings) == len(parts), warnings
    for warning, part in zip(warnings, parts, strict=True):
        assert part in warning
        assert "which is not among the paths there, so it changes nothing" in warning


def test_many_paths_that_are_not_there_are_not_all_listed() -> None:
    warnings: list[str] = []
    pipeline = Pipeline.parse([["remove_paths", [f"/nix/store/{number}" for number in range(9)]]])
    plan(SPLIT, strategy=pipeline, warn=warnings.append)
    (warning,) = warnings
    assert "got '/nix/store/0', '/nix/store/1', '/nix/store/2' and 6 more, which is not among the paths" in warning


def test_paths_are_mapped_at_any_depth() -> None:
    calls = [
        ["remove_paths", "b"],
        ["split_paths", ["a", {"children_of": ["c"]}]],
        ["over", "main", ["pipe", [["subcomponent_in", ["d"]], ["map", ["remove_paths", ["e"]]]]]],
    ]
    changed = Pipeline.parse(calls).with_paths(str.upper)
    assert changed == Pipeline.parse(calls), "its text stays"
    assert frozenset().union(*(inner.paths for call in changed.calls for inner in call.nested_calls)) == set("ABCDE")


# --- whole pipelines


@pytest.mark.parametrize(
    ("calls", "ignored", "expected"),
    [
        ([["split_paths", ["B"]]], "", ["B D", "C", "A"]),
        ([["split_paths", ["B"]], ["over", "main", ["subcomponent_in", ["B"]]]], "", ["B", "D", "C", "A"]),
        ([["split_paths", ["B"]]], "A", ["B C D"]),
        ([["split_paths", ["B"]]], "D", ["B", "C", "A"]),
        ([["split_paths", ["B"]], ["over", "main", ["subcomponent_in", ["B"]]]], "D", ["B", "C", "A"]),
    ],
)
def test_whole_pipelines_agree_with_upstreams_tests(calls: list[Any], ignored: str, expected: list[str]) -> None:
    """Excluded paths are removed first; without A, B is the only root, so everything is in main."""
    assert divided(calls, SIZED, ignored) == expected


def test_an_empty_pipeline_gives_one_layer_sorted_by_size() -> None:
    """Vertices sorted ascending by narSize (stable, then graph = store-path order)."""
    assert divided([], SIZED) == ["A B C D"]
    assert divided([], closure("A→ B→ C→ D→", A=5, C=5, D=4)) == ["B D A C"]
    assert [layer.reason for layer in planned([], SIZED)] == ["everything"]


def test_an_empty_closure_gives_no_layer() -> None:
    for calls in ([], [["popularity_contest"], ["limit_layers", 1]], [["split_paths", ["A"]]], [["flatten"]]):
        assert divided(calls, Closure.of(())) == []
        assert divided(calls, closure("A→"), "A") == []


def test_the_worked_example_of_the_module_is_correct() -> None:
    calls = [["split_paths", ["B"]]]
    assert divided(calls, SIZED) == ["B D", "C", "A"]
    assert [layer.reason for layer in planned(calls, SIZED)] == [
        "main of split_paths",
        "common of split_paths",
        "rest of split_paths",
    ]


def test_a_pipeline_of_a_nixpkgs_user() -> None:
    """The pipeline of adrian-gierakowski: interpreter and app apart, the rest by ascending popularity."""
    found = closure("A→L,M,Y L→M,Y M→C Y→C,Z Z→C C→")
    calls = [
        ["subcomponent_out", ["Y"]],
        [
            "over",
            "rest",
            [
                "pipe",
                [
                    ["split_paths", ["A"]],
                    [
                        "over",
                        "main",
                        [
                            "pipe",
                            [
                                ["subcomponent_in", ["A"]],
                                [
                                    "over",
                                    "rest",
                                    ["pipe", [["popularity_contest"], ["reverse"], ["limit_layers", 110]]],
                                ],
                            ],
                        ],
                    ],
                ],
            ],
        ],
    ]
    assert divided(calls, found) == ["C Y Z", "A", "L", "M"]
    assert [layer.reason for layer in planned(calls, found)] == [
        "main of subcomponent_out",
        "main of subcomponent_in, in main of split_paths",
        "popularity 1, in rest of subcomponent_in",
        "popularity 2, in rest of subcomponent_in",
    ]


def test_nixpkgs_of_2025_was_a_pipeline_of_two_operations() -> None:
    """The default of that time: popularity_contest, then limit_layers with the number of layers."""
    for budget in range(1, 9):
        calls = [["popularity_contest"], ["limit_layers", budget]]
        assert divided(calls, CONTEST) == layers(plan(CONTEST, max_layers=budget + 1, strategy="popularity"))


def test_the_budget_is_not_computed() -> None:
    """An explicit `layeringPipeline` replaces the arithmetic around maxLayers."""
    pipeline = Pipeline.parse([["popularity_contest"]])
    for most in (-1, 0, 1, 2, 100):
        assert len(plan(CONTEST, max_layers=most, base_layers=200, strategy=pipeline)) == 7


def test_a_plan_has_the_paths_and_sizes_of_the_closure() -> None:
    for calls in ([["split_paths", ["B"]]], [["popularity_contest"]], [["split_every", 2]]):
        found = planned(calls, SIZED, "D")
        for layer in found:
            assert layer.nar_size == sum(SIZED.infos[SIZED.numbers[one]].nar_size for one in layer.paths)


def test_self_references_are_ignored() -> None:
    with_self = closure("A→C,A B→B,C,D D→D", A=2, B=4, C=6, D=8)
    assert divided([["split_paths", ["B"]]], with_self) == ["B D", "C", "A"]


# --- split_paths


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        (["B"], ["BF", "DE", "PARCQX"]),
        (["D"], ["DE", "PABFQRCX"]),
        (["A"], ["A", "BFDE", "PQRCX"]),
        (["A", "B"], ["ABFDE", "PQRCX"]),
        ([{"children_of": "A"}], ["BDEF", "PAQRCX"]),
        ([{"children_of": ["A", "R"]}], ["BDEFC", "PAQRX"]),
        ([{"children_of": "R"}, "X"], ["CX", "ABDEFPQR"]),
        (["P", "Q", "R", "X"], ["PABDEFQRCX"]),
        ([], ["PABDEFQRCX"]),
        (["Z"], ["PABDEFQRCX"]),
        ([{"children_of": "X"}, {"children_of": []}, {"children_of": "Z"}], ["PABDEFQRCX"]),
    ],
)
def test_split_paths_agrees_with_upstreams_tests(marks: list[Any], expected: list[str]) -> None:
    """main = specs and dependencies used only through them, common = shared with the rest; unknown ignored."""
    assert sets(divided([["split_paths", marks]], SPLIT)) == list(map(set, expected))


@pytest.mark.parametrize(
    ("marks", "reasons"),
    [
        (["B"], ["main", "common", "rest"]),
        (["D"], ["main", "rest"]),
        (["P", "Q", "R", "X"], ["main"]),
        ([], ["rest"]),
    ],
)
def test_empty_parts_of_split_paths_are_left_out(marks: list[str], reasons: list[str]) -> None:
    found = planned([["split_paths", marks]], SPLIT)
    assert [layer.reason for layer in found] == [f"{name} of split_paths" for name in reasons]
    for name in {"main", "common", "rest"} - set(reasons):
        assert f"got no '{name}' in an object of {', '.join(reasons)}" in str(
            refused([["split_paths", marks], ["over", name, ["flatten"]]])
        )


def test_splitting_at_the_only_root_puts_everything_in_main() -> None:
    """If g has one root and it is among the specs -> {main: g}."""
    found = closure("A→B,C B→D")
    assert divided([["split_paths", ["A", "B"]]], found) == ["A B C D"]
    assert planned([["split_paths", ["A"]]], found)[0].reason == "main of split_paths"


def test_edges_to_split_points_are_removed() -> None:
    """Every edge to a spec vertex is deleted, in the resulting parts too."""
    calls = [["split_paths", ["B", "D"]], ["over", "main", ["subcomponent_out", ["B"]]]]
    assert sets(divided(calls, SPLIT))[:2] == [set("BF"), set("DE")]


# --- the other operations


def test_popularity_contest_gives_single_paths_without_edges() -> None:
    """The order is that of the strategy popularity; edges are lost."""
    assert divided([["popularity_contest"]], CONTEST) == ["F", "E", "D", "C", "B", "G", "A"]
    merged_again = [["popularity_contest"], ["limit_layers", 1], ["map", ["subcomponent_out", ["C"]]]]
    assert sets(divided(merged_again, CONTEST)) == [{"C"}, set("ABDEFG")]
    assert planned([["popularity_contest"]], CONTEST)[0].reason == "popularity 9"


def test_the_popularity_in_a_part_ignores_the_other_parts() -> None:
    calls = [["subcomponent_in", ["C"]], ["over", "rest", ["popularity_contest"]]]
    assert divided(calls, CONTEST)[1:] == layers(plan(closure("E→F D→F G→"), max_layers=99, strategy="popularity"))


def test_reverse_reverses_the_list() -> None:
    assert divided([["popularity_contest"], ["reverse"]], CONTEST) == ["A", "G", "B", "C", "D", "E", "F"]
    assert divided([["split_paths", ["B"]], ["flatten"], ["reverse"]], SIZED) == ["A", "C", "B D"]


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (1, ["F E D C B G A"]),
        (3, ["F", "E", "D C B G A"]),
        (6, ["F", "E", "D", "C", "B", "G A"]),
        (7, ["F", "E", "D", "C", "B", "G", "A"]),
        (8, ["F", "E", "D", "C", "B", "G", "A"]),
        (2**31 - 1, ["F", "E", "D", "C", "B", "G", "A"]),
    ],
)
def test_limit_layers_merges_all_beyond_the_limit(most: int, expected: list[str]) -> None:
    """First n-1 unchanged + one graph merging all the rest; vertices of merged graphs are concatenated."""
    assert divided([["popularity_contest"], ["limit_layers", most]], CONTEST) == expected


def test_the_reason_names_the_merge() -> None:
    found = planned([["popularity_contest"], ["limit_layers", 3]], CONTEST)
    assert [layer.reason for layer in found] == ["popularity 9", "popularity 5", "the rest of limit_layers 3"]
    inside = planned([["split_paths", ["D"]], ["over", "main", ["split_every", 1]], ["flatten"]], SPLIT)
    assert inside[1].reason == "part 2 of split_every 1, in main of split_paths"
    both = planned(
        [["subcomponent_out", ["B"]], ["over", "main", ["pipe", [["split_every", 1], ["limit_layers", 1]]]]], SPLIT
    )
    assert both[0].reason == "the rest of limit_layers 1, in main of subcomponent_out"


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, ["A", "B", "C", "D"]), (2, ["A B", "C D"]), (3, ["A B C", "D"]), (4, ["A B C D"]), (99, ["A B C D"])],
)
def test_split_every_keeps_the_order(count: int, expected: list[str]) -> None:
    assert divided([["split_every", count]], SIZED) == expected


def test_a_merged_graph_has_only_the_edges_of_its_parts() -> None:
    """`g1 + g2` concatenates vertices; it is a disjoint union."""
    parts = [["split_every", 2], ["limit_layers", 1], ["map", ["subcomponent_out", ["A", "B"]]]]
    chain = closure("A→B B→C C→D", A=1, B=2, C=3, D=4)
    assert divided(parts, chain) == ["A B", "C D"]
    assert divided([["subcomponent_out", ["A", "B"]]], chain) == ["A B C D"]
    graph = Graph.of(chain, ())
    assert merge_graphs([graph.single(2, ""), graph.single(0, "")], "").vertices == (2, 0)


@pytest.mark.parametrize("gone", ["B", ["B"], ["B", "Z", "B"]])
def test_removed_paths_are_in_no_layer(gone: Any) -> None:
    assert divided([["remove_paths", gone]], SIZED) == ["A C D"]
    assert divided([["remove_paths", gone], ["subcomponent_out", ["D"]]], SIZED) == ["D", "A C"]


@pytest.mark.parametrize("gone", [[], "Z", ["Z", "", "hello", "\udcff"]])
def test_removing_a_missing_path_changes_nothing(gone: Any) -> None:
    assert planned([["remove_paths", gone]], SIZED) == planned([], SIZED)


@pytest.mark.parametrize(
    ("operation", "of", "main"),
    [
        ("subcomponent_out", ["B"], "BDFE"),
        ("subcomponent_out", ["B", "R", "Z"], "BDFERC"),
        ("subcomponent_out", ["Z"], ""),
        ("subcomponent_out", [], ""),
        ("subcomponent_in", ["B"], "BAPQ"),
        ("subcomponent_in", ["F", "C"], "FBAPQCR"),
        ("subcomponent_in", ["Z"], ""),
        ("subcomponent_in", ["E", "F", "C", "X"], "ABCDEFPQRX"),
    ],
)
def test_subcomponents_are_dependencies_and_referrers(operation: str, of: list[str], main: str) -> None:
    """`main`/`rest` are always both present, possibly empty; empty layers are dropped in the end."""
    rest = set("ABCDEFPQRX") - set(main)
    found = sets(divided([[operation, of]], SPLIT))
    assert found == [part for part in (set(main), rest) if part]
    for name in ("main", "rest"):
        assert sorted(divided([[operation, of], ["over", name, ["split_every", 3]], ["flatten"]], SPLIT))


def test_over_keeps_the_order_of_the_names() -> None:
    calls = [["split_paths", ["B"]], ["over", "rest", ["split_every", 3]], ["over", "main", ["popularity_contest"]]]
    found = planned(calls, SPLIT)
    assert [layer.reason.rpartition(", in ")[2] for layer in found] == [
        "main of split_paths",
        "main of split_paths",
        "common of split_paths",
        "rest of split_paths",
        "rest of split_paths",
    ]


def test_map_applies_to_each_item_and_flatten_to_all_levels() -> None:
    halves = [["split_every", 2], ["map", ["split_every", 1]]]
    assert divided(halves, SIZED) == ["A", "B", "C", "D"]
    assert divided([*halves, ["flatten"], ["limit_layers", 2]], SIZED) == ["A", "B C D"]
    assert divided([["flatten"]], SIZED) == ["A B C D"]
    assert divided([["flatten"], ["reverse"], ["flatten"]], SIZED) == ["A B C D"]


def test_pipe_runs_a_nested_pipeline() -> None:
    for calls in ([], [["split_every", 3]], [["split_paths", ["B"]], ["over", "rest", ["split_every", 1]]]):
        assert planned([["pipe", calls]], SIZED) == planned(calls, SIZED)


def test_a_subgraph_keeps_the_order_of_the_graph() -> None:
    """`induced_subgraph(ids)` keeps original vertex order whatever the id order, duplicates are harmless."""
    assert divided([["subcomponent_out", ["D", "B", "D", "A"]]], SIZED) == ["A B C D"]
    assert divided([["subcomponent_in", ["D", "A", "A"]]], SIZED) == ["A B D", "C"]


@pytest.mark.integration
def test_ten_thousand_paths_go_through_every_operation() -> None:
    found = many(10_000, 60_000)
    names = [str(one.path) for one in found]
    calls = [
        ["split_paths", names[:100]],
        ["over", "main", ["pipe", [["split_every", 1], ["map", ["split_paths", names]]]]],
        ["over", "rest", ["pipe", [["subcomponent_out", names[5000:5010]], ["over", "rest", ["popularity_contest"]]]]],
        ["flatten"],
        ["reverse"],
        ["limit_layers", 100],
    ]
    layered = plan(found, strategy=Pipeline.parse(calls))
    assert len(layered) == 100
    assert sorted(one for layer in layered for one in layer.paths) == [one.path for one in found]


# --- values of the wrong kind


@pytest.mark.parametrize(
    ("calls", "message", "hint"),
    [
        (
            [["split_paths", ["B"]], ["reverse"]],
            "layering: [1] reverse: got an object of main, common, rest, expected a list",
            '["flatten"]',
        ),
        (
            [["split_paths", ["B"]], ["limit_layers", 5]],
            "layering: [1] limit_layers: got an object of main, common, rest, expected a list",
            '["flatten"]',
        ),
        (
            [["popularity_contest"], ["split_every", 5]],
            "layering: [1] split_every: got a list of 10 items, expected a graph",
            '["map", CALL]',
        ),
        (
            [["subcomponent_in", ["B"]], ["popularity_contest"]],
            "layering: [1] popularity_contest: got an object of main, rest, expected a graph",
            '["over", NAME, CALL]',
        ),
        ([["reverse"]], "layering: [0] reverse: got a graph of 10 paths, expected a list", '["popularity_contest"]'),
        ([["map", ["reverse"]]], "layering: [0] map: got a graph of 10 paths, expected a list", '["split_every", N]'),
        (
            [["over", "main", ["reverse"]]],
            "layering: [0] over: got a graph of 10 paths, expected an object",
            '["split_paths", PATHS]',
        ),
        (
            [["split_every", 5], ["over", "main", ["reverse"]]],
            "layering: [1] over: got a list of 2 items, expected an object",
            '["map", CALL]',
        ),
        (
            [["split_paths", ["D"]], ["over", "common", ["flatten"]]],
            "layering: [1] over: got no 'common' in an object of main, rest, expected one of these names",
            "leaves out",
        ),
        (
            [["split_paths", ["D"]], ["over", "mian", ["flatten"]]],
            "layering: [1] over: got no 'mian' in an object of main, rest, expected one of these names",
            "",
        ),
        (
            [["split_paths", ["D"]], ["over", "main", ["pipe", [["split_every", 1], ["remove_paths", "D"]]]]],
            "layering: [1] over: [2] pipe: [1][1] remove_paths: got a list of 2 items, expected a graph",
            '["map", CALL]',
        ),
        (
            [["split_every", 1], ["map", ["split_paths", []]], ["limit_layers", 2]],
            "layering: [2] limit_layers: got an object of rest in the list, expected graphs to merge",
            '["flatten"]',
        ),
    ],
)
def test_the_error_for_a_wrong_value_says_what_to_put_before_it(calls: list[Any], message: str, hint: str) -> None:
    error = refused(calls)
    assert str(error) == message
    assert hint in error.hint


# --- parsing


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "layering: got None, expected a list of calls such as "),
        ({}, "layering: got {}, expected a list of calls such as "),
        ("popularity_contest", "layering: got 'popularity_contest', expected a list of calls such as "),
        (5, "layering: got 5, expected a list of calls"),
        (["popularity_contest"], "layering: [0]: got 'popularity_contest', expected a call, a list that begins with"),
        ([["reverse"], []], "layering: [1]: got [], expected a call"),
        ([[5]], "layering: [0]: got [5], expected a call"),
        ([[["reverse"]]], "layering: [0]: got [['reverse']], expected a call"),
        ([["popularity_contest", 5]], "layering: [0] popularity_contest: got 1 argument, expected none"),
        ([["limit_layers"]], "layering: [0] limit_layers: got 0 arguments, expected a whole number above 0"),
        ([["over", "main"]], "layering: [0] over: got 1 argument, expected a name and a call"),
        ([["split_paths", "B", "C"]], "layering: [0] split_paths: got 2 arguments, expected a list of store paths"),
        ([["limit_layers", 0]], "layering: [0] limit_layers: [1]: got 0, expected a whole number from 1"),
        ([["limit_layers", -3]], "layering: [0] limit_layers: [1]: got -3, expected a whole number from 1"),
        ([["limit_layers", True]], "layering: [0] limit_layers: [1]: got True, expected a whole number from 1"),
        ([["limit_layers", 10**5000]], "layering: [0] limit_layers: [1]: got a int too long to print, expected a"),
        ([["split_every", 0]], "layering: [0] split_every: [1]: got 0, expected a whole number from 1"),
        ([["split_every", 2.0]], "layering: [0] split_every: [1]: got 2.0, expected a whole number from 1"),
        ([["split_every", "2"]], "layering: [0] split_every: [1]: got '2', expected a whole number from 1"),
        ([["subcomponent_out", "B"]], "layering: [0] subcomponent_out: [1]: got 'B', expected a list of store paths"),
        ([["subcomponent_in", [5]]], "layering: [0] subcomponent_in: [1][0]: got 5, expected a store path"),
        ([["remove_paths", ["B", None]]], "layering: [0] remove_paths: [1][1]: got None, expected a store path"),
        ([["remove_paths", 5]], "layering: [0] remove_paths: [1]: got 5, expected a list of store paths"),
        ([["split_paths", "B"]], "layering: [0] split_paths: [1]: got 'B', expected a list of store paths"),
        ([["split_paths", [5]]], 'layering: [0] split_paths: [1][0]: got 5, expected a store path or {"children_of"'),
        ([["split_paths", ["B", {}]]], "layering: [0] split_paths: [1][1]: got {}, expected a store path or "),
        (
            [["split_paths", [{"children_off": "B"}]]],
            "layering: [0] split_paths: [1][0]: got {'children_off': 'B'}, expected a store path or ",
        ),
        (
            [["split_paths", [{"children_of": [5]}]]],
            "layering: [0] split_paths: [1][0].children_of[0]: got 5, expected a store path",
        ),
        ([["over", 5, ["reverse"]]], "layering: [0] over: [1]: got 5, expected a name such as 'main'"),
        ([["over", "main", "reverse"]], "layering: [0] over: [2]: got 'reverse', expected a call"),
        (
            [["flatten"], ["reverse"], ["over", "main", ["map", ["limit_layers", 0]]]],
            "layering: [2] over: [2] map: [1] limit_layers: [1]: got 0, expected a whole number from 1",
        ),
        ([["map", ["revers"]]], "layering: [0] map: [1]: got operation 'revers', expected one of "),
        ([["pipe", ["reverse"]]], "layering: [0] pipe: [1][0]: got 'reverse', expected a call"),
        ([["pipe", "reverse"]], "layering: [0] pipe: [1]: got 'reverse', expected a list of calls"),
    ],
)
def test_an_invalid_pipeline_is_refused_with_the_location(value: Any, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Pipeline.parse(value)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("popularity_contst", "popularity_contest"),
        ("popularity-contest", "popularity_contest"),
        ("Split_Paths", "split_paths"),
        ("subcomponent_inn", "subcomponent_in"),
        ("limit_layer", "limit_layers"),
        ("xyz", ""),
        ("", ""),
        ("r" * 100_000, ""),
    ],
)
def test_a_typo_in_an_operation_says_which_are_known(typo: str, meant: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Pipeline.parse([["reverse"], [typo]])
    message = str(caught.value)
    assert message.startswith("layering: [1]: got operation ")
    assert f"expected one of {', '.join(_OPERATIONS)}" in message
    assert caught.value.hint.startswith(f"did you mean {meant}") == bool(meant)
    assert len(message) < 400


def test_the_message_begins_with_the_subject() -> None:
    with pytest.raises(InvalidArgument, match=r"^layers\.json: \[0\] reverse: got 1 argument, expected none$"):
        Pipeline.parse([["reverse", 1]], "layers.json")
    with pytest.raises(
        InvalidArgument, match=r"^layers\.json: \[0\] reverse: got a graph of 4 paths, expected a list$"
    ):
        plan(SIZED, strategy=Pipeline.parse([["reverse"]], "layers.json"))


def test_the_depth_of_calls_is_limited() -> None:
    def nested(depth: int) -> list[Any]:
        call: list[Any] = ["flatten"]
        for _ in range(depth):
            call = ["pipe", [call]]
        return [call]

    assert divided(nested(32), SIZED) == ["A B C D"]
    for depth in (33, 50_000):
        with pytest.raises(InvalidArgument, match=r"got calls nested more than 32 levels deep, expected fewer levels$"):
            Pipeline.parse(nested(depth))
    endless: list[Any] = ["map"]
    endless.append(endless)
    with pytest.raises(InvalidArgument, match="nested more than 32 levels deep"):
        Pipeline.parse([endless])


def test_a_list_may_be_a_tuple() -> None:
    value = (("split_paths", ("B", {"children_of": ("A",)})), ("over", "main", ("pipe", ())))
    assert Pipeline.parse(value) == Pipeline.parse(json.loads(json.dumps(value)))


def test_a_pipeline_is_equal_to_the_one_parsed_from_its_text() -> None:
    value = [["split_paths", ["B", {"children_of": ["A"]}]], ["over", "main", ["pipe", [["split_every", 5]]]]]
    pipeline = Pipeline.parse(value)
    assert json.loads(str(pipeline)) == value
    assert Pipeline.parse(json.loads(str(pipeline)), "elsewhere") == pipeline
    assert hash(pipeline) == hash(Pipeline.parse(value))
    assert pipeline != Pipeline.parse(value[:1])


def test_equal_sizes_are_ordered_by_path() -> None:
    found = Closure.of([info("z"), info("a"), info("m")])
    (layer,) = planned([], found)
    assert list(layer.paths) == sorted(layer.paths)


def test_a_dumped_pipeline_is_one_with_the_same_calls() -> None:
    calls = paths(
        [
            ["subcomponent_out", ["B", "A"]],
            ["over", "main", ["pipe", [["split_paths", ["D", {"children_of": ["C"]}]], ["over", "rest", ["reverse"]]]]],
            ["flatten"],
            ["limit_layers", 3],
        ]
    )
    dumped = Pipeline.parse(calls).dump()
    assert dumped[0] == ["subcomponent_out", paths(["A", "B"])]
    assert dumped[2:] == [["flatten"], ["limit_layers", 3]]
    assert Pipeline.parse(dumped).calls == Pipeline.parse(calls).calls
    assert Pipeline.parse(dumped).dump() == dumped
