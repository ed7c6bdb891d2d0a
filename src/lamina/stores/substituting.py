"""A binary cache by way of the embedded store: what was fetched once is fetched no more.

Invariant: of what the embedded store has, only that counts which the cache's keys vouch for too; everything else comes
from the cache.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from lamina import narfile
from lamina.errors import FormatError, IntegrityError
from lamina.formats.narinfo import NarInfo
from lamina.names import StorePath
from lamina.nodes import Extent, Node
from lamina.pathinfo import PathInfo
from lamina.stores.cache import BinaryCache
from lamina.stores.embedded import EmbeddedStore
from lamina.stores.fetching import Fetching
from lamina.stores.mentioned import by_hash
from lamina.stores.trust import Trust


class Substituting:
    """``cache``, whose NARs ``fetching`` brings into its store; None is asked for nothing, for there is no network."""

    def __init__(self, fetching: Fetching, cache: BinaryCache | None, trust: Trust) -> None:
        self._fetching = fetching
        self._cache = cache
        self._trust = trust
        self._graph: dict[StorePath, frozenset[StorePath]] = {}

    @property
    def _store(self) -> EmbeddedStore:
        return self._fetching.store

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        """What is known of ``paths``, from the cache what the embedded store has not. Raises as both do."""
        here = {path: known for path in paths if (known := self._here(path))}
        found = {path: known.info for path, known in here.items()}
        missing = [path for path in paths if path not in here]
        if missing and self._cache:
            for path, known in self._cache.narinfos(missing).items():
                self._fetching.announce(known, self._cache)
                found[path] = known.info
        self._graph |= dict.fromkeys(paths, frozenset()) | {path: info.references for path, info in found.items()}
        if missing and self._cache:
            self._check_graph(found, self._cache.where)
        return found

    def _check_graph(self, found: Iterable[StorePath], where: str) -> None:
        """Raises `IntegrityError` for a circle, once all that ``found`` refer to was asked for.

        Nix makes no such paths, so it is the cache that cannot be believed, and no plan that cannot be.
        """
        graph = self._graph
        if all(reference in graph for path in found for reference in graph[path]):
            try:
                TopologicalSorter({path: references - {path} for path, references in graph.items()}).prepare()
            except CycleError as error:
                raise IntegrityError(
                    f"{error.args[1][0]} in {where}: got a cycle of references, expected none"
                ) from error

    def _here(self, path: StorePath) -> NarInfo | None:
        announced = self._fetching.known(path)
        if announced:
            return announced
        try:
            known = self._store.narinfo(path)
        except FormatError:
            if self._cache is None:
                raise
            return None  # which the cache's takes the place of
        return known if known and self._trust.accepts(known) else None

    def resolve_mentions(self, spelt: Collection[StorePath]) -> Mapping[StorePath, StorePath]:
        """Find the valid path that each of ``spelt`` means, in the cache where the embedded store lacks it."""
        hashes = {path.hash for path in spelt}
        valid = list(self.with_hashes(hashes))
        if self._cache:
            for known in self._cache.with_hashes(hashes - {path.hash for path in valid}):
                self._fetching.announce(known, self._cache)
                valid.append(known.info.path)
        return by_hash(spelt, valid)

    def narinfo(self, path: StorePath) -> NarInfo | None:
        """All that is known of ``path``, by the one that `query` answered from; None where it was not asked for it."""
        return self._here(path)

    def expect(self, paths: Iterable[StorePath]) -> None:
        """Begins to fetch ``paths``, as far as they come from a cache and are not here, in that order."""
        self._fetching.begin(paths)

    def is_here(self, path: StorePath) -> bool:
        """Whether `place` would answer without waiting."""
        return self._fetching.is_here(path)

    def place(self, path: StorePath) -> Extent:
        """The NAR of ``path``, once it is here. Raises `NotFound`, and what fetching it raises."""
        announced = self._fetching.known(path)
        if announced is None:
            return self._store.place(path)
        self._fetching.wait(path)
        return self._store.fetched(announced)

    def nodes(self, path: StorePath) -> Iterable[Node]:
        """What ``path`` is made of. Raises as `place` does."""
        return narfile.nodes(self.place(path))

    def find(self, name: str) -> tuple[StorePath, ...]:
        """The paths in the embedded store that ``name`` may mean."""
        return tuple(path for path in self._store.find(name) if self._here(path))

    def hashes(self) -> Collection[str]:
        """The hashes of the paths in the embedded store."""
        return self._store.hashes()

    def with_hashes(self, hashes: Collection[str]) -> tuple[StorePath, ...]:
        """The paths in the embedded store that begin with one of ``hashes``."""
        return tuple(path for digits in sorted(hashes) for path in self._with_hash(digits) if self._here(path))

    def _with_hash(self, digits: str) -> Collection[StorePath]:
        try:
            return self._store.with_hashes((digits,))
        except FormatError:
            if self._cache is None:
                raise
            return ()  # the cache's narinfo takes the place of the damaged one
