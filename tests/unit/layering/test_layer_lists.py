"""Layers that the user lists: which paths a list takes, and what is left for the strategy."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.factories import closure, graphs, layers, path

from lamina.core.closure import Closure
from lamina.core.pathinfo import PathInfo
from lamina.errors import InvalidArgument, PlanError
from lamina.layering import LayerPlan, plan
from lamina.layering.layer_lists import PathPattern, contract
from lamina.layering.reach import Reachability

GRAPH = closure(
    "app-1.0→numpy-1.26,helper-2  numpy-1.26→python3-3.11,blas-3.9  helper-2→python3-3.11  "
    "python3-3.11→openssl-3.0-dev,glibc-2.36  openssl-3.0-dev→glibc-2.36  blas-3.9→glibc-2.36"
)


def parse_lists(*lists: str) -> list[list[str]]:
    return [text.split(",") for text in lists]


def together(closure: Closure, _: int) -> list[LayerPlan]:
    return [LayerPlan.of(closure.bottom_up, "the rest")] if len(closure) else []


def plan_lists(*lists: str, max_layers: int = 100, warnings: list[str] | None = None) -> list[set[str]]:
    """Return the packages of each layer when the strategy puts all other paths together."""
    warn = (warnings if warnings is not None else []).append
    planned = plan(GRAPH, max_layers=max_layers, strategy=together, lists=parse_lists(*lists), warn=warn)
    return [{path.package for path in layer.paths} for layer in planned]


@pytest.mark.parametrize(
    ("text", "packages"),
    [
        ("python3", {"python3"}),
        ("python3-3.11", {"python3"}),
        ("openssl-*", {"openssl"}),
        ("n*", {"numpy"}),
        ("?umpy", {"numpy"}),
        ("[a-b]*", {"app", "blas"}),
        (str(path("helper-2")), {"helper"}),
        ("python3^*", {"python3", "openssl", "glibc"}),
        (f"{path('blas-3.9')}^*", {"blas", "glibc"}),
        ("*", {"app", "numpy", "helper", "python3", "openssl", "glibc", "blas"}),
        ("blas^*,numpy", {"blas", "glibc", "numpy"}),
    ],
)
def test_a_pattern_takes_paths_by_their_names(text: str, packages: set[str]) -> None:
    assert plan_lists(text)[-1] == packages


@pytest.mark.parametrize("text", ["Python3", "python", "3.11", "numpy-1.26-dev", "umpy"])
def test_a_pattern_has_to_match_the_whole_name(text: str) -> None:
    warnings: list[str] = []
    assert len(plan_lists(text, warnings=warnings)) == 1
    assert warnings == [f"layers: {text} matches none of the 7 store paths, so it changes nothing"]


def test_a_path_goes_to_the_first_list_that_takes_it() -> None:
    assert plan_lists("python3", "python3^*", "*") == [
        {"python3"},
        {"openssl", "glibc"},
        {"app", "numpy", "helper", "blas"},
    ]


def test_layers_of_lists_follow_those_of_the_strategy_in_their_order() -> None:
    assert plan_lists("numpy", "app") == [{"helper", "python3", "openssl", "glibc", "blas"}, {"numpy"}, {"app"}]


def test_the_reason_of_a_layer_is_its_list() -> None:
    planned = plan(GRAPH, strategy=together, lists=parse_lists("numpy,blas^*"))
    assert planned[-1].reason == "listed: numpy, blas^*"


def test_a_list_whose_paths_are_all_taken_is_no_layer() -> None:
    assert len(plan_lists("*", "numpy")) == 1


@pytest.mark.parametrize("strategy", ["auto", "cost", "popularity"])
def test_the_strategy_has_the_rest_of_the_budget(strategy: str) -> None:
    planned = plan(GRAPH, max_layers=6, strategy=strategy, base_layers=1, lists=parse_lists("app", "numpy"))
    assert len(planned) == 4
    assert {"app-1.0", "numpy-1.26"} <= {*layers(planned)}


def test_a_pipeline_plans_the_other_paths() -> None:
    from lamina.layering import Pipeline

    planned = plan(GRAPH, strategy=Pipeline.parse([["split_every", 2]]), lists=parse_lists("glibc"))
    assert [len(layer.paths) for layer in planned] == [2, 2, 2, 1]
    assert layers(planned)[-1] == "glibc-2.36"


def test_lists_that_take_all_paths_leave_no_layer_to_the_strategy() -> None:
    assert len(plan_lists("*", max_layers=2)) == 1


@pytest.mark.parametrize(("lists", "least"), [(["app", "numpy"], 4), (["app"], 3)])
def test_too_few_layers_are_an_error_with_the_number_that_is_needed(lists: Sequence[str], least: int) -> None:
    assert plan_lists(*lists, max_layers=least)
    with pytest.raises(PlanError, match=f"at least {least} layers: {len(lists)} that are listed, one for the image's"):
        plan_lists(*lists, max_layers=least - 1)


def test_ignored_paths_go_into_no_list() -> None:
    planned = plan(GRAPH, lists=parse_lists("*"), ignored=[path("app-1.0")])
    assert path("app-1.0") not in {one for layer in planned for one in layer.paths}


def test_all_patterns_without_a_path_are_in_one_warning() -> None:
    warnings: list[str] = []
    plan_lists("a,b", "c,app", warnings=warnings)
    assert warnings == ["layers: a, b, c match none of the 7 store paths, so they change nothing"]


@pytest.mark.parametrize(
    "text", ["", " ", "a b", "'a'", "ä", "a" * 251, "^*", "/", "a/b", "/nix/store/short", "/etc/passwd", "./result"]
)
def test_a_pattern_that_matches_no_store_path_is_an_error(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^layers"):
        PathPattern.parse(text)


@given(graphs(), st.data())
def test_a_contracted_closure_keeps_what_reaches_what(infos: tuple[PathInfo, ...], data: st.DataObject) -> None:
    graph = Closure.of(infos)
    removed = data.draw(st.sets(st.sampled_from([info.path for info in graph]))) if len(graph) else set()
    small = contract(graph, removed)
    assert {info.path for info in small} == {info.path for info in graph} - removed
    for one in small:
        assert _reached(small, one.path) == _reached(graph, one.path) - removed


def _reached(graph: Closure, start: object) -> set[object]:
    reach = Reachability.of(graph).dependencies
    mask = next(reach[number] for number, info in enumerate(graph) if info.path == start)
    return {info.path for number, info in enumerate(graph) if mask >> number & 1}


@given(graphs(), st.lists(st.sampled_from(["*", "A", "B^*", "[C-F]", "none"]), max_size=4), st.integers(7, 12))
def test_every_path_is_in_exactly_one_layer(infos: tuple[PathInfo, ...], texts: list[str], max_layers: int) -> None:
    graph = Closure.of(infos)
    for strategy in ("auto", "cost", "popularity"):
        planned = plan(graph, max_layers=max_layers, strategy=strategy, lists=parse_lists(*texts))
        assert sorted(one for layer in planned for one in layer.paths) == [info.path for info in graph]
        assert len(planned) < max_layers
