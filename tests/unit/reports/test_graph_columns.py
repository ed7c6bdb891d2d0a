"""The columns of a drawn closure."""

from collections.abc import Sequence

from hypothesis import given
from tests.support.factories import closure, graphs
from tests.support.large_closures import make_closure

from lamina.core.closure import Closure
from lamina.core.pathinfo import PathInfo
from lamina.reports.graph_columns import arrange


def test_a_path_is_right_of_what_it_refers_to() -> None:
    assert arrange(closure("A→B,C  B→D  C→D")) == [[3], [1, 2], [0]]


@given(graphs())
def test_every_path_is_in_one_column_and_references_point_left(found: Sequence[PathInfo]) -> None:
    graph = Closure.of(found)
    columns = arrange(graph)
    place = {number: index for index, column in enumerate(columns) for number in column}
    assert sorted(number for column in columns for number in column) == list(range(len(graph)))
    assert all(place[reference] < place[number] for number in place for reference in graph.references[number])


def test_many_paths_of_one_rank_fill_several_columns() -> None:
    columns = arrange(closure("  ".join(f"n{number}" for number in range(100))))
    assert [len(column) for column in columns] == [10] * 10


def test_a_large_closure_is_about_as_high_as_it_is_wide() -> None:
    columns = arrange(make_closure(2000))
    assert max(map(len, columns)) <= 45
    assert len(columns) < 100


def test_paths_lie_at_the_height_of_their_references() -> None:
    """Lines then cross less: C refers to the upper path of the rank below, and D to the lower one."""
    assert arrange(closure("C→B  D→A")) == [[0, 1], [3, 2]]
