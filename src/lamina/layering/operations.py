"""The operations of a layering pipeline: each is a function from a value to a value.

A value is a graph, a list of values, or an object, which is an ordered mapping of names to values. The error for an
input of the wrong kind says where the operation is, what the input was, and which operation to put before it. The
rules are those of nixpkgs' ``flattenReferencesGraph``, whose input is dockerTools' ``layeringPipeline``.

Invariant: only ``remove_paths`` drops a path, and no operation duplicates a path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from lamina.errors import InvalidArgument
from lamina.layering.graph import Graph, merge_graphs
from lamina.layering.popularity import rank_by_popularity
from lamina.messages.redaction import short_repr

Value: TypeAlias = "Graph | tuple[Value, ...] | Mapping[str, Value]"
Step: TypeAlias = Callable[[Value], Value]


@dataclass(frozen=True, slots=True)
class SplitPoints:
    """Where `split_paths` splits the graph: at ``paths``, and at the direct references of ``parents``."""

    paths: frozenset[str]
    parents: frozenset[str]


def popularity_contest(location: str, value: Value) -> Value:
    """Divide the graph into one graph without edges for each path, the most popular first."""
    graph = _require_graph(location, value)
    vertex = {info.path: number for number, info in zip(graph.vertices, graph.infos, strict=True)}
    ranking = rank_by_popularity(graph.as_closure())
    return tuple(graph.single(vertex[info.path], f"popularity {score}") for info, score in ranking)


def reverse(location: str, value: Value) -> Value:
    """Reverse the list."""
    return _require_list(location, value)[::-1]


def limit_layers(location: str, value: Value, limit: int) -> Value:
    """Keep the first ``limit - 1`` items of the list, and merge the others into one graph."""
    items = _require_list(location, value)
    if len(items) <= limit:
        return items
    rest = [_require_mergeable(location, item) for item in items[limit - 1 :]]
    return (*items[: limit - 1], merge_graphs(rest, f"the rest of limit_layers {limit}"))


def split_every(location: str, value: Value, count: int) -> Value:
    """Divide the graph into graphs of ``count`` paths each, in its order; the last may have fewer."""
    parts = enumerate(_require_graph(location, value).chunks(count), 1)
    return tuple(part.with_step(f"part {number} of split_every {count}") for number, part in parts)


def remove_paths(location: str, value: Value, paths: frozenset[str]) -> Value:
    """Remove ``paths`` from the graph, so that they are in no layer."""
    graph = _require_graph(location, value)
    removed = graph.find(paths)
    return graph.subgraph(set(graph.vertices) - removed, "what remove_paths left") if removed else graph


def subcomponent_out(location: str, value: Value, paths: frozenset[str]) -> Value:
    """Divide the graph into ``main``, which is ``paths`` and all their dependencies, and ``rest``."""
    graph = _require_graph(location, value)
    return _main_and_rest(graph, graph.dependencies_of(graph.find(paths)), "subcomponent_out")


def subcomponent_in(location: str, value: Value, paths: frozenset[str]) -> Value:
    """Divide the graph into ``main``, which is ``paths`` and everything that depends on them, and ``rest``."""
    graph = _require_graph(location, value)
    return _main_and_rest(graph, graph.referrers_of(graph.find(paths)), "subcomponent_in")


def split_paths(location: str, value: Value, split_points: SplitPoints) -> Value:
    """Divide the graph into ``main``, ``common`` and ``rest``, and leave out the empty ones.

    ``main`` contains the split points and the dependencies that only they have, ``common`` the dependencies that they
    share with other paths, and ``rest`` all other paths. The results have no edges to the split points.
    """
    graph = _require_graph(location, value)
    split_vertices = graph.find(split_points.paths) | graph.children(graph.find(split_points.parents))
    if not split_vertices:
        return {"rest": graph.with_step("rest of split_paths")}
    roots = graph.roots()
    if len(roots) == 1 and roots <= split_vertices:
        return {"main": graph.with_step("main of split_paths")}
    needed = graph.dependencies_of(split_vertices)
    cut = graph.without_edges_to(split_vertices)
    others = cut.dependencies_of(roots - split_vertices)
    parts = {"main": needed - others, "common": needed & others, "rest": others - needed}
    return {name: cut.subgraph(part, f"{name} of split_paths") for name, part in parts.items() if part}


def over(location: str, value: Value, key: str, step: Step) -> Value:
    """Apply ``step`` to the value ``key`` of the object."""
    if not isinstance(value, Mapping):
        raise _invalid_value(location, value, "an object", _OBJECT_HINTS)
    if key not in value:
        raise InvalidArgument(
            location,
            f"no {short_repr(key)} in {_describe(value)}",
            "one of these names",
            hint="split_paths leaves out main, common or rest where it is empty" if key in _SPLIT_NAMES else "",
        )
    return {name: step(item) if name == key else item for name, item in value.items()}


def each(location: str, value: Value, step: Step) -> Value:
    """Apply ``step`` to every item of the list; this is the operation ``map``."""
    return tuple(step(item) for item in _require_list(location, value))


def flatten(location: str, value: Value) -> Value:
    """Return a list of the graphs in ``value``, at any depth, in their order."""
    return tuple(graphs_in(value))


def pipe(location: str, value: Value, step: Step) -> Value:
    """Run a pipeline on ``value``."""
    return step(value)


def graphs_in(value: Value) -> Iterator[Graph]:
    """Yield the graphs in ``value``, at any depth. The graphs of an object are in the order of its names."""
    match value:
        case Graph():
            yield value
        case Mapping():
            for item in value.values():
                yield from graphs_in(item)
        case _:
            for item in value:
                yield from graphs_in(item)


def _main_and_rest(graph: Graph, main: set[int], name: str) -> Value:
    rest = set(graph.vertices) - main
    return {"main": graph.subgraph(main, f"main of {name}"), "rest": graph.subgraph(rest, f"rest of {name}")}


_SPLIT_NAMES = ("main", "common", "rest")
_GRAPH_HINTS = {
    "object": 'use ["over", NAME, CALL] to reach one of its values',
    "list": 'use ["map", CALL] to reach each of its items',
}
_LIST_HINTS = {
    "object": 'put ["flatten"] before it, or use ["over", NAME, CALL] to reach one of its values',
    "graph": 'put ["popularity_contest"] or ["split_every", N] before it',
}
_OBJECT_HINTS = {
    "list": 'use ["map", CALL] to reach each of its items',
    "graph": 'put ["split_paths", PATHS], ["subcomponent_out", PATHS] or ["subcomponent_in", PATHS] before it',
}


def _require_graph(location: str, value: Value) -> Graph:
    if not isinstance(value, Graph):
        raise _invalid_value(location, value, "a graph", _GRAPH_HINTS)
    return value


def _require_list(location: str, value: Value) -> tuple[Value, ...]:
    if not isinstance(value, tuple):
        raise _invalid_value(location, value, "a list", _LIST_HINTS)
    return value


def _require_mergeable(location: str, item: Value) -> Graph:
    if not isinstance(item, Graph):
        raise InvalidArgument(
            location, f"{_describe(item)} in the list", "graphs to merge", hint='put ["flatten"] before it'
        )
    return item


def _invalid_value(location: str, value: Value, expected: str, hints: Mapping[str, str]) -> InvalidArgument:
    kind = "graph" if isinstance(value, Graph) else "list" if isinstance(value, tuple) else "object"
    return InvalidArgument(location, _describe(value), expected, hint=hints[kind])


def _describe(value: Value) -> str:
    match value:
        case Graph():
            return f"a graph of {len(value)} paths"
        case Mapping():
            return f"an object of {', '.join(value)}"
        case _:
            return f"a list of {len(value)} items"
