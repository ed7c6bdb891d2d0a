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

from lamina.errors import InvalidName, shown
from lamina.layering.graph import Graph, merged
from lamina.layering.popularity import most_popular

Value: TypeAlias = "Graph | tuple[Value, ...] | Mapping[str, Value]"
Step: TypeAlias = Callable[[Value], Value]


@dataclass(frozen=True, slots=True)
class Marks:
    """Where `split_paths` splits: at these paths, and at all that those parents refer to."""

    paths: frozenset[str]
    parents: frozenset[str]


def popularity_contest(place: str, value: Value) -> Value:
    """A graph of each path, the most popular first; edges are lost."""
    graph = _graph(place, value)
    vertex = {info.path: number for number, info in zip(graph.vertices, graph.infos, strict=True)}
    contest = most_popular(graph.as_closure())
    return tuple(graph.alone(vertex[info.path], f"popularity {score}") for info, score in contest)


def reverse(place: str, value: Value) -> Value:
    """The list from its end."""
    return _list(place, value)[::-1]


def limit_layers(place: str, value: Value, most: int) -> Value:
    """The first ``most - 1`` as they are, all the rest merged into one graph."""
    items = _list(place, value)
    if len(items) <= most:
        return items
    rest = [_mergeable(place, item) for item in items[most - 1 :]]
    return (*items[: most - 1], merged(rest, f"the rest of limit_layers {most}"))


def split_every(place: str, value: Value, count: int) -> Value:
    """Graphs of ``count`` paths each, in the order of the graph."""
    parts = enumerate(_graph(place, value).chunks(count), 1)
    return tuple(part.made_by(f"part {number} of split_every {count}") for number, part in parts)


def remove_paths(place: str, value: Value, paths: frozenset[str]) -> Value:
    """The graph without ``paths``, which are in no layer then."""
    graph = _graph(place, value)
    gone = graph.find(paths)
    return graph.induced(set(graph.vertices) - gone, "what remove_paths left") if gone else graph


def subcomponent_out(place: str, value: Value, paths: frozenset[str]) -> Value:
    """``main`` is ``paths`` and all that they need, ``rest`` all else."""
    graph = _graph(place, value)
    return _main_and_rest(graph, graph.needed_by(graph.find(paths)), "subcomponent_out")


def subcomponent_in(place: str, value: Value, paths: frozenset[str]) -> Value:
    """``main`` is ``paths`` and all that needs them, ``rest`` all else."""
    graph = _graph(place, value)
    return _main_and_rest(graph, graph.users_of(graph.find(paths)), "subcomponent_in")


def split_paths(place: str, value: Value, marks: Marks) -> Value:
    """``main`` is the marked paths and what only they need, ``common`` what others need too, ``rest`` all else.

    The edges to what is marked are gone from all three; those that are empty are left out.
    """
    graph = _graph(place, value)
    marked = graph.find(marks.paths) | graph.children(graph.find(marks.parents))
    if not marked:
        return {"rest": graph.made_by("rest of split_paths")}
    roots = graph.roots()
    if len(roots) == 1 and roots <= marked:
        return {"main": graph.made_by("main of split_paths")}
    needed = graph.needed_by(marked)
    cut = graph.without_edges_to(marked)
    others = cut.needed_by(roots - marked)
    parts = {"main": needed - others, "common": needed & others, "rest": others - needed}
    return {name: cut.induced(part, f"{name} of split_paths") for name, part in parts.items() if part}


def over(place: str, value: Value, key: str, step: Step) -> Value:
    """The object with ``step`` applied to one of its values."""
    if not isinstance(value, Mapping):
        raise _wrong(place, value, "an object", _BEFORE_OBJECT)
    if key not in value:
        raise InvalidName(
            f"{place}: got no {shown(key)} in {_kind(value)}, expected one of its names",
            hint="split_paths leaves out main, common or rest where it is empty" if key in _SPLIT else "",
        )
    return {name: step(item) if name == key else item for name, item in value.items()}


def each(place: str, value: Value, step: Step) -> Value:
    """``step`` applied to every item of the list (the operation ``map``)."""
    return tuple(step(item) for item in _list(place, value))


def flatten(place: str, value: Value) -> Value:
    """The graphs in a value, however deep, in their order."""
    return tuple(graphs_in(value))


def pipe(place: str, value: Value, step: Step) -> Value:
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
    return {"main": graph.induced(main, f"main of {name}"), "rest": graph.induced(rest, f"rest of {name}")}


_SPLIT = ("main", "common", "rest")
_BEFORE_GRAPH = {
    "object": 'use ["over", NAME, CALL] to reach one of its values',
    "list": 'use ["map", CALL] to reach each of its items',
}
_BEFORE_LIST = {
    "object": 'put ["flatten"] before it, or use ["over", NAME, CALL] to reach one of its values',
    "graph": 'put ["popularity_contest"] or ["split_every", N] before it',
}
_BEFORE_OBJECT = {
    "list": 'use ["map", CALL] to reach each of its items',
    "graph": 'put ["split_paths", PATHS], ["subcomponent_out", PATHS] or ["subcomponent_in", PATHS] before it',
}


def _graph(place: str, value: Value) -> Graph:
    if not isinstance(value, Graph):
        raise _wrong(place, value, "a graph", _BEFORE_GRAPH)
    return value


def _list(place: str, value: Value) -> tuple[Value, ...]:
    if not isinstance(value, tuple):
        raise _wrong(place, value, "a list", _BEFORE_LIST)
    return value


def _mergeable(place: str, item: Value) -> Graph:
    if not isinstance(item, Graph):
        raise InvalidName(
            f"{place}: got {_kind(item)} in the list, expected graphs to merge", hint='put ["flatten"] before it'
        )
    return item


def _wrong(place: str, value: Value, expected: str, before: Mapping[str, str]) -> InvalidName:
    kind = "graph" if isinstance(value, Graph) else "list" if isinstance(value, tuple) else "object"
    return InvalidName(f"{place}: got {_kind(value)}, expected {expected}", hint=before[kind])


def _kind(value: Value) -> str:
    match value:
        case Graph():
            return f"a graph of {len(value)} paths"
        case Mapping():
            return f"an object of {', '.join(value)}"
        case _:
            return f"a list of {len(value)} items"
