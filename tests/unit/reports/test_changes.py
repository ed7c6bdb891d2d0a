"""The layers that a change of a store path re-sends."""

from collections.abc import Sequence

from hypothesis import given
from tests.support.factories import closure, graphs

from lamina.core.closure import Closure
from lamina.core.pathinfo import PathInfo
from lamina.reports.changes import ChangeEffect, find_changed, find_effects

GRAPH = closure("A→B,C  B→D  C→D  E", A=1, B=2, C=4, D=8, E=16)


def list_changed(graph: Closure) -> list[set[int]]:
    return [{number for number in range(len(graph)) if mask >> number & 1} for mask in find_changed(graph)]


def test_a_path_changes_with_all_that_it_refers_to() -> None:
    assert list_changed(GRAPH) == [{0}, {0, 1}, {0, 2}, {0, 1, 2, 3}, {4}]


@given(graphs())
def test_a_path_changes_with_exactly_the_paths_in_its_own_closure(found: Sequence[PathInfo]) -> None:
    graph = Closure.of(found)
    changed = list_changed(graph)
    for info in graph:
        own = Closure.resolve([info.path], lambda paths: {path: graph.infos[graph.numbers[path]] for path in paths})
        number = graph.numbers[info.path]
        causes = {cause for cause, affected in enumerate(changed) if number in affected}
        assert causes == {graph.numbers[needed.path] for needed in own}


def test_a_layer_is_sent_if_one_of_its_paths_changes() -> None:
    effects = find_effects(find_changed(GRAPH), [[3], [0, 4], [1, 2]], [info.nar_size for info in GRAPH])
    assert effects == (
        ChangeEffect((1,), 17),
        ChangeEffect((1, 2), 23),
        ChangeEffect((1, 2), 23),
        ChangeEffect((0, 1, 2), 31),
        ChangeEffect((1,), 17),
    )


def test_a_path_in_no_layer_sends_the_layers_of_those_that_need_it() -> None:
    effects = find_effects(find_changed(GRAPH), [[0], [1]], [info.nar_size for info in GRAPH])
    assert [effect.size for effect in effects] == [1, 3, 1, 3, 0]
