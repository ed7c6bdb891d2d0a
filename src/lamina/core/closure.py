"""Closures: some store paths together with everything that they refer to, directly or not.

Invariant: a `Closure` contains every path that one of its paths refers to. It has no cycle other than a path's
reference to itself, and does not depend on the order in which its paths were found.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from lamina.core.names import StorePath
from lamina.core.pathinfo import PathInfo
from lamina.errors import NotFound, PlanError

Query = Callable[[Collection[StorePath]], Mapping[StorePath, PathInfo]]
"""Queries a store for many paths at once; the result leaves out paths that the store lacks."""


@dataclass(frozen=True)
class Closure:
    """Store paths with all that they need, sorted by path."""

    infos: tuple[PathInfo, ...]

    @classmethod
    def resolve(cls, roots: Iterable[StorePath], query: Query) -> Closure:
        """Find everything that ``roots`` reach, with one call of ``query`` for each level of the graph.

        Raises:
            NotFound: the store lacks a path.
            PlanError: the references form a cycle.
        """
        found: dict[StorePath, PathInfo] = {}
        wanted = dict.fromkeys(roots, "a root")
        while wanted:
            infos = query(wanted.keys())
            for path, why in wanted.items():
                if path not in infos:
                    raise NotFound(path, got="no such valid path in the store", expected=f"it as {why}")
                found[path] = infos[path]
            wanted = {
                reference: f"a reference of {path}"
                for path in wanted
                for reference in sorted(found[path].references)
                if reference not in found
            }
        return cls.of(found.values())

    @classmethod
    def of(cls, infos: Iterable[PathInfo]) -> Closure:
        """Make a closure of ``infos``, which must be complete, in any order.

        Raises:
            NotFound: a reference is missing.
            PlanError: the references form a cycle.
        """
        closure = cls(tuple(sorted(infos, key=lambda info: info.path)))
        for info in closure.infos:
            for reference in info.references:
                if reference not in closure:
                    raise NotFound(
                        reference, got="no such path in the graph", expected=f"it as a reference of {info.path}"
                    )
        closure.bottom_up  # noqa: B018 - finds the cycles
        return closure

    def __contains__(self, path: StorePath) -> bool:
        return path in self.by_path

    def __iter__(self) -> Iterator[PathInfo]:
        return iter(self.infos)

    def __len__(self) -> int:
        return len(self.infos)

    @cached_property
    def by_path(self) -> Mapping[StorePath, PathInfo]:
        """The path infos by path."""
        return {info.path: info for info in self.infos}

    @cached_property
    def bottom_up(self) -> tuple[PathInfo, ...]:
        """The paths in topological order, each after all that it refers to; raises `PlanError` for a cycle."""
        # Kahn's algorithm: count the references of each path that are not placed yet.
        waiting = {info.path: len(info.references - {info.path}) for info in self.infos}
        referrers = self.referrers
        ready = [path for path, count in waiting.items() if not count]
        order = []
        while ready:
            path = ready.pop()
            order.append(self.by_path[path])
            for referrer in referrers[path]:
                waiting[referrer] -= 1
                if not waiting[referrer]:
                    ready.append(referrer)
        if len(order) < len(self.infos):
            stuck = min(path for path, count in waiting.items() if count)
            raise PlanError("closure", got=f"a cycle of references at or above {stuck}", expected="none")
        return tuple(order)

    @cached_property
    def referrers(self) -> Mapping[StorePath, tuple[StorePath, ...]]:
        """For each path, the other paths that refer to it, in ascending order."""
        referrers_by_path: dict[StorePath, list[StorePath]] = {info.path: [] for info in self.infos}
        for info in self.infos:
            for reference in info.references:
                if reference != info.path:
                    referrers_by_path[reference].append(info.path)
        return {path: tuple(referrers) for path, referrers in referrers_by_path.items()}
