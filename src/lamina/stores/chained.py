"""Several stores as one: each path comes from the first store that has it.

If a store fails for a path for any reason, the next store is asked for that path, as in Nix. The path info and the
contents of a path come from the same store, unless the path info is from a closure graph, which has no contents.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from lamina.core.callbacks import ignore
from lamina.core.names import StorePath
from lamina.core.nodes import Node
from lamina.core.pathinfo import PathInfo
from lamina.errors import Error, IntegrityError, NotFound
from lamina.formats.narinfo import NarInfo
from lamina.stores.failures import RECOVERABLE_ERRORS, StoreFailure, combine_failures
from lamina.stores.store import Store
from lamina.system.locations import Location

_T = TypeVar("_T")
# If a store fails for more paths than this at a time, the others are counted instead of listed.
_MAX_WARNINGS = 3


@dataclass(frozen=True, slots=True)
class _ResolvedPath:
    """A path info, the index of the store that it is from, and the index of the store that holds the contents."""

    info: PathInfo
    store: int
    holder: int


class ChainedStore(Store):
    """Asks ``stores`` in order; ``names`` are their names in messages.

    ``warn`` is called with a message whenever a store fails for a path and the next one is asked.
    """

    def __init__(
        self, stores: Sequence[Store], names: Sequence[str] = (), warn: Callable[[str], object] = ignore
    ) -> None:
        self._stores = tuple(stores)
        self._names = tuple(names) or tuple(f"store {number}" for number in range(1, len(stores) + 1))
        self._warn = warn
        self._reported: set[str] = set()
        self._found: dict[StorePath, _ResolvedPath] = {}
        self._failures: dict[StorePath, dict[int, StoreFailure]] = {}

    @property
    def label(self) -> str:
        """The names of the stores, in the order in which they are asked."""
        return ", then ".join(self._names)

    # --- path infos

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        """Return the path info of each path from the first store that has it and does not fail for it.

        If no store has a path and at least one failed for it, raises their combined error (`combine_failures`).
        """
        self._look_up([path for path in paths if path not in self._found])
        for path in paths:
            if path not in self._found and path in self._failures:
                raise self._make_error(path)
        return {path: self._found[path].info for path in paths if path in self._found}

    def resolve_mentions(self, mentions: Collection[StorePath]) -> Mapping[StorePath, StorePath]:
        """Find the valid path that each of ``mentions`` means, in the first store that knows it.

        Raises what `query` raises, so that the content of an image does not depend on whether a server answers.
        """
        found: dict[StorePath, StorePath] = {}
        for number in range(len(self._stores)):
            found |= self._resolve_mentions_in(number, [path for path in mentions if path not in found])
        for path in mentions:
            if path not in found and path in self._failures:
                raise self._make_error(path)
        return found

    def _resolve_mentions_in(self, number: int, mentions: Sequence[StorePath]) -> Mapping[StorePath, StorePath]:
        try:
            return self._stores[number].resolve_mentions(mentions)
        except RECOVERABLE_ERRORS as error:
            if len(mentions) == 1:
                self._record_failures(number, {mentions[0]: error})
                return {}
        found = (self._resolve_mentions_in(number, [path]) for path in mentions)
        return {path: valid_path for group in found for path, valid_path in group.items()}

    def narinfo(self, path: StorePath) -> NarInfo | None:
        """Return the narinfo of ``path`` from the store that holds it, None if that store has no narinfos."""
        found = self._found.get(path)
        return self._stores[found.holder if found else 0].narinfo(path)

    # --- contents

    def nodes(self, path: StorePath) -> Iterable[Node]:
        """Return the nodes of ``path``; raises the combined error of the stores if none has its contents."""
        return self._read_from_holder(path, lambda store: store.nodes(path))

    def location(self, path: StorePath) -> Location | None:
        """Return the location of ``path``, or None if its store has no locations. Raises what `nodes` raises."""
        return self._read_from_holder(path, lambda store: _find_location(store, path))

    def prefetch(self, paths: Iterable[StorePath]) -> None:
        """Start downloading those of ``paths`` that are not on this machine, in that order."""
        wanted = tuple(paths)
        for store in self._stores:
            store.prefetch(wanted)

    def is_local(self, path: StorePath) -> bool:
        """Return whether `location` would return without waiting for a download."""
        return all(store.is_local(path) for store in self._stores)

    def confirm_sources(self, infos: Iterable[PathInfo]) -> bool:
        """Download the paths of ``infos`` for which a later store could take over if the download fails.

        Paths of the last store are not waited for. Raises what `query` raises.

        Returns:
            Whether another store now provides a path with a different path info, such as another NAR hash or other
            references. `query` then has new answers.
        """
        changed, errors = self.fetch_with_fallback([info.path for info in infos])
        for path in sorted(errors):
            if path in self._failures:  # a path of a graph without contents is an error only when it is read
                raise errors[path]
        return changed

    def fetch_with_fallback(
        self, paths: Sequence[StorePath], *, include_last_store: bool = False
    ) -> tuple[bool, dict[StorePath, Error]]:
        """Do what `confirm_sources` does; with ``include_last_store``, also for paths of the last store.

        Returns:
            What `confirm_sources` returns, and the errors of the paths that no store could provide.
        """
        errors = self._locate([path for path in paths if self._is_from_graph(path)])
        changed, last = False, len(self._stores) - 1
        pending = [
            path for path in paths if path not in errors and (include_last_store or self._found[path].holder < last)
        ]
        while pending:
            self.prefetch(pending)
            faults: dict[StorePath, Error] = {}
            for path in pending:
                try:
                    _find_location(self._stores[self._found[path].holder], path)
                except RECOVERABLE_ERRORS as error:
                    faults[path] = error
            has_changed, new_errors = self._fall_back(faults)
            changed |= has_changed
            errors |= new_errors
            pending = [path for path in faults if path not in new_errors]
        return changed, errors

    def has_fallback(self, path: StorePath) -> bool:
        """Return whether there is a store after the one that ``path`` comes from."""
        return path in self._found and self._found[path].holder < len(self._stores) - 1

    def fall_back(self, faults: Mapping[StorePath, Error]) -> None:
        """Take the paths of ``faults``, whose contents could not be used, from the next stores that have them.

        Raises what `query` raises.
        """
        _, errors = self._fall_back(faults)
        for path in sorted(errors):
            raise errors[path]

    # --- names

    def find(self, name: str) -> tuple[StorePath, ...]:
        """Return the paths that ``name`` may mean in the first store that has any.

        If no store has any, raises the error of the first store that failed.
        """
        errors: list[Error] = []
        for number, store in enumerate(self._stores):
            try:
                found = store.find(name)
            except RECOVERABLE_ERRORS as error:
                errors.append(error)
                self._warn_once(number, [str(error)])
                continue
            if found:
                return found
        if errors:
            raise errors[0]
        return ()

    def names(self) -> Collection[str]:
        """Return the names of all paths in the stores that have an index; skip stores that fail."""
        found: set[str] = set()
        for store in self._stores:
            with contextlib.suppress(*RECOVERABLE_ERRORS):
                found |= set(store.names())
        return found

    def hashes(self) -> Collection[str]:
        """Return the hashes of all paths in the stores that have an index."""
        return frozenset().union(*(store.hashes() for store in self._stores))

    def with_hashes(self, hashes: Collection[str]) -> tuple[StorePath, ...]:
        """Return the paths that begin with one of ``hashes``, from all stores that have an index."""
        return tuple(dict.fromkeys(path for store in self._stores for path in store.with_hashes(hashes)))

    def find_hash(self, hash_part: str) -> tuple[StorePath, ...]:
        """Return the paths that begin with a hash, from the first store that has one.

        Raises the error of a store that fails, if no other one has the path.
        """
        failures: list[Error] = []
        for store in self._stores:
            try:
                if found := store.find_hash(hash_part):
                    return found
            except RECOVERABLE_ERRORS as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return ()

    # --- one store after the other

    def _look_up(self, paths: Collection[StorePath]) -> None:
        """Query ``paths`` in one store after the other until each is found."""
        for number in range(len(self._stores)):
            missing = [path for path in paths if path not in self._found and not self._has_failed(path, number)]
            # If the last store fails for one path, the whole query fails, so there is no need to wait for other
            # answers.
            is_last = number == len(self._stores) - 1
            for path, info in self._query_store(number, missing, stop_early=is_last).items():
                self._found[path] = _ResolvedPath(info, number, number)

    def _query_store(
        self, number: int, paths: Sequence[StorePath], *, stop_early: bool = False
    ) -> dict[StorePath, PathInfo]:
        """Query one store and record its failures; with ``stop_early``, raise at the first failure."""
        found: dict[StorePath, PathInfo] = {}
        faults: dict[StorePath, Error] = {}
        stopped: StorePath | None = None
        try:
            for path, result in self._stores[number].query_each(paths) if paths else ():
                if isinstance(result, PathInfo):
                    found[path] = result
                elif result is not None:
                    faults[path] = result
                    if stop_early:
                        stopped = path
                        break
        except RECOVERABLE_ERRORS as error:
            found, faults = {}, dict.fromkeys(paths, error)
        self._record_failures(number, faults)
        if stopped:
            raise self._make_error(stopped)
        return found

    def _fall_back(self, faults: Mapping[StorePath, Error]) -> tuple[bool, dict[StorePath, Error]]:
        """Take the paths of ``faults`` from the next stores; return what `fetch_with_fallback` returns."""
        by_store: dict[int, dict[StorePath, Error]] = {}
        before = {path: self._found[path] for path in faults}
        for path, error in faults.items():
            by_store.setdefault(before[path].holder, {})[path] = error
        for number, group in sorted(by_store.items()):
            self._record_failures(number, group, contents_refused=True)
        errors = self._locate(list(faults))
        return any(self._found[path].info != found.info for path, found in before.items() if path not in errors), errors

    def _locate(self, paths: Collection[StorePath]) -> dict[StorePath, Error]:
        """Find the next store that has the contents of each path; return the errors of paths that no store has."""
        unlocated = dict.fromkeys(paths)
        for number in range(len(self._stores)):
            candidates = [
                path for path in unlocated if number > self._found[path].holder and not self._has_failed(path, number)
            ]
            if not candidates:
                continue
            infos = self._query_store(number, candidates)
            for path in candidates:
                match = self._match_contents(number, self._found[path], infos.get(path))
                if match:
                    self._found[path] = match
                    if self._stores[number].has_contents:
                        del unlocated[path]
        return {path: self._make_error(path) for path in unlocated}

    def _match_contents(self, number: int, found: _ResolvedPath, info: PathInfo | None) -> _ResolvedPath | None:
        """Return ``found`` with store ``number`` as its holder, None if that store lacks matching contents.

        ``info`` is the path info that the store has, None if it has none.
        """
        store, path = self._stores[number], found.info.path
        if info and not self._is_from_graph(path):
            return _ResolvedPath(info, number, number)
        if info and store.is_binary_cache:
            if (info.nar_hash, info.nar_size) == (found.info.nar_hash, found.info.nar_size):
                return replace(found, holder=number)
            error = IntegrityError(
                f"{path} in {self._names[number]}",
                f"NAR hash {info.nar_hash}",
                f"{found.info.nar_hash}, the hash in the closure graph",
            )
            self._record_failures(number, {path: error})
            return None
        try:
            _find_location(store, path)
        except RECOVERABLE_ERRORS as error:
            if not isinstance(error, NotFound):
                self._record_failures(number, {path: error}, contents_refused=True)
            return None
        return replace(found, holder=number)

    def _is_from_graph(self, path: StorePath) -> bool:
        """Return whether the path info of ``path`` is from a closure graph, so that its contents are elsewhere."""
        return not self._stores[self._found[path].store].has_contents

    def _read_from_holder(self, path: StorePath, read: Callable[[Store], _T]) -> _T:
        """Return the result of ``read`` on the first store whose contents of ``path`` match its path info."""
        if path not in self._found:
            return self._read_from_any(path, read)
        if self._is_from_graph(path) and self._found[path].holder == self._found[path].store:
            for error in self._locate([path]).values():
                raise error
        while True:
            found = self._found[path]
            try:
                return read(self._stores[found.holder])
            except RECOVERABLE_ERRORS as error:
                _, errors = self._fall_back({path: error})
                if errors:
                    raise errors[path] from error
                if self._found[path].info != found.info:
                    # The image was planned with the old path info, so a path with different info cannot be used now.
                    self._found[path] = found
                    raise

    def _read_from_any(self, path: StorePath, read: Callable[[Store], _T]) -> _T:
        """Return the result of ``read`` on the first store that has ``path``, which was never queried."""
        missing = NotFound(path, "no store that has its contents", "one")
        for store in self._stores:
            try:
                return read(store)
            except NotFound as error:
                missing = error
        raise missing

    # --- failures

    def _has_failed(self, path: StorePath, number: int) -> bool:
        return number in self._failures.get(path, ())

    def _record_failures(
        self, number: int, faults: Mapping[StorePath, Error], *, contents_refused: bool = False
    ) -> None:
        """Record that a store failed for some paths, and warn if another store is asked next."""
        for path, error in faults.items():
            failures = self._failures.setdefault(path, {})
            failures[number] = StoreFailure(self._names[number], error, contents_refused)
        self._warn_once(number, dict.fromkeys(str(faults[path]) for path in sorted(faults)))

    def _warn_once(self, number: int, texts: Iterable[str]) -> None:
        """Warn with each of ``texts`` that was not reported before, if there is a store to ask next."""
        if number == len(self._stores) - 1:
            return
        new = [text for text in texts if text not in self._reported]
        self._reported.update(new)
        for text in new[:_MAX_WARNINGS]:
            self._warn(f"{text}; the next store is asked")
        if len(new) > _MAX_WARNINGS:
            self._warn(f"{self._names[number]}: {len(new) - _MAX_WARNINGS} more paths failed; the next store is asked")

    def _make_error(self, path: StorePath) -> Error:
        recorded = self._failures.get(path, {})
        failures = [
            recorded.get(number) or StoreFailure(name, None)
            for number, name in enumerate(self._names)
            if number in recorded or self._stores[number].is_binary_cache
        ]
        return combine_failures(path, failures) if failures else NotFound(path, "no store that has its contents", "one")


def _find_location(store: Store, path: StorePath) -> Location | None:
    location = store.location(path)
    if location is None:
        store.nodes(path)  # raises `NotFound` if the store does not have the path
    return location
