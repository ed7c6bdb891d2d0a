"""Topological order of a graph: every node comes after its predecessors."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

Node = TypeVar("Node")


def sort_topologically(predecessors: Mapping[Node, Collection[Node]]) -> list[Node]:
    """Sort the keys of ``predecessors``, which maps each node of a graph to the nodes that must come before it.

    A node follows soon after the last of its predecessors. The order of the keys affects the result, and the order of
    their predecessors does not. Nodes that are in a cycle, or that depend on one, are left out.
    """
    sorter = TopologicalSorter[Node](dict.fromkeys(predecessors, ()))
    for node, before in predecessors.items():
        sorter.add(node, *before)
    with suppress(CycleError):  # the sorter still returns the nodes that do not depend on a cycle
        sorter.prepare()
    order: list[Node] = []
    ready = [*sorter.get_ready()]
    while ready:
        order.append(ready.pop())
        sorter.done(order[-1])
        ready += sorter.get_ready()
    return order
