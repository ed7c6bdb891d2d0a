"""What each operation of a pipeline does: a value in, a value out.

Invariant: an operation divides, orders or joins what came in; only ``remove_paths`` loses a path, none makes one twice.

A value is a graph, a list of values, or an object: values by name, in an order. What an operation can not take is
refused with its place, what came, and what to put before it. The rules are those of nixpkgs'
``flattenReferencesGraph``, of which dockerTools' ``layeringPipeline`` is the input.
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
    """Where `split_paths` splits: at these paths, and at all that those parents refer to."""

    paths: frozenset[str]
    parents: frozenset[str]


def popularity_contest(location: str, value: Value) -> Value:
    """A graph of each path, the most popular first; edges are lost."""
    graph = _require_graph(location, value)
    vertex = {info.path: number for number, info in zip(graph.vertices, graph.infos, strict=True)}
    contest = rank_by_popularity(graph.as_closure())
    return tuple(graph.single(vertex[info.path], f"popularity {score}") for info, score in contest)


def reverse(location: str, value: Value) -> Value:
    """The list from its end."""
    return _require_list(location, value)[::-1]


def limit_layers(location: str, value: Value, limit: int) -> Value:
    """The first ``limit - 1`` as they are, all the rest merged into one graph."""
    items = _require_list(location, value)
    if len(items) <= limit:
        return items
    rest = [_require_mergeable(location, item) for item in items[limit - 1 :]]
    return (*items[: limit - 1], merge_graphs(rest, f"the rest of limit_layers {limit}"))


def split_every(location: str, value: Value, count: int) -> Value:
    """Graphs of ``count`` paths each, in the order of the graph."""
    parts = enumerate(_require_graph(location, value).chunks(count), 1)
    return tuple(part.with_step(f"part {number} of split_every {count}") for number, part in parts)


def remove_paths(location: str, value: Value, paths: frozenset[str]) -> Value:
    """The graph without ``paths``, which are in no layer then."""
    graph = _require_graph(location, value)
    gone = graph.find(paths)
    return graph.subgraph(set(graph.vertices) - gone, "what remove_paths left") if gone else graph


def subcomponent_out(location: str, value: Value, paths: frozenset[str]) -> Value:
    """``main`` is ``paths`` and all that they need, ``rest`` all else."""
    graph = _require_graph(location, value)
    return _main_and_rest(graph, graph.dependencies_of(graph.find(paths)), "subcomponent_out")


def subcomponent_in(location: str, value: Value, paths: frozenset[str]) -> Value:
    """``main`` is ``paths`` and all that needs them, ``rest`` all else."""
    graph = _require_graph(location, value)
    return _main_and_rest(graph, graph.referrers_of(graph.find(paths)), "subcomponent_in")


def split_paths(location: str, value: Value, split_points: SplitPoints) -> Value:
    """``main`` is the marked paths and what only they need, ``common`` what others need too, ``rest`` all else.

    The edges to what is marked are gone from all three; those that are empty are left out.
    """
    graph = _require_graph(location, value)
    marked = graph.find(split_points.paths) | graph.children(graph.find(split_points.parents))
    if not marked:
        return {"rest": graph.with_step("rest of split_paths")}
    roots = graph.roots()
    if len(roots) == 1 and roots <= marked:
        return {"main": graph.with_step("main of split_paths")}
    needed = graph.dependencies_of(marked)
    cut = graph.without_edges_to(marked)
    others = cut.dependencies_of(roots - marked)
    parts = {"main": needed - others, "common": needed & others, "rest": others - needed}
    return {name: cut.subgraph(part, f"{name} of split_paths") for name, part in parts.items() if part}


def over(location: str, value: Value, key: str, step: Step) -> Value:
    """The object with ``step`` applied to one of its values."""
    if not isinstance(value, Mapping):
        raise _invalid_value(location, value, "an object", _OBJECT_HINTS)
    if key not in value:
        raise InvalidArgument(
            f"{location}: got no {short_repr(key)} in {_kind(value)}, expected one of its names",
            hint="split_paths leaves out main, common or rest where it is empty" if key in _SPLIT else "",
        )
    return {name: step(item) if name == key else item for name, item in value.items()}


def each(location: str, value: Value, step: Step) -> Value:
    """``step`` applied to every item of the list (the operation ``map``)."""
    return tuple(step(item) for item in _require_list(location, value))


def flatten(location: str, value: Value) -> Value:
    """The graphs in a value, however deep, in their order."""
    return tuple(graphs_in(value))


def pipe(location: str, value: Value, step: Step) -> Value:
    """What a pipeline makes of the value."""
    return step(value)


def graphs_in(value: Value) -> Iterator[Graph]:
    """The graphs in ``value``, those of an object in the order of its names."""
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


_SPLIT = ("main", "common", "rest")
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
            f"{location}: got {_kind(item)} in the list, expected graphs to merge", hint='put ["flatten"] before it'
        )
    return item


def _invalid_value(location: str, value: Value, expected: str, hints: Mapping[str, str]) -> InvalidArgument:
    kind = "graph" if isinstance(value, Graph) else "list" if isinstance(value, tuple) else "object"
    return InvalidArgument(f"{location}: got {_kind(value)}, expected {expected}", hint=hints[kind])


def _kind(value: Value) -> str:
    match value:
        case Graph():
            return f"a graph of {len(value)} paths"
        case Mapping():
            return f"an object of {', '.join(value)}"
        case _:
            return f"a list of {len(value)} items"
