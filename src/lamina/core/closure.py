"""Closures: store paths together with everything that they refer to, directly or indirectly.

Invariant: a `Closure` contains every path that one of its paths refers to. The references form no cycle, except that a
path may refer to itself. The order in which the paths were found makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from lamina.core.names import StorePath
from lamina.core.pathinfo import PathInfo
from lamina.core.topological_order import sort_topologically
from lamina.errors import NotFound, PlanError
from lamina.messages.sizes import format_size

Query = Callable[[Collection[StorePath]], Mapping[StorePath, PathInfo]]
"""A function that queries a store for many paths at once. The result leaves out paths that the store lacks."""


@dataclass(frozen=True)
class Closure:
    """Store paths with all their direct and indirect references, sorted by path.

    Attributes:
        infos: the path infos, in the order of their paths.
    """

    infos: tuple[PathInfo, ...]

    def __repr__(self) -> str:
        return f"<Closure: {len(self)} paths, {format_size(sum(info.nar_size for info in self))}>"

    @classmethod
    def resolve(cls, roots: Iterable[StorePath], query: Query) -> Closure:
        """Find everything that ``roots`` reach, with one call of ``query`` for each level of the graph.

        Args:
            roots: the paths to begin with.
            query: returns the path infos of many paths, such as `Store.query`.

        Returns:
            The roots and all that they refer to, directly or not.

        Raises:
            NotFound: the store lacks a path.
            PlanError: the references form a cycle.
        """
        found: dict[StorePath, PathInfo] = {}
        wanted = dict.fromkeys(roots, "one that was built or downloaded")
        while wanted:
            infos = query(wanted.keys())
            for path, why in wanted.items():
                if path not in infos:
                    raise NotFound(path, "no such valid path in the store", why)
                found[path] = infos[path]
            wanted = {
                reference: f"it, because {path} refers to it"
                for path in wanted
                for reference in sorted(found[path].references)
                if reference not in found
            }
        return cls.of(found.values())

    @classmethod
    def of(cls, infos: Iterable[PathInfo]) -> Closure:
        """Make a closure of ``infos``, which must be complete and can be in any order.

        Args:
            infos: the path infos; every reference of one is another of them, or itself.

        Returns:
            The closure, sorted by path.

        Raises:
            NotFound: a reference is missing.
            PlanError: the references form a cycle.
        """
        closure = cls(tuple(sorted(infos, key=lambda info: info.path)))
        known = frozenset(closure.numbers)
        for info in closure.infos:
            if not info.references <= known:
                reference = min(info.references - known)
                raise NotFound(reference, "no such path in the graph", f"it, because {info.path} refers to it")
        if len(closure.order) < len(closure):
            stuck = closure.infos[min({*closure.numbers.values()}.difference(closure.order))].path
            raise PlanError("closure", f"a cycle of references at or above {stuck}", "none")
        return closure

    def __contains__(self, path: StorePath) -> bool:
        return path in self.numbers

    def __iter__(self) -> Iterator[PathInfo]:
        return iter(self.infos)

    def __len__(self) -> int:
        return len(self.infos)

    @cached_property
    def numbers(self) -> Mapping[StorePath, int]:
        """The number of each path: its index in ``infos``."""
        return {info.path: number for number, info in enumerate(self.infos)}

    @cached_property
    def references(self) -> Sequence[Sequence[int]]:
        """For each path number, the numbers of the other paths that it refers to, in no particular order."""
        return [[self.numbers[reference] for reference in info.references - {info.path}] for info in self.infos]

    @cached_property
    def referrers(self) -> Sequence[Sequence[int]]:
        """For each path number, the numbers of the other paths that refer to it, ascending."""
        referrers: list[list[int]] = [[] for _ in self.infos]
        for number, references in enumerate(self.references):
            for reference in references:
                referrers[reference].append(number)
        return referrers

    @cached_property
    def order(self) -> Sequence[int]:
        """The path numbers in topological order: each path comes after all paths that it refers to."""
        return sort_topologically(dict(enumerate(self.references)))

    @cached_property
    def bottom_up(self) -> tuple[PathInfo, ...]:
        """The paths in topological order."""
        return tuple(self.infos[number] for number in self.order)
