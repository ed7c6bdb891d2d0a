"""A binary cache behind the embedded store: paths are fetched once and kept there.

A path in the embedded store counts only if it passes the trust settings of the cache and its NAR is there; every other
path is fetched from the cache.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from lamina.core.names import StorePath
from lamina.core.nodes import Extent, Node
from lamina.core.pathinfo import PathInfo
from lamina.errors import Error, FormatError, IntegrityError
from lamina.formats.narinfo import NarInfo
from lamina.stores.binary_cache.cache import BinaryCache
from lamina.stores.binary_cache.fetch import Fetcher
from lamina.stores.binary_cache.trust import Trust
from lamina.stores.embedded.store import EmbeddedStore
from lamina.stores.integrity import REPAIR_HINT
from lamina.stores.mention_lookup import match_by_hash
from lamina.stores.store import PathResult, Store
from lamina.system import narfile


class SubstitutingStore(Store):
    """The paths of ``cache``, which ``fetcher`` fetches into its store. ``cache`` is None for offline use."""

    is_binary_cache = True

    def __init__(self, fetcher: Fetcher, cache: BinaryCache | None, trust: Trust) -> None:
        self._fetcher = fetcher
        self._cache = cache
        self._trust = trust
        self._graph: dict[StorePath, frozenset[StorePath]] = {}
        self._registered: dict[StorePath, NarInfo] = {}

    @property
    def _store(self) -> EmbeddedStore:
        return self._fetcher.store

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        """Return the path infos of ``paths``; raises the first error that `query_each` yields."""
        found: dict[StorePath, PathInfo] = {}
        for path, result in self.query_each(paths):
            if isinstance(result, Error):
                raise result
            if result:
                found[path] = result
        return found

    def query_each(self, paths: Collection[StorePath]) -> Iterator[tuple[StorePath, PathResult]]:
        """Yield the answer for each of ``paths``: first from the embedded store, then from the cache for the others.

        Raises `IntegrityError` for a cycle of references.
        """
        missing, faults = [], dict[StorePath, Error]()
        for path in paths:
            self._graph[path] = frozenset()
            try:
                narinfo = self._find_narinfo(path)
            except (FormatError, IntegrityError) as error:
                narinfo, faults[path] = None, error
            if narinfo:
                self._graph[path] = narinfo.info.references
                yield path, narinfo.info
            else:
                missing.append(path)
        if self._cache is None:
            yield from ((path, faults.get(path)) for path in missing)
            return
        from_cache: list[StorePath] = []
        for path, result in self._cache.query_each(missing):
            if isinstance(result, NarInfo):
                self._register(result, self._cache)
                from_cache.append(path)
                yield path, result.info
            else:
                # Damage in the embedded store is reported only if the cache does not have the path either.
                yield path, result or faults.get(path)
        if from_cache:
            self._check_cycles(from_cache, self._cache.label)

    def _register(self, narinfo: NarInfo, cache: BinaryCache) -> None:
        self._fetcher.register(narinfo, cache)
        self._registered[narinfo.info.path] = narinfo
        self._graph[narinfo.info.path] = narinfo.info.references

    def _check_cycles(self, found: Iterable[StorePath], label: str) -> None:
        """Raise `IntegrityError` for a cycle, once all references of ``found`` were queried.

        Nix never creates a cycle, so it is an error of the cache. If it were detected later, it would look like an
        error of the plan.
        """
        graph = self._graph
        if all(reference in graph for path in found for reference in graph[path]):
            try:
                TopologicalSorter({path: references - {path} for path, references in graph.items()}).prepare()
            except CycleError as error:
                raise IntegrityError(f"{error.args[1][0]} in {label}", "a cycle of references", "none") from error

    def _find_narinfo(self, path: StorePath) -> NarInfo | None:
        """Return the narinfo that the cache gave earlier, or that of the embedded store if it is trusted.

        Raises `FormatError` or `IntegrityError` if the path is damaged in the embedded store.
        """
        registered = self._registered.get(path)
        if registered:
            return registered
        narinfo = self._store.narinfo(path)
        if narinfo is None or not self._trust.accepts(narinfo):
            return None
        if not self._store.has_nar(narinfo):
            raise IntegrityError(path, f"no complete NAR in {self._store.folder}", "one", hint=REPAIR_HINT)
        return narinfo

    def resolve_mentions(self, mentions: Collection[StorePath]) -> Mapping[StorePath, StorePath]:
        """Find the valid path that each of ``mentions`` means, in the embedded store or else in the cache.

        Raises the error for a path that the cache has but that is not trusted, or the error of an unusable cache.
        """
        hashes = {path.hash for path in mentions}
        valid = self.with_hashes(hashes)
        return match_by_hash(mentions, [*valid, *self._ask_cache(hashes - {path.hash for path in valid})])

    def _ask_cache(self, hashes: Collection[str]) -> Iterator[StorePath]:
        """Yield the paths of the cache that begin with one of ``hashes``. Raises what `resolve_mentions` raises."""
        for _, result in self._cache.query_hashes(hashes) if self._cache else ():
            if isinstance(result, Error):
                raise result
            if result and self._cache:
                self._register(result, self._cache)
                yield result.info.path

    def narinfo(self, path: StorePath) -> NarInfo | None:
        """Return the narinfo of ``path`` from the place where `query_each` found it; None if it is unknown."""
        return self._fetcher.narinfo(path) if path in self._registered else self._embedded_narinfo(path)

    def prefetch(self, paths: Iterable[StorePath]) -> None:
        """Start fetching those of ``paths`` that come from the cache, in that order."""
        self._fetcher.prefetch(paths)

    def is_local(self, path: StorePath) -> bool:
        """Return whether `location` would return without waiting for a download."""
        return self._fetcher.is_local(path)

    def location(self, path: StorePath) -> Extent:
        """Wait until ``path`` is fetched and return its NAR. Raises `NotFound`, and the error if fetching it failed."""
        registered = self._registered.get(path)
        if registered is None:
            return self._store.location(path)
        self._fetcher.wait(path)
        return self._store.received_nar(registered)

    def nodes(self, path: StorePath) -> Iterable[Node]:
        """Return the nodes of ``path``. Raises what `location` raises."""
        return narfile.read_nodes(self.location(path))

    def find(self, name: str) -> tuple[StorePath, ...]:
        """Return the trusted paths in the embedded store that ``name`` may mean."""
        return tuple(path for path in self._store.find(name) if self._embedded_narinfo(path))

    def names(self) -> Collection[str]:
        """Return the names of the paths in the embedded store."""
        return self._store.names()

    def hashes(self) -> Collection[str]:
        """Return the hashes of the paths in the embedded store."""
        return self._store.hashes()

    def with_hashes(self, hashes: Collection[str]) -> tuple[StorePath, ...]:
        """Return the trusted paths in the embedded store that begin with one of ``hashes``."""
        return tuple(
            path
            for hash_part in sorted(hashes)
            for path in self._find_by_hash(hash_part)
            if self._embedded_narinfo(path)
        )

    def find_hash(self, hash_part: str) -> tuple[StorePath, ...]:
        """Return the trusted path that begins with a hash, in the embedded store or else in the cache.

        Raises what `resolve_mentions` raises.
        """
        return self.with_hashes((hash_part,)) or tuple(self._ask_cache((hash_part,)))

    def _find_by_hash(self, hash_part: str) -> Collection[StorePath]:
        try:
            return self._store.with_hashes((hash_part,))
        except FormatError:
            if self._cache is None:
                raise
            return ()  # the cache will be asked instead

    def _embedded_narinfo(self, path: StorePath) -> NarInfo | None:
        """Return the trusted narinfo in the embedded store, even if its NAR is missing; None if it is invalid."""
        try:
            narinfo = self._store.narinfo(path)
        except FormatError:
            return None
        return narinfo if narinfo and self._trust.accepts(narinfo) else None
