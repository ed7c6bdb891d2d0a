"""The graph: store paths, what they refer to, and all that a few of them need.

Invariant: a `Closure` holds every path that one of its paths refers to, has no cycle but a path's reference to
itself, and does not depend on the order in which it was found.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from lamina.core.names import StorePath
from lamina.core.pathinfo import PathInfo
from lamina.errors import NotFound, PlanError

Query = Callable[[Collection[StorePath]], Mapping[StorePath, PathInfo]]
"""Asks a store for many paths at once; those it has not are left out of the answer."""


@dataclass(frozen=True)
class Closure:
    """Paths and all they need, in ascending order of the path."""

    infos: tuple[PathInfo, ...]

    @classmethod
    def resolve(cls, roots: Iterable[StorePath], query: Query) -> Closure:
        """Everything that ``roots`` reach, asked of ``query`` one level of the graph at a time.

        Raises `NotFound` for a path the store has not, `PlanError` for a cycle.
        """
        found: dict[StorePath, PathInfo] = {}
        wanted = dict.fromkeys(roots, "a root")
        while wanted:
            answer = query(wanted.keys())
            for path, why in wanted.items():
                if path not in answer:
                    raise NotFound(f"{path}: got no such valid path in the store, expected it as {why}")
                found[path] = answer[path]
            wanted = {
                reference: f"a reference of {path}"
                for path in wanted
                for reference in sorted(found[path].references)
                if reference not in found
            }
        return cls.of(found.values())

    @classmethod
    def of(cls, infos: Iterable[PathInfo]) -> Closure:
        """The closure that ``infos`` are already; raises `NotFound` where one is missing, `PlanError` for a cycle."""
        closure = cls(tuple(sorted(infos, key=lambda info: info.path)))
        for info in closure.infos:
            for reference in info.references:
                if reference not in closure:
                    raise NotFound(
                        f"{reference}: got no such path in the graph, expected it as a reference of {info.path}"
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
        """The infos by their path."""
        return {info.path: info for info in self.infos}

    @cached_property
    def bottom_up(self) -> tuple[PathInfo, ...]:
        """Every path after all that it refers to (Kahn's algorithm); raises `PlanError` for a cycle."""
        waiting = {info.path: len(info.references - {info.path}) for info in self.infos}
        referrers = self.referrers
        ready = [path for path, count in waiting.items() if not count]
        order = []
        while ready:
            path = ready.pop()
            order.append(self.by_path[path])
            for user in referrers[path]:
                waiting[user] -= 1
                if not waiting[user]:
                    ready.append(user)
        if len(order) < len(self.infos):
            stuck = min(path for path, count in waiting.items() if count)
            raise PlanError(f"closure: got a cycle of references at or above {stuck}, expected none")
        return tuple(order)

    @cached_property
    def referrers(self) -> Mapping[StorePath, tuple[StorePath, ...]]:
        """By path: the other paths that refer to it, ascending."""
        referrers: dict[StorePath, list[StorePath]] = {info.path: [] for info in self.infos}
        for info in self.infos:
            for reference in info.references:
                if reference != info.path:
                    referrers[reference].append(info.path)
        return {path: tuple(referrers) for path, referrers in referrers.items()}
