"""Layers that the user lists: each list of patterns takes store paths for a layer of its own.

A pattern is the name of a package or a store path's name after the hash, with ``*``, ``?`` and ``[…]`` as in a shell;
or a whole store path. With ``^*`` at its end, a pattern also takes everything that the matching paths refer to. ``^*``
means all of a package in Nix too (Nix manual, "Installables").

Invariant: a path goes to the first list that takes it.

    >>> PathPattern.parse("python3^*")
    PathPattern(text='python3', takes_closure=True)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import translate
from functools import reduce
from operator import or_

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.errors import InvalidArgument, error_context
from lamina.layering.plans import LayerPlan
from lamina.layering.reach import Reachability, iter_bits
from lamina.messages.redaction import join_names, short_repr

_CLOSURE = "^*"
# The characters of the names of store paths, and those that have a meaning in a pattern.
_PATTERN = re.compile(r"[0-9A-Za-z+._?=*\[\]!^-]{1,250}")
_EXPECTED = "patterns on package names, such as python3, numpy-* or python3^*"


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A pattern on the names of store paths.

    Attributes:
        text: the pattern, without the ``^*`` at its end.
        takes_closure: whether it also takes everything that the matching paths refer to.
    """

    text: str
    takes_closure: bool = False

    @classmethod
    def parse(cls, text: str, subject: str = "layers") -> PathPattern:
        """Parse a pattern. Raises `InvalidArgument`, with ``subject``, if it can match no store path."""
        pattern = text.removesuffix(_CLOSURE)
        if pattern.startswith("/"):
            with error_context(subject, InvalidArgument):
                StorePath.parse(pattern)
        elif not _PATTERN.fullmatch(pattern):
            raise InvalidArgument(subject, short_repr(text), _EXPECTED)
        return cls(pattern, text.endswith(_CLOSURE))

    def __str__(self) -> str:
        return self.text + (_CLOSURE if self.takes_closure else "")

    def find(self, closure: Closure) -> tuple[int, ...]:
        """Return the numbers of the paths that match, without what they refer to."""
        if self.text.startswith("/"):
            number = closure.numbers.get(StorePath.parse(self.text))
            return () if number is None else (number,)
        matches = re.compile(translate(self.text)).match
        paths = ((number, info.path) for number, info in enumerate(closure))
        return tuple(number for number, path in paths if matches(path.package) or matches(path.name))


LayerLists = Sequence[Sequence[str]]
"""For each layer its patterns, as `PathPattern.parse` takes them."""


@dataclass(frozen=True, slots=True)
class ListedLayers:
    """The layers that lists of patterns make of a closure.

    Attributes:
        plans: a layer for each list that takes a path, in the order of the lists; its paths have the order of the
            closure.
        paths: the paths that are in one of them.
    """

    plans: tuple[LayerPlan, ...] = ()
    paths: frozenset[StorePath] = frozenset()


def find_listed(
    closure: Closure,
    lists: LayerLists,
    ignored: Collection[StorePath],
    warn: Callable[[str], object],
) -> ListedLayers:
    """Give the paths of ``closure`` to the first list that takes them.

    Args:
        closure: the paths of the image.
        lists: the patterns of each layer.
        ignored: paths that go into no layer.
        warn: called with a message about the patterns that match no path.

    Returns:
        The layers.

    Raises:
        InvalidArgument: a pattern can match no store path.
    """
    parsed = [tuple(map(PathPattern.parse, patterns)) for patterns in lists]
    reach = Reachability.of(closure) if any(pattern.takes_closure for each in parsed for pattern in each) else None
    taken = sum(1 << closure.numbers[path] for path in {*ignored} if path in closure)
    plans: list[LayerPlan] = []
    paths: set[StorePath] = set()
    unmatched: list[str] = []
    for patterns in parsed:
        masks = {pattern: select_paths(pattern, closure, reach) for pattern in patterns}
        unmatched += [str(pattern) for pattern, mask in masks.items() if not mask]
        mask = reduce(or_, masks.values(), 0)
        infos = [closure.infos[number] for number in iter_bits(mask & ~taken)]
        taken |= mask
        if infos:
            plans.append(LayerPlan.of(infos, f"listed: {', '.join(map(str, patterns))}"))
            paths.update(info.path for info in infos)
    warn_of_unmatched("layers", unmatched, closure, warn)
    return ListedLayers(tuple(plans), frozenset(paths))


def warn_of_unmatched(subject: str, unmatched: Sequence[str], closure: Closure, warn: Callable[[str], object]) -> None:
    """Call ``warn`` with one message about the patterns that match no path of ``closure``, if there are any."""
    if unmatched:
        verb, it = ("matches", "it changes") if len(unmatched) == 1 else ("match", "they change")
        warn(f"{subject}: {join_names(unmatched)} {verb} none of the {len(closure)} store paths, so {it} nothing")


def select_paths(pattern: PathPattern, closure: Closure, reach: Reachability | None) -> int:
    """Return the paths that ``pattern`` takes as a bit mask; ``reach`` is needed if it takes their closures."""
    mask = 0
    for number in pattern.find(closure):
        mask |= 1 << number
        if reach and pattern.takes_closure:
            mask |= reach.dependencies[number]
    return mask


def contract(closure: Closure, removed: Collection[StorePath]) -> Closure:
    """Return ``closure`` without ``removed`` paths.

    Referrers of a removed path refer to its references instead. So a path still reaches all other paths that it reached
    before.
    """
    reached: dict[StorePath, frozenset[StorePath]] = {}
    kept = []
    for info in closure.bottom_up:
        references = _replace_removed(info.references - {info.path}, reached)
        if info.path in removed:
            reached[info.path] = references
        else:
            kept.append(replace(info, references=references))
    return Closure.of(kept)


def _replace_removed(
    references: Iterable[StorePath], reached: dict[StorePath, frozenset[StorePath]]
) -> frozenset[StorePath]:
    return frozenset(path for reference in references for path in reached.get(reference, (reference,)))
