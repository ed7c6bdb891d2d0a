"""Laws of pipelines, on random graphs with random calls."""

import json
from collections.abc import Collection
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.support.factories import graphs, path

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.pathinfo import PathInfo
from lamina.errors import InvalidArgument
from lamina.layering import LayerPlan, Pipeline, plan
from lamina.layering.pipeline import _OPERATIONS

LAW = examples(200)
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
    """Draw pipelines that accept any graph and keep every path."""
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
    """Every part that is not empty is a layer, and no path is in two layers."""
    ignored = [StorePath.parse(text) for text in left_out]
    found = planned(infos, calls, ignored)
    kept = sorted(item.path for item in infos if item.path not in ignored)
    assert sorted(item for layer in found for item in layer.paths) == kept
    assert all(layer.paths and layer.reason for layer in found)


@given(graphs(), pipelines(), PATHS)
@LAW
def test_only_removed_paths_are_missing(infos: tuple[PathInfo, ...], calls: list[Any], removed: list[str]) -> None:
    found = planned(infos, [["remove_paths", removed], *calls], ())
    kept = sorted(item.path for item in infos if str(item.path) not in removed)
    assert sorted(item for layer in found for item in layer.paths) == kept


@given(graphs(), pipelines(), PATHS)
@LAW
def test_ignoring_a_path_equals_removing_it_first(
    infos: tuple[PathInfo, ...], calls: list[Any], removed: list[str]
) -> None:
    """Ignored paths and references to them are removed before the first call."""
    ignored = [StorePath.parse(text) for text in removed]
    without = planned(infos, [["remove_paths", removed], *calls], ())
    assert [layer.paths for layer in planned(infos, calls, ignored)] == [layer.paths for layer in without]


@given(graphs(), pipelines(), st.randoms(use_true_random=False))
@LAW
def test_a_pipeline_does_not_depend_on_the_order_of_its_input(
    infos: tuple[PathInfo, ...], calls: list[Any], random_source: Any
) -> None:
    mixed = list(infos)
    random_source.shuffle(mixed)
    assert planned(mixed, calls, ()) == planned(infos, calls, ())


@given(graphs(), MARKS)
@LAW
def test_split_paths_matches_its_definition(infos: tuple[PathInfo, ...], marks: list[Any]) -> None:
    """main has the given paths and what only they need; common has what they share with the rest."""
    children = {item.path: item.references - {item.path} for item in infos}
    marked = {item for item in children if str(item) in marks}
    for mark in marks:
        if isinstance(mark, dict):
            marked |= {child for item in children if str(item) in mark["children_of"] for child in children[item]}
    roots = [item for item in children if not any(item in targets for targets in children.values())]
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


def find_error(value: Any, infos: tuple[PathInfo, ...]) -> InvalidArgument | None:
    """Return the error for an invalid pipeline; otherwise check that it parses back and partitions the closure."""
    try:
        pipeline = Pipeline.parse(value)
        assert Pipeline.parse(json.loads(str(pipeline))) == pipeline
        found = plan(Closure.of(infos), strategy=pipeline)
    except InvalidArgument as error:
        return error
    placed = [item for layer in found for item in layer.paths]
    assert len(placed) == len(set(placed))
    assert {item.path for item in infos} >= set(placed)
    return None


@given(st.one_of(JSON, st.lists(st.lists(JSON, max_size=3), max_size=3)), graphs())
@examples(300)
def test_any_json_is_refused_or_partitions_a_closure(value: Any, infos: tuple[PathInfo, ...]) -> None:
    """Invalid pipelines raise `InvalidArgument` and nothing else; valid ones parse back."""
    error = find_error(value, infos)
    assert error is None or (": got " in str(error) and ", expected " in str(error))


@given(CALLS, graphs())
@examples(300)
def test_any_sequence_of_calls_is_accepted_or_refused(calls: list[Any], infos: tuple[PathInfo, ...]) -> None:
    """A value that an operation does not accept is refused with its position in the pipeline."""
    error = find_error(calls, infos)
    assert error is None or str(error).startswith("layering: [")
