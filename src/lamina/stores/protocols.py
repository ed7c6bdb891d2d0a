"""What the rest of lamina asks of a store, and what only some stores can answer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Protocol, runtime_checkable

from lamina.core.names import StorePath
from lamina.core.nodes import Node
from lamina.core.pathinfo import PathInfo
from lamina.errors import Error
from lamina.formats.narinfo import NarInfo
from lamina.system.locations import Location


class Store(Protocol):
    """Where store paths come from."""

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        """What is known of ``paths``; those that are not valid here are left out. Raises `StoreError`."""

    def nodes(self, path: StorePath) -> Iterable[Node]:
        """What ``path`` is made of, in NAR order. Raises `NotFound` before it gives a node, and `StoreError`."""


@runtime_checkable
class HasLocation(Protocol):
    """What a store can tell whose paths lie on this machine."""

    def location(self, path: StorePath) -> Location | None:
        """Where ``path`` lies, None where that is neither as files nor as a NAR. Raises `NotFound`."""


@runtime_checkable
class CanPrefetch(Protocol):
    """What a store can do whose paths have to come from elsewhere first."""

    def prefetch(self, paths: Iterable[StorePath]) -> None:
        """Has those of ``paths`` come that are not here, in that order, while the caller does something else."""

    def is_local(self, path: StorePath) -> bool:
        """Whether nobody would wait for ``path``."""


@runtime_checkable
class CanConfirmSources(Protocol):
    """What a store can do that has several to take a path from."""

    def confirm_sources(self, infos: Iterable[PathInfo]) -> bool:
        """Have the contents of ``infos`` here wherever another store might have to give them.

        Tell whether something else is known of one of these paths now, so that `Store.query` has new answers.
        """


@runtime_checkable
class PathIndex(Protocol):
    """What a store on this machine can tell beyond what a `Store` must."""

    def find(self, name: str) -> tuple[StorePath, ...]:
        """The paths that ``name`` may mean, ascending."""

    def hashes(self) -> Collection[str]:
        """The hashes of all valid paths."""

    def with_hashes(self, hashes: Collection[str]) -> tuple[StorePath, ...]:
        """The paths that begin with one of ``hashes``."""


PathResult = PathInfo | Error | None


@runtime_checkable
class HasNarInfo(Protocol):
    """A store that knows of a path what a binary cache says."""

    def narinfo(self, path: StorePath) -> NarInfo | None:
        """Give all that is known of ``path``; None where it is not valid."""


@runtime_checkable
class CanQueryEach(Protocol):
    """A store that can fail for one path and still give others."""

    def query_each(self, paths: Collection[StorePath]) -> Iterator[tuple[StorePath, PathResult]]:
        """Ask for ``paths`` at once, and give each answer as it comes, in any order."""
