"""Layering pipelines: operations, given as data, that divide a closure into layers; dockerTools' ``layeringPipeline``.

Definition: a pipeline is a list of calls, and a call is a list of an operation's name and its arguments. The input of
the first call is the graph of the whole closure, and the input of each other call is the result of the call before it.
Every graph in the last result that is not empty becomes a layer, with its paths in the order of the vertices (nixpkgs:
flattenReferencesGraph).

Messages refer to a location in a pipeline by indexes from 0, as JSON pointers do: ``[2] over: [2] limit_layers`` is the
operation ``limit_layers`` at index 2 of the call of ``over``, which is the call at index 2.

Worked example: A(2)→C(6)  B(4)→C,D(8) with the pipeline ``[["split_paths", ["B"]]]`` gives [B D] [C] [A]: B and the
dependencies that only B has, the dependencies that B shares with others, and the rest.

Invariant: a `Pipeline` contains only known operations with valid arguments, and puts no path in two layers.
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
from lamina.messages.suggestions import format_suggestion

_MAX_DEPTH = 32
# A pipeline with more calls than this would take longer to run than building the image.
_MAX_LISTS = 10_000
_MAX_COUNT = 2**31 - 1
_MAX_LISTED = 3
_EXAMPLE = '[["popularity_contest"], ["limit_layers", 100]]'


@dataclass(frozen=True, slots=True)
class Call:
    """An operation with its arguments, at its location in the pipeline."""

    location: str
    operation: str
    arguments: tuple[Any, ...]
    found_paths: dict[str, set[str]] | None = field(default=None, compare=False, repr=False)
    """If this is set, each call records under its location which of its paths it has found."""

    def __call__(self, value: Value) -> Value:
        """Run the operation on ``value``; raise `InvalidArgument` if it cannot take such a value."""
        if self.found_paths is not None and isinstance(value, Graph):
            infos = value.closure.infos
            here = {str(infos[vertex].path) for vertex in value.find(self.paths)}
            self.found_paths.setdefault(self.location, set()).update(here)
        result: Value = _OPERATIONS[self.operation].run(self.location, value, *self.arguments)
        return result

    @property
    def paths(self) -> frozenset[str]:
        """The store paths that the arguments name, without those of nested calls."""
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
        """The call itself and the calls in its arguments, at any depth."""
        yield self
        for argument in self.arguments:
            for call in argument.calls if isinstance(argument, Pipe) else [argument]:
                if isinstance(call, Call):
                    yield from call.nested_calls

    def map_paths(self, convert: Callable[[str], str], found_paths: dict[str, set[str]] | None = None) -> Call:
        """Return the call with ``convert`` applied to every store path that it names, at any depth."""
        arguments = tuple(_map_paths(argument, convert, found_paths) for argument in self.arguments)
        return replace(self, arguments=arguments, found_paths=found_paths)


@dataclass(frozen=True, slots=True)
class Pipe:
    """A pipeline that is the argument of a call."""

    calls: tuple[Call, ...]

    def __call__(self, value: Value) -> Value:
        """Run the calls on ``value``, one after the other."""
        return _run(self.calls, value)


def _map_paths(argument: Any, convert: Callable[[str], str], found_paths: dict[str, set[str]] | None) -> Any:
    match argument:
        case SplitPoints():
            return SplitPoints(frozenset(map(convert, argument.paths)), frozenset(map(convert, argument.parents)))
        case frozenset():
            return frozenset(map(convert, argument))
        case Call():
            return argument.map_paths(convert, found_paths)
        case Pipe():
            return Pipe(tuple(call.map_paths(convert, found_paths) for call in argument.calls))
    return argument


def _dump(argument: Any) -> Any:
    match argument:
        case Call():
            return [argument.operation, *map(_dump, argument.arguments)]
        case Pipe():
            return list(map(_dump, argument.calls))
        case SplitPoints():
            return [*sorted(argument.paths), *({"children_of": parent} for parent in sorted(argument.parents))]
        case frozenset():
            return sorted(argument)
    return argument


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A layering strategy that is a list of calls; two pipelines are equal if their JSON is.

    Attributes:
        text: its JSON.
        calls: its operations, in order.
    """

    text: str
    calls: tuple[Call, ...] = field(compare=False, repr=False)

    @classmethod
    def parse(cls, value: object, subject: str = "layering") -> Pipeline:
        """Parse a pipeline from lists, texts, numbers and objects, as JSON has them.

        Raises `InvalidArgument` with ``subject`` and the location of the mistake.
        """
        _check_size(value, subject)
        calls = _parse_calls(f"{subject}: ", value, 0)
        return cls(json.dumps(value), calls)

    def __str__(self) -> str:
        return self.text

    def dump(self) -> list[Any]:
        """Return the calls as lists, with every store path as `with_paths` left it; sets of paths are sorted."""
        return [_dump(call) for call in self.calls]

    def with_paths(self, convert: Callable[[str], str]) -> Pipeline:
        """Return the pipeline with ``convert`` applied to every store path that it names."""
        return replace(self, calls=tuple(call.map_paths(convert) for call in self.calls))

    def __call__(
        self,
        closure: Closure,
        budget: int,
        ignored: Collection[StorePath],
        warn: Callable[[str], object],
    ) -> tuple[LayerPlan, ...]:
        """Plan the layers of ``closure``.

        Args:
            closure: the paths to divide.
            budget: not used; the operations alone decide how many layers there are.
            ignored: paths to remove from the graph first, as nixpkgs' exclude list does.
            warn: called with a message about paths that an operation names but does not find.

        Raises:
            InvalidArgument: an operation cannot take the value it is called with.
        """
        found_paths: dict[str, set[str]] = {}
        calls = tuple(call.map_paths(str, found_paths) for call in self.calls)
        graphs = tuple(operations.graphs_in(_run(calls, Graph.of(closure, frozenset(ignored)))))
        for call in (inner for outer in calls for inner in outer.nested_calls):
            missing = sorted(call.paths - found_paths.get(call.location, set()))
            if missing:
                more = f" and {len(missing) - _MAX_LISTED} more" if len(missing) > _MAX_LISTED else ""
                listed = ", ".join(map(short_repr, missing[:_MAX_LISTED]))
                warn(f"{call.location}: got {listed}{more}, which is not among the paths there, so it changes nothing")
        return tuple(_make_plan(graph.infos, graph.reason) for graph in graphs if len(graph))


def _make_plan(infos: tuple[PathInfo, ...], reason: str) -> LayerPlan:
    return LayerPlan.of(infos, reason)


def _run(calls: tuple[Call, ...], value: Value) -> Value:
    for call in calls:
        value = call(value)
    return value


# --- Parsing of JSON. Each function takes the location of a value, the value, and its depth.


def _check_size(value: object, subject: str) -> None:
    """Raise `InvalidArgument` for a pipeline with too many lists. Calls are lists, so this limits their number."""
    level, count = [value] if _is_nested(value) else [], 0
    for _ in range(2 * _MAX_DEPTH):  # _parse_call refuses deeper nesting
        inner = [item.values() if isinstance(item, Mapping) else item for item in level]
        level = [part for parts in inner if isinstance(parts, Iterable) for part in parts if _is_nested(part)]
        count += len(level)
        if count > _MAX_LISTS:
            raise InvalidArgument(subject, f"more than {_MAX_LISTS} lists", "fewer calls")


def _is_nested(value: object) -> bool:
    return isinstance(value, (list, tuple, Mapping))


def _parse_calls(location: str, value: object, depth: int) -> tuple[Call, ...]:
    if not isinstance(value, list | tuple):
        raise _invalid_value(location.removesuffix(": "), value, f"a list of calls such as {_EXAMPLE}")
    return tuple(_parse_call(f"{location}[{number}]", item, depth) for number, item in enumerate(value))


def _parse_call(location: str, value: object, depth: int) -> Call:
    if depth > _MAX_DEPTH:
        raise InvalidArgument(location, f"calls nested more than {_MAX_DEPTH} levels deep", "fewer levels")
    if not isinstance(value, list | tuple) or not value or not isinstance(value[0], str):
        raise _invalid_value(location, value, 'a call, a list that begins with an operation such as ["reverse"]')
    name, *arguments = value
    if name not in _OPERATIONS:
        expected, hint = f"one of {', '.join(_OPERATIONS)}", format_suggestion(name, _OPERATIONS)
        raise InvalidArgument(location, f"operation {short_repr(name)}", expected, hint=hint)
    location = f"{location} {name}"
    parameters = _OPERATIONS[name].parameters
    if len(arguments) != len(parameters):
        expected = " and ".join(argument.kind for argument in parameters) or "none"
        raise InvalidArgument(location, f"{len(arguments)} argument{'s' * (len(arguments) != 1)}", expected)
    numbered = enumerate(zip(parameters, arguments, strict=True), 1)
    parsed = tuple(argument.parse(f"{location}: [{number}]", item, depth + 1) for number, (argument, item) in numbered)
    return Call(location, name, parsed)


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
    return InvalidArgument(location, short_repr(value), expected)


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
