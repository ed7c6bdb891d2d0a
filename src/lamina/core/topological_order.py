"""Topological order of a graph: every node comes after its predecessors."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar

Node = TypeVar("Node")


def sort_topologically(predecessors: Mapping[Node, Collection[Node]]) -> list[Node]:
    """Sort the keys of ``predecessors``, which maps each node of a graph to those that come before it.

    A node follows soon after the last of its predecessors. The order depends on the order of the keys, and not on the
    order of their predecessors. Nodes that are in a cycle, or that come after one, are left out.
    """
    sorter = TopologicalSorter[Node](dict.fromkeys(predecessors, ()))
    for node, before in predecessors.items():
        sorter.add(node, *before)
    with suppress(CycleError):  # the sorter still gives the nodes that no cycle blocks
        sorter.prepare()
    order: list[Node] = []
    ready = [*sorter.get_ready()]
    while ready:
        order.append(ready.pop())
        sorter.done(order[-1])
        ready += sorter.get_ready()
    return order
