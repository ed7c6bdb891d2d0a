"""Closures: what roots reach, how a store is queried, and which graphs are refused."""

import pytest
from tests.support.factories import MemoryStore, closure, info, infos, path

from lamina.core.closure import Closure
from lamina.errors import NotFound, PlanError

DIAMOND = "A→B,C B→D C→D,C D→E"


def test_a_closure_contains_everything_that_roots_reach() -> None:
    store = MemoryStore(infos(DIAMOND + " X→A"))
    found = Closure.resolve([path("A")], store.query)
    assert [info.path.name for info in found] == ["A", "B", "C", "D", "E"]
    assert found == closure(DIAMOND)


def test_a_store_is_queried_once_per_level() -> None:
    store = MemoryStore(infos(DIAMOND))
    Closure.resolve([path("A")], store.query)
    assert store.asked == [{path("A")}, {path("B"), path("C")}, {path("D")}, {path("E")}]


def test_no_path_is_queried_twice() -> None:
    store = MemoryStore(infos("A→B,C,D B→C,D C→D,B2 D→D"))
    Closure.resolve([path("D"), path("A"), path("D")], store.query)
    assert store.asked == [{path("A"), path("D")}, {path("B"), path("C")}, {path("B2")}]


def test_no_roots_give_an_empty_closure() -> None:
    store = MemoryStore()
    assert Closure.resolve([], store.query) == Closure.of(()) == Closure(())
    assert store.asked == []
    assert not Closure.of(()).bottom_up


def test_a_path_may_refer_to_itself() -> None:
    store = MemoryStore(infos("A→A,B B→B"))
    found = Closure.resolve([path("A")], store.query)
    assert len(found) == 2
    assert (found.references, found.referrers) == ([[1], []], [[], [0]])
    assert [info.path.name for info in found.bottom_up] == ["B", "A"]


@pytest.mark.parametrize(
    ("graph", "missing", "why"),
    [("", "A", "one that was built"), ("A→B,C B→D", "C", "it, because /nix/store/0"), ("A→B B→C", "C", "it, because ")],
)
def test_a_path_that_the_store_lacks_is_named(graph: str, missing: str, why: str) -> None:
    store = MemoryStore(info for info in infos(graph) if info.path.name != missing)
    with pytest.raises(NotFound, match=rf"^{path(missing)}: got no such valid path in the store, expected {why}"):
        Closure.resolve([path("A")], store.query)
    if graph:
        with pytest.raises(NotFound, match=rf"^{path(missing)}: got no such path in the graph"):
            Closure.of(info for info in infos(graph) if info.path.name != missing)


@pytest.mark.parametrize("graph", ["A→B B→A", "A→B B→C C→A", "A→B B→C C→B D→D", "A→B B→C C→D,E D→B E→E"])
def test_a_cycle_is_refused(graph: str) -> None:
    with pytest.raises(PlanError, match="cycle of references at or above"):
        Closure.resolve([path("A")], MemoryStore(infos(graph)).query)
    with pytest.raises(PlanError, match="cycle"):
        closure(graph)


def test_a_chain_may_be_long() -> None:
    names = [f"n{number}" for number in range(5000)]
    chain = [info(name, names[number + 1 : number + 2]) for number, name in enumerate(names)]
    found = Closure.resolve([path("n0")], MemoryStore(chain).query)
    assert [info.path.name for info in found.bottom_up] == names[::-1]


def test_paths_and_referrers_are_sorted() -> None:
    found = closure("C→A B→A D→A,B")
    assert [info.path.name for info in found] == ["A", "B", "C", "D"]
    assert found.referrers[found.numbers[path("A")]] == [1, 2, 3]
    assert found.infos[found.numbers[path("B")]] == info("B", ["A"])
    assert path("A") in found
    assert path("E") not in found
