"""Laws of pipelines, on random graphs with random calls."""

import json
from collections.abc import Collection
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.support.factories import graphs, path

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.pathinfo import PathInfo
from lamina.errors import InvalidArgument
from lamina.layering import LayerPlan, Pipeline, plan
from lamina.layering.pipeline import _OPERATIONS

LAW = settings(deadline=None, max_examples=200)
PATHS = st.lists(st.sampled_from([str(path(letter)) for letter in "ABCDEFGHIJKLM"]), max_size=3)
MARKS: st.SearchStrategy[list[Any]] = st.lists(
    st.one_of(
        st.sampled_from([str(path(letter)) for letter in "ABCDEFGH"]),
        st.fixed_dictionaries({"children_of": PATHS}),
    ),
    max_size=3,
)
TO_LIST: st.SearchStrategy[list[Any]] = st.one_of(
    st.just(["popularity_contest"]),
    st.integers(1, 4).map(lambda count: ["split_every", count]),
    st.just(["flatten"]),
)
TO_OBJECT: st.SearchStrategy[list[Any]] = st.one_of(
    PATHS.map(lambda paths: ["subcomponent_out", paths]),
    PATHS.map(lambda paths: ["subcomponent_in", paths]),
    MARKS.map(lambda marks: ["split_paths", marks]),
)
OF_LISTS: st.SearchStrategy[list[Any]] = st.one_of(
    st.just(["reverse"]), st.integers(1, 6).map(lambda most: ["limit_layers", most])
)


@st.composite
def pipelines(draw: st.DrawFn, depth: int = 0) -> list[Any]:
    """Pipelines that a graph fits, whatever it is, and that keep every path."""
    made = draw(st.sampled_from(["graph", "list", "object"] if depth < 3 else ["graph"]))
    if made == "graph":
        return []
    if made == "list":
        calls = [draw(TO_LIST)]
        if draw(st.booleans()):
            calls.append(["map", ["pipe", draw(pipelines(depth=depth + 1))]])
    else:
        calls = [draw(TO_OBJECT)]
        if calls[0][0].startswith("subcomponent"):
            name = draw(st.sampled_from(["main", "rest"]))
            calls.append(["over", name, ["pipe", draw(pipelines(depth=depth + 1))]])
    return [*calls, ["flatten"], *draw(st.lists(OF_LISTS, max_size=2))]


def planned(infos: Collection[PathInfo], calls: list[Any], ignored: Collection[StorePath]) -> tuple[LayerPlan, ...]:
    return plan(Closure.of(infos), strategy=Pipeline.parse(calls), ignored=ignored)


@given(graphs(), pipelines(), PATHS)
@LAW
def test_a_pipeline_without_remove_paths_gives_a_partition(
    infos: tuple[PathInfo, ...], calls: list[Any], left_out: list[str]
) -> None:
    """Each that is not empty is a layer; no path comes to be in two layers."""
    ignored = [StorePath.parse(text) for text in left_out]
    found = planned(infos, calls, ignored)
    kept = sorted(one.path for one in infos if one.path not in ignored)
    assert sorted(one for layer in found for one in layer.paths) == kept
    assert all(layer.paths and layer.reason for layer in found)


@given(graphs(), pipelines(), PATHS)
@LAW
def test_removed_paths_alone_are_missing(infos: tuple[PathInfo, ...], calls: list[Any], gone: list[str]) -> None:
    found = planned(infos, [["remove_paths", gone], *calls], ())
    kept = sorted(one.path for one in infos if str(one.path) not in gone)
    assert sorted(one for layer in found for one in layer.paths) == kept


@given(graphs(), pipelines(), PATHS)
@LAW
def test_to_ignore_a_path_is_to_remove_it_first(infos: tuple[PathInfo, ...], calls: list[Any], gone: list[str]) -> None:
    """The exclude list: nodes and the references to them leave before the first call."""
    ignored = [StorePath.parse(text) for text in gone]
    removed = planned(infos, [["remove_paths", gone], *calls], ())
    assert [layer.paths for layer in planned(infos, calls, ignored)] == [layer.paths for layer in removed]


@given(graphs(), pipelines(), st.randoms(use_true_random=False))
@LAW
def test_a_pipeline_does_not_depend_on_the_order_of_its_input(
    infos: tuple[PathInfo, ...], calls: list[Any], chance: Any
) -> None:
    mixed = list(infos)
    chance.shuffle(mixed)
    assert planned(mixed, calls, ()) == planned(infos, calls, ())


@given(graphs(), MARKS)
@LAW
def test_split_paths_is_what_its_definition_says(infos: tuple[PathInfo, ...], marks: list[Any]) -> None:
    """main = specs and dependencies used only through them, common = dependencies shared with the rest."""
    children = {one.path: one.references - {one.path} for one in infos}
    marked = {one for one in children if str(one) in marks}
    for mark in marks:
        if isinstance(mark, dict):
            marked |= {child for one in children if str(one) in mark["children_of"] for child in children[one]}
    roots = [one for one in children if not any(one in targets for targets in children.values())]
    assume(marked and not (len(roots) == 1 and roots[0] in marked))

    def reached(starts: Collection[StorePath], without: Collection[StorePath]) -> set[StorePath]:
        found: set[StorePath] = set()
        for start in starts:
            found |= {start} | reached(children[start] - set(without), without)
        return found

    needed, others = reached(marked, ()), reached(set(roots) - marked, marked)
    expected = [part for part in (needed - others, needed & others, others - needed) if part]
    assert [set(layer.paths) for layer in planned(infos, [["split_paths", marks]], ())] == expected


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-2, 5),
        st.floats(),
        st.text(max_size=5),
        st.sampled_from([*_OPERATIONS, "main", "rest", str(path("A"))]),
    ),
    lambda values: st.one_of(
        st.lists(values, max_size=3),
        st.tuples(st.sampled_from(sorted(_OPERATIONS)), values).map(list),
        st.dictionaries(st.sampled_from(["children_of", "x"]), values, max_size=2),
    ),
    max_leaves=12,
)


CALLS: st.SearchStrategy[list[Any]] = st.deferred(
    lambda: st.lists(
        st.one_of(
            TO_LIST,
            TO_OBJECT,
            OF_LISTS,
            PATHS.map(lambda paths: ["remove_paths", paths]),
            st.tuples(st.just("over"), st.sampled_from(["main", "common", "rest"]), CALLS.map(piped)).map(list),
            st.tuples(st.just("map"), CALLS.map(piped)).map(list),
            CALLS.map(piped),
        ),
        max_size=3,
    )
)


def piped(calls: list[Any]) -> list[Any]:
    return calls[0] if len(calls) == 1 else ["pipe", calls]


def refusal(value: Any, infos: tuple[PathInfo, ...]) -> InvalidArgument | None:
    """Why ``value`` is no pipeline, or none for this closure; checks what was parsed and what was divided."""
    try:
        pipeline = Pipeline.parse(value)
        assert Pipeline.parse(json.loads(str(pipeline))) == pipeline
        found = plan(Closure.of(infos), strategy=pipeline)
    except InvalidArgument as error:
        return error
    placed = [one for layer in found for one in layer.paths]
    assert len(placed) == len(set(placed))
    assert {one.path for one in infos} >= set(placed)
    return None


@given(st.one_of(JSON, st.lists(st.lists(JSON, max_size=3), max_size=3)), graphs())
@settings(deadline=None, max_examples=300)
def test_any_json_is_refused_or_divides_a_closure(value: Any, infos: tuple[PathInfo, ...]) -> None:
    """Raises `InvalidArgument` and nothing else; what was parsed can be written and read again."""
    error = refusal(value, infos)
    assert error is None or (": got " in str(error) and ", expected " in str(error))


@given(CALLS, graphs())
@settings(deadline=None, max_examples=300)
def test_any_calls_fit_one_another_or_are_refused(calls: list[Any], infos: tuple[PathInfo, ...]) -> None:
    """What an operation can not take is refused with its place and what came."""
    error = refusal(calls, infos)
    assert error is None or str(error).startswith("layering: [")
