"""The public verbs of the store that lamina keeps: what comes in, and what is there.

Invariant: nothing is valid in that store but what it says it is, all that it refers to included; the errors are
`lamina.Error`s, and nothing is printed.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Protocol, Unpack

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.pathinfo import PathInfo
from lamina.errors import Error, InvalidArgument, NotFound
from lamina.formats.narinfo import NarInfo
from lamina.inputs.roots import resolve_root
from lamina.inputs.spec import Spec, StoreArguments
from lamina.inputs.stores import store_access
from lamina.stores.binary_cache.copying import CopyingStore
from lamina.stores.binary_cache.fetch import Fetcher
from lamina.stores.embedded.add import AddedContent, NamedSource, add_content
from lamina.stores.embedded.store import EmbeddedStore
from lamina.stores.failures import RECOVERABLE_ERRORS
from lamina.stores.open import DEFAULT_CACHE, open_stores
from lamina.stores.protocols import Store

_StoreArgument = str | os.PathLike[str] | Store | Sequence[str | os.PathLike[str]]


class FetchProgress(Protocol):
    """Who is told how fetching goes."""

    def begin(self, wanted: Collection[PathInfo], paths: int) -> None:
        """Of so many ``paths``, those that are ``wanted`` are about to come."""

    def advance(self, info: PathInfo) -> None:
        """One of them is there."""


@dataclass(frozen=True, slots=True)
class FetchResult:
    """A closure that is in the store now: its ``paths``, references first, which of them were fetched (``new``), and
    what was odd.
    """

    paths: tuple[NarInfo, ...]
    new: frozenset[StorePath]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AddedPath(NarInfo):
    """What is known of a path that was added, and what was odd on the way."""

    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, known: NarInfo, warnings: Iterable[str]) -> AddedPath:
        """The path ``known`` with ``warnings``."""
        values = {field.name: getattr(known, field.name) for field in fields(known)}
        return cls(**values, warnings=tuple(warnings))


@dataclass(frozen=True, slots=True)
class StoredPath:
    """What is known of a path in the store, how many bytes the NARs of its closure have, and the file of its own."""

    known: NarInfo
    closure_size: int
    file: Path


def fetch_paths(
    roots: Iterable[str],
    *,
    embedded_store: str | os.PathLike[str],
    jobs: int | None = None,
    progress: FetchProgress | None = None,
    **sources: Unpack[StoreArguments],
) -> FetchResult:
    """Fetches ``roots`` and all that they need into the folder ``embedded_store``, which is made where there is none.

    They come from where ``sources`` says (`StoreArguments`), as in `stream_layered_image`; no store is cache.nixos.org.
    Raises `InvalidArgument`, `NotFound`, `Unavailable`, `IntegrityError`, `FormatError`, `PlanError` for a cycle,
    `OutputError`; what came whole until then stays.
    """
    spec = Spec.parse({"contents": roots, "jobs": jobs, **sources})
    with EmbeddedStore.open_for_writing(_folder(embedded_store)) as target:
        return _fetch(spec, target, progress)


def add_path(
    source: str | os.PathLike[str],
    *,
    embedded_store: str | os.PathLike[str],
    name: str | None = None,
    references: str | Sequence[str] = (),
    store: _StoreArgument = (),
) -> AddedPath:
    """Makes a store path of the file or folder ``source``, called ``name``, else as it is called itself; gives what is
    known of it.

    It refers to ``references`` and to every path in ``embedded_store``, and in ``store``, whose hash is found in it;
    those that are in ``store`` alone are copied first. Raises `InvalidArgument`, `NotFound`, `FormatError` for what no
    store path can hold, `Unavailable`, `IntegrityError` where it changes meanwhile, `OutputError`.
    """
    spec = Spec.parse({"store": store, "contents": references})
    named = NamedSource.parse(source, name)
    target = EmbeddedStore.open_or_create(_folder(embedded_store))
    target.locks.hold_shared()
    warnings: list[str] = []
    others = _open_sources(spec, Fetcher(target), warnings) if spec.store else None
    found = AddedContent.read(named, {*target.hashes(), *(others.hashes() if others else ())})
    paths = {resolve_root(target, text).path for text in spec.contents}
    paths |= set(target.with_hashes(found.hashes))
    missing = found.hashes - {path.hash for path in paths}
    if others and missing:
        wanted = others.with_hashes(missing)
        warnings += _fetch(replace(spec, contents=tuple(map(str, wanted))), target, None).warnings
        paths |= set(wanted)
    for path in paths - target.query(paths).keys():
        raise NotFound(f"{path}: got no such valid path in {target.folder}, expected it as a reference")
    return AddedPath.of(add_content(target, found, paths), dict.fromkeys(warnings))


def list_paths(names: str | Iterable[str] = (), *, embedded_store: str | os.PathLike[str]) -> tuple[NarInfo, ...]:
    """What is valid in the folder ``embedded_store``, ascending; with ``names`` what these may mean.

    Raises `NotFound` for a name that fits nothing, `Unavailable` where there is no store, `FormatError` for a damaged
    one.
    """
    target = EmbeddedStore(_folder(embedded_store))
    wanted = Spec.parse({"contents": names}).contents
    if not wanted:
        return tuple(target.narinfos())
    found = {path for text in wanted for path in _find_paths(target, text)}
    return tuple(filter(None, map(target.narinfo, sorted(found))))


def describe_paths(roots: str | Iterable[str], *, embedded_store: str | os.PathLike[str]) -> tuple[StoredPath, ...]:
    """What is known of each of ``roots`` in the folder ``embedded_store``, in that order.

    Raises as `list_paths`, and `NotFound` for a name that fits several.
    """
    target = EmbeddedStore(_folder(embedded_store))
    return tuple(
        _describe_path(target, resolve_root(target, text).path) for text in Spec.parse({"contents": roots}).contents
    )


def _fetch(spec: Spec, target: EmbeddedStore, progress: FetchProgress | None) -> FetchResult:
    warnings: list[str] = []
    fetcher = Fetcher(target, spec.jobs or 0)
    try:
        store = _open_sources(spec, fetcher, warnings)
        roots = dict.fromkeys(resolve_root(store, text).path for text in spec.contents)
        closure = _fetch_closure(roots, store, fetcher, progress)
    finally:
        fetcher.close()
    paths = [info.path for info in closure.bottom_up]
    for path in paths:
        target.location(path)
    known = tuple(filter(None, map(target.narinfo, paths)))
    return FetchResult(known, frozenset(fetcher.received), tuple(warnings))


def _fetch_closure(
    roots: Collection[StorePath], store: CopyingStore, fetcher: Fetcher, progress: FetchProgress | None
) -> Closure:
    """The closure of ``roots``, all of it in the store; what one source gives wrong comes from the next."""
    arrived: set[StorePath] = set()
    pending = progress
    while True:
        closure = Closure.resolve(roots, store.query)
        wanted = [info for info in closure if fetcher.is_registered(info.path) and info.path not in arrived]
        wanted.sort(key=lambda info: info.nar_size, reverse=True)
        if pending:
            pending.begin(wanted, len(closure))
            pending = None
        fetcher.begin(info.path for info in wanted)
        faults: dict[StorePath, Error] = {}
        for info in wanted:
            try:
                fetcher.wait(info.path)
            except RECOVERABLE_ERRORS as error:
                faults[info.path] = error
                if not store.has_fallback(info.path):
                    break
                continue
            arrived.add(info.path)
            if progress:
                progress.advance(info)
        if not faults:
            return closure
        store.fall_back(faults)


def _open_sources(spec: Spec, fetcher: Fetcher, warnings: list[str]) -> CopyingStore:
    """The stores that ``spec`` names, all of whose paths go by way of ``fetcher``."""
    if not isinstance(spec.store, tuple):
        return CopyingStore(fetcher, spec.store)
    how = replace(store_access(spec, warnings), embedded_store=fetcher.store.folder, fetcher=fetcher)
    return CopyingStore(fetcher, open_stores(spec.store or (DEFAULT_CACHE,), how))


def _find_paths(target: EmbeddedStore, text: str) -> Collection[StorePath]:
    found = target.find(text) if "/" not in text else target.query([resolve_root(target, text).path]).keys()
    if not found:
        raise NotFound(f"{text}: got no such valid path in {target.folder}, expected one")
    return found


def _describe_path(target: EmbeddedStore, path: StorePath) -> StoredPath:
    known = target.narinfo(path)
    if known is None:
        raise NotFound(f"{path}: got no such valid path in {target.folder}, expected one")
    closure = Closure.resolve([path], target.query)
    return StoredPath(known, sum(info.nar_size for info in closure), target.file(known))


def _folder(value: str | os.PathLike[str]) -> Path:
    folder = Spec.parse({"embedded_store": value}).embedded_store
    if folder is None:
        raise InvalidArgument("embedded_store: got None, expected the name of a folder")
    return Path(folder)
