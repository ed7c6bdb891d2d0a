"""A binary cache by way of the embedded store: what was fetched once is fetched no more.

Of what the embedded store has, only that counts which the cache's keys vouch for too and whose NAR is there; everything
else comes from the cache.
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
from lamina.system import narfile


class SubstitutingStore:
    """``cache``, whose NARs ``fetcher`` brings into its store; None is asked for nothing, for there is no network."""

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
        """Give what is known of ``paths``. Raises what `query_each` gives as an error."""
        found: dict[StorePath, PathInfo] = {}
        for path, answer in self.query_each(paths):
            if isinstance(answer, Error):
                raise answer
            if answer:
                found[path] = answer
        return found

    def query_each(self, paths: Collection[StorePath]) -> Iterator[tuple[StorePath, PathInfo | Error | None]]:
        """Give what is known of ``paths``: first what the embedded store has, then what the cache says of the others.

        Raises `IntegrityError` for a cycle of references.
        """
        missing, faults = [], dict[StorePath, Error]()
        for path in paths:
            self._graph[path] = frozenset()
            try:
                known = self._find_narinfo(path)
            except (FormatError, IntegrityError) as error:
                known, faults[path] = None, error
            if known:
                self._graph[path] = known.info.references
                yield path, known.info
            else:
                missing.append(path)
        if self._cache is None:
            yield from ((path, faults.get(path)) for path in missing)
            return
        asked: list[StorePath] = []
        for path, answer in self._cache.query_each(missing):
            if isinstance(answer, NarInfo):
                self._register(answer, self._cache)
                asked.append(path)
                yield path, answer.info
            else:
                # What is damaged here is worth telling only where the cache could not make up for it.
                yield path, answer or faults.get(path)
        if asked:
            self._check_cycles(asked, self._cache.label)

    def _register(self, known: NarInfo, cache: BinaryCache) -> None:
        self._fetcher.register(known, cache)
        self._registered[known.info.path] = known
        self._graph[known.info.path] = known.info.references

    def _check_cycles(self, found: Iterable[StorePath], label: str) -> None:
        """Raises `IntegrityError` for a circle, once all that ``found`` refer to was asked for.

        Nix makes no such paths, so it is the cache that cannot be believed, and no plan that cannot be.
        """
        graph = self._graph
        if all(reference in graph for path in found for reference in graph[path]):
            try:
                TopologicalSorter({path: references - {path} for path, references in graph.items()}).prepare()
            except CycleError as error:
                raise IntegrityError(
                    f"{error.args[1][0]} in {label}: got a cycle of references, expected none"
                ) from error

    def _find_narinfo(self, path: StorePath) -> NarInfo | None:
        """What the cache said of ``path`` before, or the embedded store says of a path whose NAR it has.

        Raises `FormatError`, `IntegrityError` for a path that is damaged there.
        """
        announced = self._registered.get(path)
        if announced:
            return announced
        known = self._store.narinfo(path)
        if known is None or not self._trust.accepts(known):
            return None
        if not self._store.has_nar(known):
            raise IntegrityError(f"{path}: got no whole NAR in {self._store.folder}, expected one", hint=REPAIR_HINT)
        return known

    def resolve_mentions(self, mentions: Collection[StorePath]) -> Mapping[StorePath, StorePath]:
        """Find the valid path that each of ``mentions`` means, in the cache where the embedded store lacks it.

        Raises what the cache says of a path that it has and that is not believed, or why it cannot be asked.
        """
        hashes = {path.hash for path in mentions}
        valid = list(self.with_hashes(hashes))
        if self._cache:
            for _, answer in self._cache.query_hashes(hashes - {path.hash for path in valid}):
                if isinstance(answer, Error):
                    raise answer
                if answer:
                    self._register(answer, self._cache)
                    valid.append(answer.info.path)
        return match_by_hash(mentions, valid)

    def narinfo(self, path: StorePath) -> NarInfo | None:
        """Give all that is known of ``path``, from where `query_each` had it; None where it is not known."""
        return self._fetcher.narinfo(path) if path in self._registered else self._embedded_narinfo(path)

    def prefetch(self, paths: Iterable[StorePath]) -> None:
        """Begins to fetch ``paths``, as far as they come from a cache and are not here, in that order."""
        self._fetcher.begin(paths)

    def is_local(self, path: StorePath) -> bool:
        """Whether `location` would answer without waiting."""
        return self._fetcher.is_local(path)

    def location(self, path: StorePath) -> Extent:
        """The NAR of ``path``, once it is here. Raises `NotFound`, and what fetching it raises."""
        announced = self._registered.get(path)
        if announced is None:
            return self._store.location(path)
        self._fetcher.wait(path)
        return self._store.received_nar(announced)

    def nodes(self, path: StorePath) -> Iterable[Node]:
        """What ``path`` is made of. Raises as `location` does."""
        return narfile.nodes(self.location(path))

    def find(self, name: str) -> tuple[StorePath, ...]:
        """The paths in the embedded store that ``name`` may mean."""
        return tuple(path for path in self._store.find(name) if self._embedded_narinfo(path))

    def hashes(self) -> Collection[str]:
        """The hashes of the paths in the embedded store."""
        return self._store.hashes()

    def with_hashes(self, hashes: Collection[str]) -> tuple[StorePath, ...]:
        """The paths in the embedded store that begin with one of ``hashes``."""
        return tuple(
            path
            for hash_part in sorted(hashes)
            for path in self._find_by_hash(hash_part)
            if self._embedded_narinfo(path)
        )

    def _find_by_hash(self, hash_part: str) -> Collection[StorePath]:
        try:
            return self._store.with_hashes((hash_part,))
        except FormatError:
            if self._cache is None:
                raise
            return ()  # the cache's narinfo takes the place of the damaged one

    def _embedded_narinfo(self, path: StorePath) -> NarInfo | None:
        """What the embedded store says of a path, whether its NAR is there or not; None for a damaged narinfo."""
        try:
            known = self._store.narinfo(path)
        except FormatError:
            return None
        return known if known and self._trust.accepts(known) else None
