"""The topological order of a graph, and the nodes that remain if there is a cycle."""

import random

from lamina.core.topological_order import sort_topologically


def test_a_node_comes_after_its_predecessors() -> None:
    order = sort_topologically({"A": ["B", "C"], "B": ["D"], "C": ["D"], "D": [], "E": []})
    assert sorted(order) == ["A", "B", "C", "D", "E"]
    position = {node: number for number, node in enumerate(order)}
    assert position["D"] < position["B"] < position["A"] > position["C"] > position["D"]


def test_the_order_depends_on_the_keys_and_not_on_the_order_of_predecessors() -> None:
    source = random.Random(1)
    graph = {node: source.sample(range(node), min(node, 5)) for node in range(200)}
    shuffled = {node: source.sample(before, len(before)) for node, before in graph.items()}
    assert sort_topologically(graph) == sort_topologically(shuffled)


def test_a_node_follows_soon_after_the_last_of_its_predecessors() -> None:
    graph: dict[str, list[str]] = {"A": [], "B": [], "after B": ["B"], "after A": ["A"]}
    assert sort_topologically(graph) == ["B", "after B", "A", "after A"]


def test_an_empty_graph_has_an_empty_order() -> None:
    assert not sort_topologically({})


def test_nodes_in_a_cycle_or_after_one_are_left_out() -> None:
    assert sort_topologically({"A": ["B"], "B": ["A"], "C": ["A"], "D": [], "E": ["D"]}) == ["D", "E"]


def test_a_chain_may_be_long() -> None:
    chain = {number: [number - 1] if number else [] for number in range(20_000)}
    assert sort_topologically(chain) == list(range(20_000))
