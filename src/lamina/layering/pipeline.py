"""A layering pipeline: dockerTools' ``layeringPipeline``, operations as data that divide a closure into layers.

Invariant: a `Pipeline` holds known operations with arguments that fit them, and no path comes to be in two layers.

Definition. A pipeline is a list of calls, a call a list of an operation's name and its arguments; each call takes what
the one before it gave, the first the graph of the whole closure. What the last one gave is taken apart into its graphs:
each that is not empty is a layer, its paths in the order of the vertices (nixpkgs: flattenReferencesGraph).

A place in a pipeline is told by numbers that count from 0, as in JSON pointers: ``[2] over: [2] limit_layers`` is the
``limit_layers`` that is the third item of the ``over`` that is the third call.

Worked example: A(2)→C(6)  B(4)→C,D(8) in the pipeline ``[["split_paths", ["B"]]]`` gives [B D] [C] [A]: B and what
only B needs, what others need too, all the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.pathinfo import PathInfo
from lamina.errors import InvalidArgument
from lamina.layering import operations
from lamina.layering.graph import Graph
from lamina.layering.operations import SplitPoints, Value
from lamina.layering.plans import LayerPlan
from lamina.messages.redaction import short_repr

_MAX_DEPTH = 32
# A pipeline of more calls takes longer to run than the image does.
_MAX_LISTS = 10_000
_MAX_COUNT = 2**31 - 1
_MAX_LISTED = 3
_EXAMPLE = '[["popularity_contest"], ["limit_layers", 100]]'


@dataclass(frozen=True, slots=True)
class Call:
    """An operation with its arguments, at its place in the pipeline."""

    location: str
    operation: str
    arguments: tuple[Any, ...]
    found_paths: dict[str, set[str]] | None = field(default=None, compare=False, repr=False)
    """Where it is noted, by place, which of the paths that calls name they have found."""

    def __call__(self, value: Value) -> Value:
        """What the operation makes of ``value``; raises `InvalidArgument` where it cannot take that."""
        if self.found_paths is not None and isinstance(value, Graph):
            infos = value.closure.infos
            here = {str(infos[vertex].path) for vertex in value.find(self.paths)}
            self.found_paths.setdefault(self.location, set()).update(here)
        map_paths: Value = _OPERATIONS[self.operation].run(self.location, value, *self.arguments)
        return map_paths

    @property
    def paths(self) -> frozenset[str]:
        """All that the operation itself names as store paths."""
        named: frozenset[str] = frozenset()
        for argument in self.arguments:
            match argument:
                case SplitPoints():
                    named |= argument.paths | argument.parents
                case frozenset():
                    named |= argument
        return named

    @property
    def nested_calls(self) -> Iterator[Call]:
        """The call itself, and those in its arguments however deep."""
        yield self
        for argument in self.arguments:
            for call in argument.calls if isinstance(argument, Pipe) else [argument]:
                if isinstance(call, Call):
                    yield from call.nested_calls

    def map_paths(self, path: Callable[[str], str], found_paths: dict[str, set[str]] | None = None) -> Call:
        """Return the call with ``path`` applied to every store path that it names, however deep."""
        arguments = tuple(_map_paths(argument, path, found_paths) for argument in self.arguments)
        return replace(self, arguments=arguments, found_paths=found_paths)


@dataclass(frozen=True, slots=True)
class Pipe:
    """A pipeline as an argument."""

    calls: tuple[Call, ...]

    def __call__(self, value: Value) -> Value:
        """What the calls make of ``value``, one after the other."""
        return _run(self.calls, value)


def _map_paths(argument: Any, path: Callable[[str], str], found_paths: dict[str, set[str]] | None) -> Any:
    match argument:
        case SplitPoints():
            return SplitPoints(frozenset(map(path, argument.paths)), frozenset(map(path, argument.parents)))
        case frozenset():
            return frozenset(map(path, argument))
        case Call():
            return argument.map_paths(path, found_paths)
        case Pipe():
            return Pipe(tuple(call.map_paths(path, found_paths) for call in argument.calls))
    return argument


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Calls in their order; equal where their JSON is. A strategy: call it with a closure."""

    text: str
    calls: tuple[Call, ...] = field(compare=False, repr=False)

    @classmethod
    def parse(cls, value: object, subject: str = "layering") -> Pipeline:
        """The pipeline that ``value`` is: lists, texts, numbers and objects, as JSON has them.

        Raises `InvalidArgument` with the place of what is wrong, behind ``subject``.
        """
        _check_size(value, subject)
        calls = _parse_calls(f"{subject}: ", value, 0)
        return cls(json.dumps(value), calls)

    def __str__(self) -> str:
        return self.text

    def with_paths(self, path: Callable[[str], str]) -> Pipeline:
        """Return the same pipeline with ``path`` applied to every store path that it names."""
        return replace(self, calls=tuple(call.map_paths(path) for call in self.calls))

    def __call__(
        self,
        closure: Closure,
        budget: int,
        ignored: Collection[StorePath],
        warn: Callable[[str], object] = len,
    ) -> tuple[LayerPlan, ...]:
        """The layers; ignored paths leave the graph before, as nixpkgs' exclude list does, and no budget is kept.

        ``warn`` is told of paths that an operation names and does not find. Raises `InvalidArgument` where an operation
        is given what it cannot take.
        """
        found_paths: dict[str, set[str]] = {}
        calls = tuple(call.map_paths(str, found_paths) for call in self.calls)
        graphs = tuple(operations.graphs_in(_run(calls, Graph.of(closure, frozenset(ignored)))))
        for call in (inner for outer in calls for inner in outer.nested_calls):
            missed = sorted(call.paths - found_paths.get(call.location, set()))
            if missed:
                more = f" and {len(missed) - _MAX_LISTED} more" if len(missed) > _MAX_LISTED else ""
                listed = ", ".join(map(short_repr, missed[:_MAX_LISTED]))
                warn(f"{call.location}: got {listed}{more}, which is not among the paths there, so it changes nothing")
        return tuple(_make_plan(graph.infos, graph.reason) for graph in graphs if len(graph))


def _make_plan(infos: tuple[PathInfo, ...], reason: str) -> LayerPlan:
    return LayerPlan.of(infos, reason)


def _run(calls: tuple[Call, ...], value: Value) -> Value:
    for call in calls:
        value = call(value)
    return value


# --- from JSON: each of these takes a place, a value, and how deep it lies


def _check_size(value: object, subject: str) -> None:
    """Raise `InvalidArgument` for a pipeline of too many lists, which is what its calls are."""
    level, count = [value] if _is_nested(value) else [], 0
    for _ in range(2 * _MAX_DEPTH):  # what is nested deeper is refused as such
        inner = [item.values() if isinstance(item, Mapping) else item for item in level]
        level = [part for parts in inner if isinstance(parts, Iterable) for part in parts if _is_nested(part)]
        count += len(level)
        if count > _MAX_LISTS:
            raise InvalidArgument(f"{subject}: got more than {_MAX_LISTS} lists, expected fewer calls")


def _is_nested(value: object) -> bool:
    return isinstance(value, (list, tuple, Mapping))


def _parse_calls(location: str, value: object, depth: int) -> tuple[Call, ...]:
    if not isinstance(value, list | tuple):
        raise _invalid_value(location.removesuffix(": "), value, f"a list of calls such as {_EXAMPLE}")
    return tuple(_parse_call(f"{location}[{number}]", item, depth) for number, item in enumerate(value))


def _parse_call(location: str, value: object, depth: int) -> Call:
    if depth > _MAX_DEPTH:
        raise InvalidArgument(f"{location}: got calls nested deeper than {_MAX_DEPTH}, expected fewer")
    if not isinstance(value, list | tuple) or not value or not isinstance(value[0], str):
        raise _invalid_value(location, value, 'a call, a list that begins with an operation such as ["reverse"]')
    name, *given = value
    if name not in _OPERATIONS:
        known = ", ".join(_OPERATIONS)
        raise InvalidArgument(f"{location}: got operation {short_repr(name)}, expected one of {known}{_suggest(name)}")
    location = f"{location} {name}"
    parameters = _OPERATIONS[name].parameters
    if len(given) != len(parameters):
        expected = " and ".join(argument.kind for argument in parameters) or "none"
        raise InvalidArgument(f"{location}: got {len(given)} argument{'s' * (len(given) != 1)}, expected {expected}")
    numbered = enumerate(zip(parameters, given, strict=True), 1)
    parsed = tuple(argument.parse(f"{location}: [{number}]", item, depth + 1) for number, (argument, item) in numbered)
    return Call(location, name, parsed)


def _suggest(name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name[:_MAX_NAME_LENGTH].lower().replace("-", "_"), _OPERATIONS, 1, 0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _parse_pipe(location: str, value: object, depth: int) -> Pipe:
    return Pipe(_parse_calls(location, value, depth))


def _parse_count(location: str, value: object, depth: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _MAX_COUNT:
        raise _invalid_value(location, value, f"a whole number from 1 to {_MAX_COUNT}")
    return value


def _parse_key(location: str, value: object, depth: int) -> str:
    if not isinstance(value, str):
        raise _invalid_value(location, value, "a name such as 'main'")
    return value


def _parse_paths(location: str, value: object, depth: int) -> frozenset[str]:
    if not isinstance(value, list | tuple):
        raise _invalid_value(location, value, "a list of store paths")
    for number, item in enumerate(value):
        if not isinstance(item, str):
            raise _invalid_value(f"{location}[{number}]", item, "a store path")
    return frozenset(value)


def _parse_path_or_paths(location: str, value: object, depth: int) -> frozenset[str]:
    return frozenset((value,)) if isinstance(value, str) else _parse_paths(location, value, depth)


def _parse_split_points(location: str, value: object, depth: int) -> SplitPoints:
    if not isinstance(value, list | tuple):
        raise _invalid_value(location, value, "a list of store paths")
    paths: set[str] = set()
    parents: set[str] = set()
    for number, item in enumerate(value):
        if isinstance(item, str):
            paths.add(item)
        elif isinstance(item, dict) and list(item) == ["children_of"]:
            parents |= _parse_path_or_paths(f"{location}[{number}].children_of", item["children_of"], depth)
        else:
            raise _invalid_value(f"{location}[{number}]", item, 'a store path or {"children_of": PATHS}')
    return SplitPoints(frozenset(paths), frozenset(parents))


def _invalid_value(location: str, value: object, expected: str) -> InvalidArgument:
    return InvalidArgument(f"{location}: got {short_repr(value)}, expected {expected}")


@dataclass(frozen=True, slots=True)
class _Argument:
    kind: str
    parse: Callable[[str, object, int], Any]


@dataclass(frozen=True, slots=True)
class _Operation:
    run: Callable[..., Value]
    parameters: tuple[_Argument, ...] = ()


_COUNT = _Argument("a whole number above 0", _parse_count)
_PATHS = _Argument("a list of store paths", _parse_paths)
_STEP = _Argument("a call", _parse_call)
_OPERATIONS: Mapping[str, _Operation] = {
    "popularity_contest": _Operation(operations.popularity_contest),
    "reverse": _Operation(operations.reverse),
    "limit_layers": _Operation(operations.limit_layers, (_COUNT,)),
    "split_every": _Operation(operations.split_every, (_COUNT,)),
    "remove_paths": _Operation(operations.remove_paths, (_Argument("a list of store paths", _parse_path_or_paths),)),
    "subcomponent_out": _Operation(operations.subcomponent_out, (_PATHS,)),
    "subcomponent_in": _Operation(operations.subcomponent_in, (_PATHS,)),
    "split_paths": _Operation(operations.split_paths, (_Argument("a list of store paths", _parse_split_points),)),
    "over": _Operation(operations.over, (_Argument("a name", _parse_key), _STEP)),
    "map": _Operation(operations.each, (_STEP,)),
    "flatten": _Operation(operations.flatten),
    "pipe": _Operation(operations.pipe, (_Argument("a pipeline", _parse_pipe),)),
}
_MAX_NAME_LENGTH = max(map(len, _OPERATIONS))
