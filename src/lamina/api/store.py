"""The public functions that fill and list the embedded store, the store that lamina keeps in a folder.

Invariant: a path is valid in that store only if its contents match its NAR hash and all its references are valid.
Every error is a `lamina.Error`, and nothing is printed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Unpack

from lamina.api.embedded_store import parse_store_folder
from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.pathinfo import PathInfo
from lamina.core.progress import COPIED, Progress, ProgressItem, Work
from lamina.errors import Error, NotFound, default_hint
from lamina.formats.narinfo import NarInfo
from lamina.inputs.arguments import StoreArguments, StrPath
from lamina.inputs.parsers import parse_jobs, parse_texts
from lamina.inputs.roots import CHANNEL_HINT, LIST_HINT, MISSING_PATH_HINT, explain_name, resolve_root
from lamina.inputs.spec import StoreSpec
from lamina.inputs.stores import make_store_access
from lamina.messages.sizes import format_size
from lamina.stores.binary_cache.copying import CopyingStore
from lamina.stores.binary_cache.fetch import Fetcher
from lamina.stores.chained import ChainedStore
from lamina.stores.embedded.add import AddedContent, NamedSource, add_content, measure_source
from lamina.stores.embedded.store import EmbeddedStore
from lamina.stores.failures import RECOVERABLE_ERRORS
from lamina.stores.open import DEFAULT_CACHE, open_stores
from lamina.stores.store import StoreLike
from lamina.system.progress_reporter import FileProgress, ProgressReporter


@dataclass(frozen=True, slots=True)
class FetchResult:
    """A closure that is in the store now.

    Attributes:
        paths: the closure, references first.
        new: the paths that were downloaded; the others were in the store before.
        warnings: messages about the stores that the paths came from.

    """

    paths: tuple[NarInfo, ...]
    new: frozenset[StorePath]
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<FetchResult: {len(self.paths)} paths, {len(self.new)} of them fetched>"


@dataclass(frozen=True, slots=True, repr=False)
class AddedPath(NarInfo):
    """The narinfo of a path that was added to the embedded store, with warnings.

    Attributes:
        warnings: messages about the stores that its references came from.
    """

    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, narinfo: NarInfo, warnings: Iterable[str]) -> AddedPath:
        """Return the path of ``narinfo`` with ``warnings``."""
        values = {field.name: getattr(narinfo, field.name) for field in fields(narinfo)}
        return cls(**values, warnings=tuple(warnings))


@dataclass(frozen=True, slots=True)
class StoredPath:
    """A path in the store.

    Attributes:
        known: its narinfo.
        closure_size: the size of the NARs of its closure, in bytes.
        file: the file of its own NAR.

    """

    known: NarInfo
    closure_size: int
    file: Path

    def __repr__(self) -> str:
        return f"<StoredPath {self.known.info.path.name}: closure of {format_size(self.closure_size)}>"


def fetch_paths(
    roots: Iterable[str],
    *,
    embedded_store: StrPath,
    jobs: int | None = None,
    progress: Progress | None = None,
    **sources: Unpack[StoreArguments],
) -> FetchResult:
    """Fetch the closure of ``roots`` into the embedded store.

    Args:
        roots: store paths and package names.
        embedded_store: the store's folder, which is created if it is missing.
        jobs: the number of processors to use; None for all.
        progress: receives the progress of the work.
        store: where the paths come from, as in `stream_layered_image`. By default https://cache.nixos.org.
        **sources: those of `StoreArguments`.

    Returns:
        The closure, and which of its paths were fetched.

    Raises:
        InvalidArgument: an argument is wrong.
        NotFound: no source has a path.
        Unavailable: a source could not be read.
        IntegrityError: a hash or signature does not match.
        FormatError: a source sent something that does not follow its format.
        PlanError: the closure has a cycle.
        OutputError: the embedded store could not be written.

    Paths that were fetched before an error stay in the store.
    """
    texts, spec = parse_texts("contents", roots), StoreSpec.parse(sources)
    workers = parse_jobs("jobs", jobs)
    with EmbeddedStore.open_for_writing(parse_store_folder(embedded_store)) as target:
        return _fetch(texts, spec, target, workers, progress)


def add_path(
    source: StrPath,
    *,
    embedded_store: StrPath,
    name: str | None = None,
    references: str | Sequence[str] = (),
    store: StrPath | StoreLike | Sequence[StrPath] = (),
    progress: Progress | None = None,
) -> AddedPath:
    """Add a file or folder to the embedded store as a store path.

    The path refers to ``references``, and to every path in ``embedded_store`` and in ``store`` whose hash is found in
    its contents. References that are only in ``store`` are copied first.

    Args:
        source: the file or folder.
        embedded_store: the store's folder, which is created if it is missing.
        name: the name of the store path; None for the name of ``source``.
        references: store paths and package names.
        store: other stores that references may come from, as in `stream_layered_image`.
        progress: receives the progress of reading ``source``. It is read twice, so its size counts twice.

    Returns:
        The path's narinfo, with warnings.

    Raises:
        InvalidArgument: an argument is wrong.
        InputError: ``source`` is missing, or cannot be read.
        NotFound: a reference is missing.
        FormatError: ``source`` holds something that a store path cannot hold, such as a socket.
        Unavailable: a store or ``source`` could not be read.
        IntegrityError: ``source`` changed while it was read.
        OutputError: the embedded store could not be written.

    """
    spec, roots = StoreSpec.parse({"store": store}), parse_texts("contents", references)
    named_source = NamedSource.parse(source, name)
    warnings: list[str] = []
    with ExitStack() as resources:
        target = resources.enter_context(EmbeddedStore.open_or_create(parse_store_folder(embedded_store)))
        target.locks.hold_shared()
        others = resources.enter_context(_open_sources(spec, target, warnings))[0] if spec.store else None
        size = measure_source(named_source) if progress else 0
        reported = FileProgress(progress, f"Adding {named_source.name}", named_source.name, 2 * size)
        hashes = {*target.hashes(), *(others.hashes() if others else ())}
        content = AddedContent.read(named_source, hashes, reported.advance)
        paths = {resolve_root(target, text).path for text in roots}
        paths |= set(target.with_hashes(content.hashes))
        missing = content.hashes - {path.hash for path in paths}
        if others and missing:
            copied = others.with_hashes(missing)
            warnings += _fetch(tuple(map(str, copied)), spec, target).warnings
            paths |= set(copied)
        for path in paths - target.query(paths).keys():
            raise NotFound(path, f"no such valid path in {target.folder}", "one, because --reference names it")
        narinfo = add_content(target, content, paths, reported.advance)
        reported.finish(COPIED, size)
        return AddedPath.of(narinfo, dict.fromkeys(warnings))


def list_paths(names: str | Iterable[str] = (), *, embedded_store: StrPath) -> tuple[NarInfo, ...]:
    """Return the valid paths in the folder ``embedded_store``, ascending.

    Args:
        names: store paths and package names; only paths with one of these names are returned. By default all.
        embedded_store: the store's folder.

    Returns:
        The narinfos of the paths, in the order of the paths.

    Raises:
        InvalidArgument: an argument is wrong.
        NotFound: no path has one of the names.
        Unavailable: there is no store.
        FormatError: the store is damaged.

    """
    with EmbeddedStore(parse_store_folder(embedded_store)) as target:
        texts = parse_texts("contents", names)
        if not texts:
            return tuple(target.narinfos())
        found = {path for text in texts for path in _find_paths(target, text)}
        return tuple(filter(None, map(target.narinfo, sorted(found))))


def describe_paths(roots: str | Iterable[str], *, embedded_store: StrPath) -> tuple[StoredPath, ...]:
    """Describe store paths in the embedded store.

    Args:
        roots: store paths and package names.
        embedded_store: the store's folder.

    Returns:
        The paths in the order of ``roots``.

    Raises:
        NotFound: a name fits no path, or several.
        Error: what `list_paths` raises.

    """
    with EmbeddedStore(parse_store_folder(embedded_store)) as target:
        texts = parse_texts("contents", roots)
        return tuple(_describe_path(target, resolve_root(target, text).path) for text in texts)


def _fetch(
    texts: Iterable[str],
    spec: StoreSpec,
    target: EmbeddedStore,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> FetchResult:
    warnings: list[str] = []
    reported = None if progress is None else ProgressReporter(progress)
    with _open_sources(spec, target, warnings, jobs or 0) as (store, fetcher):
        roots = dict.fromkeys(resolve_root(store, text, CHANNEL_HINT).path for text in texts)
        with default_hint(MISSING_PATH_HINT, NotFound):
            closure = _fetch_closure(roots, store, fetcher, reported)
    paths = [info.path for info in closure.bottom_up]
    for path in paths:
        target.location(path)
    narinfos = tuple(filter(None, map(target.narinfo, paths)))
    return FetchResult(narinfos, frozenset(fetcher.received), tuple(warnings))


def _fetch_closure(
    roots: Collection[StorePath], store: CopyingStore, fetcher: Fetcher, progress: Progress | None
) -> Closure:
    """Fetch the closure of ``roots``, large paths first; if a source fails to give a path, ask the next source."""
    received: set[StorePath] = set()
    is_announced = False
    while True:
        closure = Closure.resolve(roots, store.query)
        missing = [info for info in closure if fetcher.is_registered(info.path) and info.path not in received]
        missing.sort(key=lambda info: info.nar_size, reverse=True)
        if progress and missing and not is_announced:
            fetcher.report_to(progress, _announce(progress, missing, len(closure)))
            is_announced = True
        fetcher.prefetch(info.path for info in missing)
        failures: dict[StorePath, Error] = {}
        for info in missing:
            try:
                fetcher.wait(info.path)
            except RECOVERABLE_ERRORS as error:
                failures[info.path] = error
                if not store.has_fallback(info.path):
                    break
                continue
            received.add(info.path)
        if not failures:
            if progress and is_announced:
                progress.done()
            return closure
        store.fall_back(failures)


def _announce(progress: Progress, missing: Sequence[PathInfo], path_count: int) -> Mapping[StorePath, ProgressItem]:
    """Report that ``missing``, of ``path_count`` paths in the closure, are fetched; return the item of each path."""
    title = f"Fetching {len(missing)} of {path_count} store paths"
    work = Work.of_paths(title, ((info.path, info.nar_size) for info in missing))
    progress.begin(work)
    return dict(zip((info.path for info in missing), work.items, strict=True))


@contextmanager
def _open_sources(
    spec: StoreSpec, target: EmbeddedStore, warnings: list[str], threads: int = 0
) -> Iterator[tuple[CopyingStore, Fetcher]]:
    """Open the stores that ``spec`` names for the block, and a fetcher that brings all their paths into ``target``."""
    with ExitStack() as resources:
        fetcher = resources.enter_context(closing(Fetcher(target, threads)))
        if isinstance(spec.store, tuple):
            access = replace(make_store_access(spec, target.folder, warnings), fetcher=fetcher, resources=resources)
            store = open_stores(spec.store or (DEFAULT_CACHE,), access)
        else:
            store = ChainedStore([spec.store])
        yield CopyingStore(fetcher, store), fetcher


def _find_paths(target: EmbeddedStore, text: str) -> Collection[StorePath]:
    found = target.find(text) if "/" not in text else target.query([resolve_root(target, text).path]).keys()
    if not found:
        hint = explain_name(target, text) if "/" not in text else ""
        raise NotFound(text, f"no such valid path in {target.folder}", "one", hint=hint or LIST_HINT)
    return found


def _describe_path(target: EmbeddedStore, path: StorePath) -> StoredPath:
    narinfo = target.narinfo(path)
    if narinfo is None:
        raise NotFound(path, f"no such valid path in {target.folder}", "one", hint=LIST_HINT)
    closure = Closure.resolve([path], target.query)
    return StoredPath(narinfo, sum(info.nar_size for info in closure), target.file(narinfo))
