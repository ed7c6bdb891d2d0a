"""The graph that a layering pipeline divides: paths in an order, and the references between them.

Definition: a vertex is the number of a path in the closure. The first graph is sorted by NAR size, ascending, and paths
of equal size by their names. A part of a graph keeps the order, and merged graphs follow one another. An edge leads
from a path to a path that it refers to; a path's reference to itself is not an edge. ``edges`` may be shared with a
larger graph and then contain paths that are not vertices: those edges are ignored. These are the rules of nixpkgs'
flattenReferencesGraph, which uses igraph.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.pathinfo import PathInfo

Edges = Mapping[int, frozenset[int]]
_NONE: frozenset[int] = frozenset()
# How many of the steps that made a graph are kept for the reason that users see.
_MAX_STEPS = 2


@dataclass(frozen=True, slots=True)
class Graph:
    """Some paths of ``closure``; ``steps`` describes the last operations that made the graph, in their order."""

    closure: Closure
    vertices: tuple[int, ...]
    edges: Edges
    steps: tuple[str, ...] = ()

    @classmethod
    def of(cls, closure: Closure, ignored: Collection[StorePath]) -> Graph:
        """Make the graph of all of ``closure``, without ignored paths and references to them."""
        kept = [number for path, number in closure.numbers.items() if path not in ignored]
        vertices = sorted(kept, key=lambda number: closure.infos[number].nar_size)
        return cls(closure, tuple(vertices), {vertex: frozenset(closure.references[vertex]) for vertex in vertices})

    def __len__(self) -> int:
        return len(self.vertices)

    @property
    def infos(self) -> tuple[PathInfo, ...]:
        """The path infos, in the order of the vertices."""
        return tuple(self.closure.infos[vertex] for vertex in self.vertices)

    @property
    def reason(self) -> str:
        """The operations that made the graph, as a phrase for the user."""
        return ", in ".join(reversed(self.steps)) or "everything"

    def with_step(self, step: str) -> Graph:
        """Return the graph with ``step`` added; a step that repeats the last one is not added."""
        return self if self.steps[-1:] == (step,) else replace(self, steps=(*self.steps, step)[-_MAX_STEPS:])

    def find(self, texts: Collection[str]) -> set[int]:
        """Find the vertices of the store paths ``texts``; paths that are not in the graph are skipped."""
        infos = self.closure.infos
        return {vertex for vertex in self.vertices if str(infos[vertex].path) in texts} if texts else set()

    def subgraph(self, vertices: AbstractSet[int], step: str) -> Graph:
        """Return the part of the graph that has only ``vertices``, in the order of the graph."""
        kept = tuple(vertex for vertex in self.vertices if vertex in vertices)
        return replace(self, vertices=kept).with_step(step)

    def chunks(self, size: int) -> Iterator[Graph]:
        """Yield parts of ``size`` vertices each; the last may have fewer."""
        for start in range(0, len(self.vertices), size):
            yield replace(self, vertices=self.vertices[start : start + size])

    def children(self, vertices: Iterable[int]) -> AbstractSet[int]:
        """Return the direct references of ``vertices``."""
        return _NONE.union(*map(self._edges, vertices)).intersection(self.vertices)

    def roots(self) -> set[int]:
        """Return the vertices that no other vertex refers to."""
        return set(self.vertices).difference(*map(self._edges, self.vertices))

    def dependencies_of(self, starts: Iterable[int]) -> set[int]:
        """Return ``starts`` and everything that they depend on, directly or indirectly."""
        return _reachable(starts, self.edges, frozenset(self.vertices))

    def referrers_of(self, starts: Iterable[int]) -> set[int]:
        """Return ``starts`` and everything that depends on them, directly or indirectly."""
        referrers: dict[int, set[int]] = {}
        for vertex in self.vertices:
            for target in self._edges(vertex):
                referrers.setdefault(target, set()).add(vertex)
        return _reachable(starts, referrers, frozenset(self.vertices))

    def without_edges_to(self, targets: AbstractSet[int]) -> Graph:
        """Return the graph with the same vertices, without the edges to ``targets``."""
        return replace(self, edges={vertex: self._edges(vertex) - targets for vertex in self.vertices})

    def single(self, vertex: int, step: str) -> Graph:
        """Return a graph of ``vertex`` alone, without edges."""
        return Graph(self.closure, (vertex,), {}, self.steps).with_step(step)

    def as_closure(self) -> Closure:
        """Return the graph as a closure, in which the references of a path are its edges."""
        vertices, infos = frozenset(self.vertices), self.closure.infos
        return Closure.of(
            replace(
                infos[vertex],
                references=frozenset(infos[target].path for target in self._edges(vertex) & vertices),
            )
            for vertex in self.vertices
        )

    def _edges(self, vertex: int) -> frozenset[int]:
        return self.edges.get(vertex, _NONE)


def merge_graphs(graphs: Sequence[Graph], step: str) -> Graph:
    """Merge one or more ``graphs``: their vertices follow one another, and no edge connects two of them."""
    edges: dict[int, frozenset[int]] = {}
    for graph in graphs:
        inside = frozenset(graph.vertices)
        edges |= {vertex: targets & inside for vertex in inside if (targets := graph.edges.get(vertex, _NONE))}
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
