"""Protocols of stores: `Store` is what every store has, the others are capabilities that only some have."""

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
    """A source of store paths."""

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        """Return the path infos of those of ``paths`` that are valid in the store. Raises `StoreError`."""

    def nodes(self, path: StorePath) -> Iterable[Node]:
        """Return the nodes of ``path`` in NAR order. Raises `NotFound` before the first node, and `StoreError`."""


@runtime_checkable
class HasLocation(Protocol):
    """A store that knows where its paths are on this machine."""

    def location(self, path: StorePath) -> Location | None:
        """Return the location of ``path``, None if it is neither files nor a NAR. Raises `NotFound`."""


@runtime_checkable
class CanPrefetch(Protocol):
    """A store whose paths may have to be downloaded."""

    def prefetch(self, paths: Iterable[StorePath]) -> None:
        """Begin to download those of ``paths`` that are not local, in that order, in the background."""

    def is_local(self, path: StorePath) -> bool:
        """Return whether ``path`` can be read without waiting for a download."""


@runtime_checkable
class CanConfirmSources(Protocol):
    """A store that has several sources for a path."""

    def confirm_sources(self, infos: Iterable[PathInfo]) -> bool:
        """Download the paths of ``infos`` for which another source could take over if the download fails.

        Returns:
            Whether the path info of one of these paths changed, so that `Store.query` has new answers.
        """


@runtime_checkable
class PathIndex(Protocol):
    """A store that can look up its paths by name and by hash."""

    def find(self, name: str) -> tuple[StorePath, ...]:
        """Return the paths that ``name`` may mean (`lamina.core.name_match`), ascending."""

    def hashes(self) -> Collection[str]:
        """Return the hashes of all valid paths."""

    def with_hashes(self, hashes: Collection[str]) -> tuple[StorePath, ...]:
        """Return the paths that begin with one of ``hashes``."""


PathResult = PathInfo | Error | None
"""What a store answers for a path: its path info, the error if it failed, or None if it does not have the path."""


@runtime_checkable
class HasNarInfo(Protocol):
    """A store that has narinfos, or what amounts to them."""

    def narinfo(self, path: StorePath) -> NarInfo | None:
        """Return the narinfo of ``path``, None if the path is not valid."""


@runtime_checkable
class CanQueryEach(Protocol):
    """A store that can fail for one path and still answer for others."""

    def query_each(self, paths: Collection[StorePath]) -> Iterator[tuple[StorePath, PathResult]]:
        """Query ``paths`` concurrently and yield each answer as it arrives, in any order."""
