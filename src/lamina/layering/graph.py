"""The graph that a pipeline divides: paths in an order, and what refers to what among them.

Invariant: no operation adds a path, so two graphs made of one share no path unless it made one twice.

Definition. Vertices are numbers of paths in the closure, at first ascending by NAR size, equal sizes in the order of
the paths; part of a graph keeps the order, merged graphs are put one behind the other. An edge leads from a path to
one that it refers to; references to itself are none. ``edges`` may be shared with a larger graph and then names paths
that are not vertices: those edges do not count (nixpkgs: flattenReferencesGraph, whose graphs are igraph's).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.pathinfo import PathInfo
from lamina.layering.reach import path_numbers

Edges = Mapping[int, frozenset[int]]
_NONE: frozenset[int] = frozenset()
# How many of the steps that made a graph are kept for its reason.
_STEPS = 2


@dataclass(frozen=True, slots=True)
class Graph:
    """Some paths of ``closure``; ``steps`` are the last of those that made the graph, in their order."""

    closure: Closure
    vertices: tuple[int, ...]
    edges: Edges
    steps: tuple[str, ...] = ()

    @classmethod
    def of(cls, closure: Closure, ignored: Collection[StorePath]) -> Graph:
        """The whole of ``closure`` without the ignored paths and the references to them."""
        number = path_numbers(closure)
        kept = [place for path, place in number.items() if path not in ignored]
        vertices = sorted(kept, key=lambda place: closure.infos[place].nar_size)
        edges = {
            place: frozenset(map(number.__getitem__, closure.infos[place].references)) - {place} for place in vertices
        }
        return cls(closure, tuple(vertices), edges)

    def __len__(self) -> int:
        return len(self.vertices)

    @property
    def infos(self) -> tuple[PathInfo, ...]:
        """The paths, in the order of the vertices, as the closure knows them."""
        return tuple(self.closure.infos[vertex] for vertex in self.vertices)

    @property
    def reason(self) -> str:
        """What made the graph, for a person."""
        return ", in ".join(reversed(self.steps)) or "everything"

    def with_step(self, step: str) -> Graph:
        """The same graph with another step behind it; a step that is repeated is said once."""
        return self if self.steps[-1:] == (step,) else replace(self, steps=(*self.steps, step)[-_STEPS:])

    def find(self, texts: Collection[str]) -> set[int]:
        """The vertices that are among ``texts``, which are store paths; others are passed over."""
        infos = self.closure.infos
        return {vertex for vertex in self.vertices if str(infos[vertex].path) in texts} if texts else set()

    def subgraph(self, vertices: AbstractSet[int], step: str) -> Graph:
        """The part that has those ``vertices`` only."""
        kept = tuple(vertex for vertex in self.vertices if vertex in vertices)
        return replace(self, vertices=kept).with_step(step)

    def chunks(self, size: int) -> Iterator[Graph]:
        """The parts that have ``size`` vertices each, the last perhaps fewer."""
        for start in range(0, len(self.vertices), size):
            yield replace(self, vertices=self.vertices[start : start + size])

    def children(self, vertices: Iterable[int]) -> AbstractSet[int]:
        """What ``vertices`` refer to themselves."""
        return _NONE.union(*map(self._edges, vertices)).intersection(self.vertices)

    def roots(self) -> set[int]:
        """The vertices that no vertex refers to."""
        return set(self.vertices).difference(*map(self._edges, self.vertices))

    def dependencies_of(self, starts: Iterable[int]) -> set[int]:
        """``starts`` and all that they need."""
        return _reachable(starts, self.edges, frozenset(self.vertices))

    def referrers_of(self, starts: Iterable[int]) -> set[int]:
        """``starts`` and all that needs them."""
        referrers: dict[int, set[int]] = {}
        for vertex in self.vertices:
            for target in self._edges(vertex):
                referrers.setdefault(target, set()).add(vertex)
        return _reachable(starts, referrers, frozenset(self.vertices))

    def without_edges_to(self, targets: AbstractSet[int]) -> Graph:
        """The same vertices; what referred to ``targets`` does so no more."""
        return replace(self, edges={vertex: self._edges(vertex) - targets for vertex in self.vertices})

    def single(self, vertex: int, step: str) -> Graph:
        """One vertex and no edge."""
        return Graph(self.closure, (vertex,), {}, self.steps).with_step(step)

    def as_closure(self) -> Closure:
        """The vertices as a closure of their own, each with the references that are edges."""
        members, infos = frozenset(self.vertices), self.closure.infos
        return Closure.of(
            replace(
                infos[vertex],
                references=frozenset(infos[target].path for target in self._edges(vertex) & members),
            )
            for vertex in self.vertices
        )

    def _edges(self, vertex: int) -> frozenset[int]:
        return self.edges.get(vertex, _NONE)


def merge_graphs(graphs: Sequence[Graph], step: str) -> Graph:
    """The vertices of ``graphs``, one or more, one behind the other; no edge leads from one graph to another."""
    edges: dict[int, frozenset[int]] = {}
    for graph in graphs:
        members = frozenset(graph.vertices)
        edges |= {vertex: targets & members for vertex in members if (targets := graph.edges.get(vertex, _NONE))}
    vertices = tuple(vertex for graph in graphs for vertex in graph.vertices)
    origins = {graph.steps[:-1] for graph in graphs}
    steps = origins.pop() if len(origins) == 1 else ()
    return Graph(graphs[0].closure, vertices, edges, steps).with_step(step)


def _reachable(starts: Iterable[int], edges: Mapping[int, AbstractSet[int]], within: AbstractSet[int]) -> set[int]:
    found = set(starts)
    waiting = list(found)
    while waiting:
        fresh = (edges.get(waiting.pop(), _NONE) & within) - found
        found |= fresh
        waiting += fresh
    return found
