"""The base class of stores, and the adapter for a caller's own objects.

Every store has `Store.query` and `Store.nodes`. Each optional capability is a method whose default suits stores without
the capability, so no code has to ask which kind of store it has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from lamina.core.names import StorePath
from lamina.core.nodes import Node
from lamina.core.pathinfo import PathInfo
from lamina.errors import Error
from lamina.formats.narinfo import NarInfo
from lamina.stores.mention_lookup import match_by_hash, match_by_prefix
from lamina.system.locations import Location

PathResult = PathInfo | Error | None
"""A store's answer for a path: its path info, the error if the store failed, or None if it does not have the path."""


class Store(ABC):
    """A source of store paths.

    A subclass implements `query` and `nodes`. It overrides the methods for its other capabilities: say where its paths
    are on this machine, find paths by name or hash, download paths, return narinfos. Functions that take a store also
    accept an object of any other class that has `query` and `nodes`.

    Attributes:
        has_contents: Whether the store has the contents of its valid paths. A closure graph only has path infos.
        has_index: Whether `find`, `names`, `hashes` and `with_hashes` know all its valid paths.
        is_binary_cache: Whether the store has a narinfo and a NAR for each of its paths, and can fail for one path and
            still answer for the others.
    """

    __slots__ = ()
    has_contents = True
    has_index = False
    is_binary_cache = False

    @property
    def label(self) -> str:
        """The name of the store in messages."""
        return "a store of the caller"

    @abstractmethod
    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        """Return the path infos of those of ``paths`` that are valid in the store. Raises `StoreError`."""

    @abstractmethod
    def nodes(self, path: StorePath) -> Iterable[Node]:
        """Return the nodes of ``path`` in NAR order. Raises `NotFound` before the first node, and `StoreError`."""

    def query_each(self, paths: Collection[StorePath]) -> Iterator[tuple[StorePath, PathResult]]:
        """Query ``paths``, concurrently if possible, and yield each answer as it arrives, in any order."""
        yield from self.query(paths).items()

    def location(self, path: StorePath) -> Location | None:
        """Return where ``path`` is on this machine, None if it is neither files nor a NAR. Raises `NotFound`."""
        return None

    def narinfo(self, path: StorePath) -> NarInfo | None:
        """Return the narinfo of ``path``, None if the path is not valid or the store has no narinfos."""
        return None

    # --- names

    def find(self, name: str) -> tuple[StorePath, ...]:
        """Return the paths that ``name`` may mean (`lamina.core.name_match`), ascending; none if unknown."""
        return ()

    def names(self) -> Collection[str]:
        """Return the names of all valid paths, without their hashes; none without an index."""
        return frozenset()

    def hashes(self) -> Collection[str]:
        """Return the hashes of all valid paths; none without an index."""
        return frozenset()

    def with_hashes(self, hashes: Collection[str]) -> tuple[StorePath, ...]:
        """Return the valid paths that begin with one of ``hashes``; none if unknown."""
        return ()

    def find_hash(self, hash_part: str) -> tuple[StorePath, ...]:
        """Return the valid paths that begin with a hash. A server that has no index may be asked for that."""
        return self.with_hashes((hash_part,))

    def resolve_mentions(self, mentions: Collection[StorePath]) -> Mapping[StorePath, StorePath]:
        """Find the valid path that each of ``mentions`` means (`lamina.stores.mention_lookup`).

        Args:
            mentions: Paths as they occur in a text, each with all following characters that could belong to its name.

        Returns:
            The valid paths by mention, without mentions that mean no path of the store.

        Raises:
            StoreError: The store cannot be read.
        """
        if not mentions:
            return {}
        if self.has_index:
            return match_by_hash(mentions, self.with_hashes({path.hash for path in mentions}))
        return match_by_prefix(mentions, self.query)

    # --- downloads

    def prefetch(self, paths: Iterable[StorePath]) -> None:  # noqa: B027 - most stores have nothing to download
        """Start downloading those of ``paths`` that are not local, in that order, in the background."""

    def is_local(self, path: StorePath) -> bool:
        """Return whether ``path`` can be read without waiting for a download."""
        return True

    def confirm_sources(self, infos: Iterable[PathInfo]) -> bool:
        """Download the paths of ``infos`` for which another source could take over if the download fails.

        Returns:
            Whether the path info of one of these paths changed, so that `query` has new answers.
        """
        return False


@runtime_checkable
class StoreLike(Protocol):
    """Any object with the two methods that every store has; its class need not be a subclass of `Store`."""

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        """Do what `Store.query` does."""

    def nodes(self, path: StorePath) -> Iterable[Node]:
        """Do what `Store.nodes` does."""


def adapt_store(store: StoreLike) -> Store:
    """Return ``store`` as a `Store`."""
    return store if isinstance(store, Store) else _AdaptedStore(store)


@dataclass(frozen=True, slots=True)
class _AdaptedStore(Store):
    """A `Store` that calls an object of the caller."""

    store: StoreLike

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        return self.store.query(paths)

    def nodes(self, path: StorePath) -> Iterable[Node]:
        return self.store.nodes(path)


class WrappedStore(Store):
    """Passes every call on to ``store``. A subclass changes some of the methods."""

    __slots__ = ("_store",)

    def __init__(self, store: Store) -> None:
        self._store = store

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        """Return the path infos of those of ``paths`` that the store has."""
        return self._store.query(paths)

    def nodes(self, path: StorePath) -> Iterable[Node]:
        """Return the nodes that the store has of ``path``."""
        return self._store.nodes(path)

    def narinfo(self, path: StorePath) -> NarInfo | None:
        """Return the narinfo that the store has of ``path``."""
        return self._store.narinfo(path)

    def location(self, path: StorePath) -> Location | None:
        """Return where the store has ``path``."""
        return self._store.location(path)

    def find(self, name: str) -> tuple[StorePath, ...]:
        """Return the paths of the store that ``name`` may mean."""
        return self._store.find(name)

    def names(self) -> Collection[str]:
        """Return the names of all valid paths of the store."""
        return self._store.names()

    def hashes(self) -> Collection[str]:
        """Return the hashes of all valid paths of the store."""
        return self._store.hashes()

    def with_hashes(self, hashes: Collection[str]) -> tuple[StorePath, ...]:
        """Return the paths of the store that begin with one of ``hashes``."""
        return self._store.with_hashes(hashes)

    def find_hash(self, hash_part: str) -> tuple[StorePath, ...]:
        """Return the paths of the store that begin with a hash."""
        return self._store.find_hash(hash_part)

    def resolve_mentions(self, mentions: Collection[StorePath]) -> Mapping[StorePath, StorePath]:
        """Find the valid path of the store that each of ``mentions`` means."""
        return self._store.resolve_mentions(mentions)

    def prefetch(self, paths: Iterable[StorePath]) -> None:
        """Start downloading ``paths`` in the store."""
        self._store.prefetch(paths)

    def is_local(self, path: StorePath) -> bool:
        """Return whether the store has ``path`` on this machine."""
        return self._store.is_local(path)

    def confirm_sources(self, infos: Iterable[PathInfo]) -> bool:
        """Return whether the store has new answers after downloading ``infos``."""
        return self._store.confirm_sources(infos)
