"""Several stores as one: the first that gives a path is the one it comes from.

Whatever goes wrong with one store for one path, the next store is asked for that path, as Nix does. What is known of a
path and its contents come from the same store, except where that is a closure graph, which has no contents.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from lamina.core.names import StorePath
from lamina.core.nodes import Node
from lamina.core.pathinfo import PathInfo
from lamina.errors import Error, IntegrityError, NotFound
from lamina.formats.narinfo import NarInfo
from lamina.stores.failures import RECOVERABLE_ERRORS, StoreFailure, combine_failures
from lamina.stores.local.graph import GraphStore
from lamina.stores.mention_lookup import resolve_mentions
from lamina.stores.protocols import CanPrefetch, CanQueryEach, HasLocation, HasNarInfo, PathIndex, PathResult, Store
from lamina.system.locations import Location

_T = TypeVar("_T")
# More failures of one store at a time are counted instead of listed.
_MAX_WARNINGS = 3

"""What a store says of a path: what it knows, why it cannot be believed or asked, or that it does not have it."""


@dataclass(frozen=True, slots=True)
class _ResolvedPath:
    """A path that a store knows: what it says, its number, and the number of the store that has the contents."""

    info: PathInfo
    store: int
    holder: int


class ChainedStore:
    """``stores`` in the order in which they are asked; ``names`` are what messages call them.

    ``warn`` is told whenever a store fails for a path and the next one is asked.
    """

    def __init__(self, stores: Sequence[Store], names: Sequence[str] = (), warn: Callable[[str], object] = len) -> None:
        self._stores = tuple(stores)
        self._names = tuple(names) or tuple(f"store {number}" for number in range(1, len(stores) + 1))
        self._warn = warn
        self._reported: set[str] = set()
        self._found: dict[StorePath, _ResolvedPath] = {}
        self._failures: dict[StorePath, dict[int, StoreFailure]] = {}

    # --- what is known

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        """Give what the first store that can be believed knows of each path.

        Raises what the stores said of a path that none of them has, if at least one of them failed
        (`combine_failures`).
        """
        self._look_up([path for path in paths if path not in self._found])
        for path in paths:
            if path not in self._found and path in self._failures:
                raise self._make_error(path)
        return {path: self._found[path].info for path in paths if path in self._found}

    def resolve_mentions(self, mentions: Collection[StorePath]) -> Mapping[StorePath, StorePath]:
        """Find the valid path that each of ``mentions`` means, in the first store that knows it.

        Raises as `query` does, so that what an image holds does not depend on whether a server answers.
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
            return resolve_mentions(self._stores[number], mentions)
        except RECOVERABLE_ERRORS as error:
            if len(mentions) == 1:
                self._record_failures(number, {mentions[0]: error})
                return {}
        found = (self._resolve_mentions_in(number, [path]) for path in mentions)
        return {path: meant for some in found for path, meant in some.items()}

    def narinfo(self, path: StorePath) -> NarInfo | None:
        """Give what the store that knows ``path`` would say of it as a binary cache, None where it says no more."""
        found = self._found.get(path)
        store = self._stores[found.holder if found else 0]
        return store.narinfo(path) if isinstance(store, HasNarInfo) else None

    # --- contents

    def nodes(self, path: StorePath) -> Iterable[Node]:
        """Give the contents of ``path``; raises what the stores said where none has them."""
        return self._read_contents(path, lambda store: store.nodes(path))

    def location(self, path: StorePath) -> Location | None:
        """Give where the contents of ``path`` lie, None where no store can say; raises as `nodes` does."""
        return self._read_contents(path, lambda store: _find_location(store, path))

    def prefetch(self, paths: Iterable[StorePath]) -> None:
        """Begin to download ``paths``, in that order, as far as they are not here."""
        wanted = tuple(paths)
        for store in self._stores:
            if isinstance(store, CanPrefetch):
                store.prefetch(wanted)

    def is_local(self, path: StorePath) -> bool:
        """Tell whether `location` would answer without waiting for a download."""
        return all(store.is_local(path) for store in self._stores if isinstance(store, CanPrefetch))

    def confirm_sources(self, infos: Iterable[PathInfo]) -> bool:
        """Have the contents of ``infos`` here wherever a later store might have to give a path instead.

        Tell whether another store gave a path and knows something else of it, such as another NAR hash or other
        references; then `query` has new answers. Paths of the last store are not waited for.
        Raises as `query` does.
        """
        changed, errors = self.fetch_with_fallback([info.path for info in infos])
        for path in sorted(errors):
            if path in self._failures:  # else a graph's path is nowhere, which matters once it is read
                raise errors[path]
        return changed

    def fetch_with_fallback(
        self, paths: Sequence[StorePath], *, include_last_store: bool = False
    ) -> tuple[bool, dict[StorePath, Error]]:
        """Do what `confirm_sources` does, with ``include_last_store`` for paths of the last store too.

        Give, beside what `confirm_sources` tells, the errors of the paths that no store gives.
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
            has_changed, gone = self._fall_back(faults)
            changed |= has_changed
            errors |= gone
            pending = [path for path in faults if path not in gone]
        return changed, errors

    def has_fallback(self, path: StorePath) -> bool:
        """Tell whether there is a store after the one that ``path`` comes from."""
        return path in self._found and self._found[path].holder < len(self._stores) - 1

    def fall_back(self, faults: Mapping[StorePath, Error]) -> None:
        """Take the paths of ``faults`` from the next stores, for what came of them was wrong.

        Raises as `query` does.
        """
        _, errors = self._fall_back(faults)
        for path in sorted(errors):
            raise errors[path]

    # --- names

    def find(self, name: str) -> tuple[StorePath, ...]:
        """Give the paths of that name in the first store that has any.

        Raises the error of the first store that could not be asked, if no other has any.
        """
        errors: list[Error] = []
        for number, store in enumerate(self._stores):
            try:
                found = store.find(name) if isinstance(store, PathIndex) else ()
            except RECOVERABLE_ERRORS as error:
                errors.append(error)
                self._warn_once(number, [str(error)])
                continue
            if found:
                return found
        if errors:
            raise errors[0]
        return ()

    def hashes(self) -> Collection[str]:
        """Give the hashes of all paths that are known by name."""
        known = (store.hashes() for store in self._stores if isinstance(store, PathIndex))
        return frozenset().union(*known)

    def with_hashes(self, hashes: Collection[str]) -> tuple[StorePath, ...]:
        """Give the paths that begin with one of ``hashes``, from every store."""
        known = (store.with_hashes(hashes) for store in self._stores if isinstance(store, PathIndex))
        return tuple(dict.fromkeys(path for paths in known for path in paths))

    # --- one store after the other

    def _look_up(self, paths: Collection[StorePath]) -> None:
        """Ask for ``paths`` until a store knows them."""
        for number in range(len(self._stores)):
            missing = [path for path in paths if path not in self._found and not self._has_failed(path, number)]
            # Where no store is left for a path, nobody needs the answers for the others.
            is_last = number == len(self._stores) - 1
            for path, info in self._query_store(number, missing, stop_early=is_last).items():
                self._found[path] = _ResolvedPath(info, number, number)

    def _query_store(
        self, number: int, paths: Sequence[StorePath], *, stop_early: bool = False
    ) -> dict[StorePath, PathInfo]:
        """Give what one store knows of ``paths``, and note where it failed; with ``stop_early`` raise that at once."""
        found: dict[StorePath, PathInfo] = {}
        faults: dict[StorePath, Error] = {}
        stopped: StorePath | None = None
        try:
            for path, answer in _query_each(self._stores[number], paths) if paths else ():
                if isinstance(answer, PathInfo):
                    found[path] = answer
                elif answer is not None:
                    faults[path] = answer
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
        """Take the paths of ``faults`` from the next stores; as `fetch_with_fallback`."""
        by_store: dict[int, dict[StorePath, Error]] = {}
        before = {path: self._found[path] for path in faults}
        for path, error in faults.items():
            by_store.setdefault(before[path].holder, {})[path] = error
        for number, some in sorted(by_store.items()):
            self._record_failures(number, some, contents_refused=True)
        errors = self._locate(list(faults))
        return any(self._found[path].info != found.info for path, found in before.items() if path not in errors), errors

    def _locate(self, paths: Collection[StorePath]) -> dict[StorePath, Error]:
        """Find the next store that has the contents of ``paths``; give the errors of those that none has."""
        waiting = dict.fromkeys(paths)
        for number in range(len(self._stores)):
            asked = [
                path for path in waiting if number > self._found[path].holder and not self._has_failed(path, number)
            ]
            if not asked:
                continue
            known = self._query_store(number, asked)
            for path in asked:
                found = self._match_contents(number, self._found[path], known.get(path))
                if found:
                    self._found[path] = found
                    if not isinstance(self._stores[number], GraphStore):
                        del waiting[path]
        return {path: self._make_error(path) for path in waiting}

    def _match_contents(self, number: int, found: _ResolvedPath, info: PathInfo | None) -> _ResolvedPath | None:
        """``found`` with the contents of another store, which knows ``info``; None where it does not have them."""
        store, path = self._stores[number], found.info.path
        if info and not self._is_from_graph(path):
            return _ResolvedPath(info, number, number)
        if info and isinstance(store, CanQueryEach):
            if (info.nar_hash, info.nar_size) == (found.info.nar_hash, found.info.nar_size):
                return replace(found, holder=number)
            got = f"got NAR hash {info.nar_hash}, expected {found.info.nar_hash} as the closure graph has it"
            self._record_failures(number, {path: IntegrityError(f"{path} in {self._names[number]}: {got}")})
            return None
        try:
            _find_location(store, path)
        except RECOVERABLE_ERRORS as error:
            if not isinstance(error, NotFound):
                self._record_failures(number, {path: error}, contents_refused=True)
            return None
        return replace(found, holder=number)

    def _is_from_graph(self, path: StorePath) -> bool:
        """Whether a closure graph vouches for ``path``, so that its contents are elsewhere."""
        return isinstance(self._stores[self._found[path].store], GraphStore)

    def _read_contents(self, path: StorePath, ask: Callable[[Store], _T]) -> _T:
        """What ``ask`` gives of the first store that has the contents of ``path``, as `query` described them."""
        if path not in self._found:
            return self._read_from_any(path, ask)
        if self._is_from_graph(path) and self._found[path].holder == self._found[path].store:
            for error in self._locate([path]).values():
                raise error
        while True:
            found = self._found[path]
            try:
                return ask(self._stores[found.holder])
            except RECOVERABLE_ERRORS as error:
                _, errors = self._fall_back({path: error})
                if errors:
                    raise errors[path] from error
                if self._found[path].info != found.info:
                    # The image was planned by what is known of the path, so nothing else can take its place now.
                    self._found[path] = found
                    raise

    def _read_from_any(self, path: StorePath, ask: Callable[[Store], _T]) -> _T:
        """What ``ask`` gives of the first store that has a path of which no store was asked before."""
        missing = NotFound(f"{path}: got no store, expected one to have its contents")
        for store in self._stores:
            try:
                return ask(store)
            except NotFound as error:
                missing = error
        raise missing

    # --- failures

    def _has_failed(self, path: StorePath, number: int) -> bool:
        return number in self._failures.get(path, ())

    def _record_failures(
        self, number: int, faults: Mapping[StorePath, Error], *, contents_refused: bool = False
    ) -> None:
        """Remember that a store failed for some paths, and warn where another store is asked next."""
        for path, error in faults.items():
            failures = self._failures.setdefault(path, {})
            failures[number] = StoreFailure(self._names[number], error, contents_refused)
        if number < len(self._stores) - 1:
            self._warn_once(number, dict.fromkeys(str(faults[path]) for path in sorted(faults)))

    def _warn_once(self, number: int, texts: Iterable[str]) -> None:
        """Warn of what a store said, each text once."""
        new = [text for text in texts if text not in self._reported]
        self._reported.update(new)
        for text in new[:_MAX_WARNINGS]:
            self._warn(f"{text}; the next store is asked")
        if len(new) > _MAX_WARNINGS:
            self._warn(f"{self._names[number]}: {len(new) - _MAX_WARNINGS} more paths failed; the next store is asked")

    def _make_error(self, path: StorePath) -> Error:
        failures = self._failures.get(path, {})
        said = [
            failures.get(number) or StoreFailure(name, None)
            for number, name in enumerate(self._names)
            if number in failures or isinstance(self._stores[number], CanQueryEach)
        ]
        return (
            combine_failures(path, said)
            if said
            else NotFound(f"{path}: got no store, expected one to have its contents")
        )


def _query_each(store: Store, paths: Collection[StorePath]) -> Iterator[tuple[StorePath, PathResult]]:
    if isinstance(store, CanQueryEach):
        yield from store.query_each(paths)
    else:
        yield from store.query(paths).items()


def _find_location(store: Store, path: StorePath) -> Location | None:
    if isinstance(store, HasLocation):
        return store.location(path)
    store.nodes(path)  # raises where it has none
    return None
