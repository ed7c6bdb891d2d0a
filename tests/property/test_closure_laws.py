"""Laws of closures."""

import graphlib

from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.support.factories import MemoryStore, graphs, info

from lamina.core.closure import Closure
from lamina.core.pathinfo import PathInfo
from lamina.errors import PlanError

LAW = examples(80)


@given(graphs(), st.data())
@LAW
def test_a_closure_is_what_the_roots_reach_in_any_order(infos: tuple[PathInfo, ...], data: st.DataObject) -> None:
    """A `Closure` does not depend on the order in which it was found."""
    by_path = {info.path: info for info in infos}
    roots = data.draw(st.lists(st.sampled_from(sorted(by_path)), max_size=5)) if infos else []
    reached = set(roots)
    while more := {reference for path in reached for reference in by_path[path].references} - reached:
        reached |= more
    store = MemoryStore(data.draw(st.permutations(infos)))
    found = Closure.resolve(data.draw(st.permutations(roots)), store.query)
    assert set(found.numbers) == reached
    assert found == Closure.of(data.draw(st.permutations([by_path[path] for path in reached])))
    assert sum(map(len, store.asked)) == len(found)


@given(graphs())
@LAW
def test_every_path_comes_after_its_references(infos: tuple[PathInfo, ...]) -> None:
    closure = Closure.of(infos)
    position = {info.path: number for number, info in enumerate(closure.bottom_up)}
    assert len(position) == len(infos)
    for found in infos:
        assert all(position[reference] < position[found.path] for reference in found.references - {found.path})
        users = {closure.infos[number].path for number in closure.referrers[closure.numbers[found.path]]}
        assert users == {user.path for user in infos if found.path in user.references} - {found.path}


@given(st.dictionaries(st.sampled_from("ABCDEF"), st.sets(st.sampled_from("ABCDEF"), max_size=3), max_size=6))
@LAW
def test_only_cyclic_graphs_are_refused(references: dict[str, set[str]]) -> None:
    """A `Closure` has no cycle but a path's reference to itself."""
    graph = {name: references.get(name, set()) for name in "ABCDEF"}
    try:
        tuple(graphlib.TopologicalSorter({name: targets - {name} for name, targets in graph.items()}).static_order())
        is_acyclic = True
    except graphlib.CycleError:
        is_acyclic = False
    try:
        closure = Closure.of(info(name, targets) for name, targets in graph.items())
    except PlanError:
        assert not is_acyclic
    else:
        assert is_acyclic
        assert len(closure) == 6
