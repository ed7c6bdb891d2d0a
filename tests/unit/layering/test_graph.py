"""The graph of a layering pipeline: its order, its parts and their names."""

from collections.abc import Iterable

from tests.support.factories import closure, path

from lamina.layering.graph import Graph, merge_graphs

GRAPH = Graph.of(closure("A→A,B  B→C  D→C  E", A=5, B=1, C=1, D=3, E=2), ())


def names(graph: Graph) -> str:
    return " ".join(info.path.name for info in graph.infos)


def select(vertices: Iterable[int]) -> str:
    return " ".join(GRAPH.closure.infos[vertex].path.name for vertex in sorted(vertices))


def find(text: str) -> set[int]:
    return GRAPH.find([str(path(name)) for name in text.split()])


def test_a_graph_is_sorted_by_size_and_then_by_path() -> None:
    assert names(GRAPH) == "B C E D A"
    assert len(GRAPH) == 5


def test_ignored_paths_are_left_out() -> None:
    graph = Graph.of(GRAPH.closure, {path("B")})
    assert names(graph) == "C E D A"
    assert graph.children(find("A")) == set()


def test_paths_that_are_not_in_the_graph_are_not_found() -> None:
    assert select(find("A C nothing")) == "A C"
    assert GRAPH.find([]) == set()


def test_references_are_followed_in_both_directions() -> None:
    assert select(GRAPH.roots()) == "A D E"
    assert select(GRAPH.children(find("A D"))) == "B C"
    assert select(GRAPH.dependencies_of(find("A"))) == "A B C"
    assert select(GRAPH.referrers_of(find("C"))) == "A B C D"


def test_a_part_keeps_the_order_and_only_its_own_edges() -> None:
    part = GRAPH.subgraph(find("A C D"), "part")
    assert names(part) == "C D A"
    assert select(part.dependencies_of(find("A"))) == "A"
    assert select(part.roots()) == "A D"


def test_chunks_divide_the_graph_in_its_order() -> None:
    assert [names(part) for part in GRAPH.chunks(2)] == ["B C", "E D", "A"]


def test_edges_to_some_paths_can_be_removed() -> None:
    assert select(GRAPH.without_edges_to(find("B")).dependencies_of(find("A"))) == "A"


def test_merged_graphs_follow_one_another_without_edges_between_them() -> None:
    merged = merge_graphs([GRAPH.single(find("A").pop(), "one"), GRAPH.subgraph(find("B C"), "two")], "merged")
    assert names(merged) == "A B C"
    assert select(merged.roots()) == "A B"


def test_a_graph_as_a_closure_has_its_edges_as_references() -> None:
    found = GRAPH.subgraph(find("A B"), "part").as_closure()
    assert {info.path.name: {target.name for target in info.references} for info in found} == {"A": {"B"}, "B": set()}


def test_the_reason_names_the_last_two_steps_each_once() -> None:
    assert GRAPH.reason == "everything"
    graph = GRAPH.with_step("a").with_step("b").with_step("b").with_step("c")
    assert graph.reason == "c, in b"
    assert merge_graphs([graph, graph.with_step("d")], "all").reason == "all"
