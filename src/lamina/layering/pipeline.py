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
from lamina.errors import InvalidName, shown
from lamina.layering import operations
from lamina.layering.graph import Graph
from lamina.layering.operations import Marks, Value
from lamina.layering.plans import LayerPlan

_DEEPEST = 32
# A pipeline of more calls takes longer to run than the image does.
_MOST_LISTS = 10_000
_MOST = 2**31 - 1
_MOST_NAMED = 3
_EXAMPLE = '[["popularity_contest"], ["limit_layers", 100]]'


@dataclass(frozen=True, slots=True)
class Call:
    """An operation with its arguments, at its place in the pipeline."""

    place: str
    operation: str
    arguments: tuple[Any, ...]
    found: dict[str, set[str]] | None = field(default=None, compare=False, repr=False)
    """Where it is noted, by place, which of the paths that calls name they have found."""

    def __call__(self, value: Value) -> Value:
        """What the operation makes of ``value``; raises `InvalidName` where it cannot take that."""
        if self.found is not None and isinstance(value, Graph):
            infos = value.closure.infos
            here = {str(infos[vertex].path) for vertex in value.find(self.paths)}
            self.found.setdefault(self.place, set()).update(here)
        changed: Value = _OPERATIONS[self.operation].run(self.place, value, *self.arguments)
        return changed

    @property
    def paths(self) -> frozenset[str]:
        """All that the operation itself names as store paths."""
        named: frozenset[str] = frozenset()
        for argument in self.arguments:
            match argument:
                case Marks():
                    named |= argument.paths | argument.parents
                case frozenset():
                    named |= argument
        return named

    @property
    def nested(self) -> Iterator[Call]:
        """The call itself, and those in its arguments however deep."""
        yield self
        for argument in self.arguments:
            for call in argument.calls if isinstance(argument, Pipe) else [argument]:
                if isinstance(call, Call):
                    yield from call.nested

    def changed(self, path: Callable[[str], str], found: dict[str, set[str]] | None = None) -> Call:
        """Return the call with ``path`` applied to every store path that it names, however deep."""
        arguments = tuple(_changed(argument, path, found) for argument in self.arguments)
        return replace(self, arguments=arguments, found=found)


@dataclass(frozen=True, slots=True)
class Pipe:
    """A pipeline as an argument."""

    calls: tuple[Call, ...]

    def __call__(self, value: Value) -> Value:
        """What the calls make of ``value``, one after the other."""
        return _run(self.calls, value)


def _changed(argument: Any, path: Callable[[str], str], found: dict[str, set[str]] | None) -> Any:
    match argument:
        case Marks():
            return Marks(frozenset(map(path, argument.paths)), frozenset(map(path, argument.parents)))
        case frozenset():
            return frozenset(map(path, argument))
        case Call():
            return argument.changed(path, found)
        case Pipe():
            return Pipe(tuple(call.changed(path, found) for call in argument.calls))
    return argument


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Calls in their order; equal where their JSON is. A strategy: call it with a closure."""

    text: str
    calls: tuple[Call, ...] = field(compare=False, repr=False)

    @classmethod
    def parse(cls, value: object, subject: str = "layering") -> Pipeline:
        """The pipeline that ``value`` is: lists, texts, numbers and objects, as JSON has them.

        Raises `InvalidName` with the place of what is wrong, behind ``subject``.
        """
        _check_size(value, subject)
        calls = _calls(f"{subject}: ", value, 0)
        return cls(json.dumps(value), calls)

    def __str__(self) -> str:
        return self.text

    def with_paths(self, path: Callable[[str], str]) -> Pipeline:
        """Return the same pipeline with ``path`` applied to every store path that it names."""
        return replace(self, calls=tuple(call.changed(path) for call in self.calls))

    def __call__(
        self,
        closure: Closure,
        budget: int,
        ignored: Collection[StorePath],
        warn: Callable[[str], object] = len,
    ) -> tuple[LayerPlan, ...]:
        """The layers; ignored paths leave the graph before, as nixpkgs' exclude list does, and no budget is kept.

        ``warn`` is told of paths that an operation names and does not find. Raises `InvalidName` where an operation is
        given what it cannot take.
        """
        found: dict[str, set[str]] = {}
        calls = tuple(call.changed(str, found) for call in self.calls)
        graphs = tuple(operations.graphs_in(_run(calls, Graph.of(closure, frozenset(ignored)))))
        for call in (inner for outer in calls for inner in outer.nested):
            missed = sorted(call.paths - found.get(call.place, set()))
            if missed:
                more = f" and {len(missed) - _MOST_NAMED} more" if len(missed) > _MOST_NAMED else ""
                listed = ", ".join(map(shown, missed[:_MOST_NAMED]))
                warn(f"{call.place}: got {listed}{more}, which is not among the paths there, so it changes nothing")
        return tuple(_layer(graph.infos, graph.reason) for graph in graphs if len(graph))


def _layer(infos: tuple[PathInfo, ...], reason: str) -> LayerPlan:
    return LayerPlan.of(infos, reason)


def _run(calls: tuple[Call, ...], value: Value) -> Value:
    for call in calls:
        value = call(value)
    return value


# --- from JSON: each of these takes a place, a value, and how deep it lies


def _check_size(value: object, subject: str) -> None:
    """Raise `InvalidName` for a pipeline of too many lists, which is what its calls are."""
    level, count = [value] if _is_nested(value) else [], 0
    for _ in range(2 * _DEEPEST):  # what is nested deeper is refused as such
        inner = [item.values() if isinstance(item, Mapping) else item for item in level]
        level = [part for parts in inner if isinstance(parts, Iterable) for part in parts if _is_nested(part)]
        count += len(level)
        if count > _MOST_LISTS:
            raise InvalidName(f"{subject}: got more than {_MOST_LISTS} lists, expected fewer calls")


def _is_nested(value: object) -> bool:
    return isinstance(value, (list, tuple, Mapping))


def _calls(place: str, value: object, depth: int) -> tuple[Call, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(place.removesuffix(": "), value, f"a list of calls such as {_EXAMPLE}")
    return tuple(_call(f"{place}[{number}]", item, depth) for number, item in enumerate(value))


def _call(place: str, value: object, depth: int) -> Call:
    if depth > _DEEPEST:
        raise InvalidName(f"{place}: got calls nested deeper than {_DEEPEST}, expected fewer")
    if not isinstance(value, list | tuple) or not value or not isinstance(value[0], str):
        raise _wrong(place, value, 'a call, a list that begins with an operation such as ["reverse"]')
    name, *given = value
    if name not in _OPERATIONS:
        known = ", ".join(_OPERATIONS)
        raise InvalidName(f"{place}: got operation {shown(name)}, expected one of {known}{_meant(name)}")
    place = f"{place} {name}"
    takes = _OPERATIONS[name].takes
    if len(given) != len(takes):
        expected = " and ".join(argument.kind for argument in takes) or "none"
        raise InvalidName(f"{place}: got {len(given)} argument{'s' * (len(given) != 1)}, expected {expected}")
    numbered = enumerate(zip(takes, given, strict=True), 1)
    parsed = tuple(argument.parse(f"{place}: [{number}]", item, depth + 1) for number, (argument, item) in numbered)
    return Call(place, name, parsed)


def _meant(name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name[:_LONGEST_NAME].lower().replace("-", "_"), _OPERATIONS, 1, 0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _pipe(place: str, value: object, depth: int) -> Pipe:
    return Pipe(_calls(place, value, depth))


def _count(place: str, value: object, depth: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _MOST:
        raise _wrong(place, value, f"a whole number from 1 to {_MOST}")
    return value


def _key(place: str, value: object, depth: int) -> str:
    if not isinstance(value, str):
        raise _wrong(place, value, "a name such as 'main'")
    return value


def _paths(place: str, value: object, depth: int) -> frozenset[str]:
    if not isinstance(value, list | tuple):
        raise _wrong(place, value, "a list of store paths")
    for number, item in enumerate(value):
        if not isinstance(item, str):
            raise _wrong(f"{place}[{number}]", item, "a store path")
    return frozenset(value)


def _path_or_paths(place: str, value: object, depth: int) -> frozenset[str]:
    return frozenset((value,)) if isinstance(value, str) else _paths(place, value, depth)


def _marks(place: str, value: object, depth: int) -> Marks:
    if not isinstance(value, list | tuple):
        raise _wrong(place, value, "a list of store paths")
    paths: set[str] = set()
    parents: set[str] = set()
    for number, item in enumerate(value):
        if isinstance(item, str):
            paths.add(item)
        elif isinstance(item, dict) and list(item) == ["children_of"]:
            parents |= _path_or_paths(f"{place}[{number}].children_of", item["children_of"], depth)
        else:
            raise _wrong(f"{place}[{number}]", item, 'a store path or {"children_of": PATHS}')
    return Marks(frozenset(paths), frozenset(parents))


def _wrong(place: str, value: object, expected: str) -> InvalidName:
    return InvalidName(f"{place}: got {shown(value)}, expected {expected}")


@dataclass(frozen=True, slots=True)
class _Argument:
    kind: str
    parse: Callable[[str, object, int], Any]


@dataclass(frozen=True, slots=True)
class _Operation:
    run: Callable[..., Value]
    takes: tuple[_Argument, ...] = ()


_COUNT = _Argument("a whole number above 0", _count)
_PATHS = _Argument("a list of store paths", _paths)
_STEP = _Argument("a call", _call)
_OPERATIONS: Mapping[str, _Operation] = {
    "popularity_contest": _Operation(operations.popularity_contest),
    "reverse": _Operation(operations.reverse),
    "limit_layers": _Operation(operations.limit_layers, (_COUNT,)),
    "split_every": _Operation(operations.split_every, (_COUNT,)),
    "remove_paths": _Operation(operations.remove_paths, (_Argument("a list of store paths", _path_or_paths),)),
    "subcomponent_out": _Operation(operations.subcomponent_out, (_PATHS,)),
    "subcomponent_in": _Operation(operations.subcomponent_in, (_PATHS,)),
    "split_paths": _Operation(operations.split_paths, (_Argument("a list of store paths", _marks),)),
    "over": _Operation(operations.over, (_Argument("a name", _key), _STEP)),
    "map": _Operation(operations.each, (_STEP,)),
    "flatten": _Operation(operations.flatten),
    "pipe": _Operation(operations.pipe, (_Argument("a pipeline", _pipe),)),
}
_LONGEST_NAME = max(map(len, _OPERATIONS))
