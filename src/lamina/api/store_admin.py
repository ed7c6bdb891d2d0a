"""The public functions that verify, collect, sign, export, import and push the embedded store.

Invariant: after any error, every valid path in that store is still complete. Every error is a `lamina.Error`, and
nothing is printed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol, Unpack

from lamina.api.embedded_store import parse_store_folder
from lamina.api.gc_roots import resolve_gc_roots
from lamina.api.old_names import takes_old_arguments
from lamina.api.results import ListResult
from lamina.compression.nar import NarCompression
from lamina.core.callbacks import ignore
from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.progress import COPIED, Progress
from lamina.errors import FormatError, InputError, InvalidArgument, NotFound, default_hint, error_context
from lamina.formats.keys import PublicKey, SecretKey
from lamina.formats.narinfo import NarInfo
from lamina.inputs.arguments import StoreArguments, StrPath
from lamina.inputs.parsers import parse_jobs, parse_text, parse_texts
from lamina.inputs.roots import CHANNEL_HINT, LIST_HINT, MISSING_PATH_HINT, resolve_root
from lamina.inputs.spec import StoreSpec
from lamina.inputs.stores import make_trust, open_store
from lamina.messages.redaction import short_repr
from lamina.stores.binary_cache.cache import BinaryCache
from lamina.stores.binary_cache.push import PushOptions, PushResult, add_signatures, push
from lamina.stores.binary_cache.repair import repair_paths
from lamina.stores.embedded.gc import GCResult, find_garbage, remove_garbage
from lamina.stores.embedded.nix_export import ImportedPath, read_export, write_export
from lamina.stores.embedded.store import EmbeddedStore
from lamina.stores.embedded.verify import StoreCheck, check_store
from lamina.stores.open import is_cache_folder, is_remote
from lamina.stores.resolve import resolve_closure
from lamina.stores.store import Store
from lamina.system.cpus import cpu_count
from lamina.system.fd_writer import Output
from lamina.system.keyfile import read_key, write_key
from lamina.system.output import Writable, atomic_write, make_writer, parse_output_file
from lamina.system.progress_reporter import FileProgress
from lamina.transports.open import check_url, open_transport, open_writable


class Readable(Protocol):
    """Anything with a binary ``read``."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, at most ``size``; return ``b""`` at the end."""


def verify_store(
    *,
    embedded_store: StrPath,
    repair: bool = False,
    progress: Progress | None = None,
    **sources: Unpack[StoreArguments],
) -> StoreCheck:
    """Hash every path in the embedded store again, and optionally repair damaged ones.

    Args:
        embedded_store: the store's folder.
        repair: download damaged paths again. A path that no cache has stays as it is.
        progress: receives the progress of hashing the paths.
        store: the binary caches that damaged paths are fetched from.
        **sources: those of `StoreArguments`.

    Returns:
        How many paths are valid and intact, and which are damaged or were repaired.

    Raises:
        InvalidArgument: an argument is wrong, or ``repair`` is true and ``sources`` name no binary cache.
        Unavailable: there is no store.
        OutputError: the store could not be written.

    """
    spec = StoreSpec.parse(sources)
    with EmbeddedStore(parse_store_folder(embedded_store)) as target, ExitStack() as resources:
        urls = _cache_urls(spec, target) if repair else ()
        checked = check_store(target, progress=progress)
        if not repair or not checked.damaged:
            return checked
        trust = make_trust(spec)
        caches = [resources.enter_context(closing(BinaryCache(partial(open_transport, url), trust))) for url in urls]
        result = repair_paths(target.folder, checked.damaged, caches, trust)
    return replace(checked, damaged=result.remaining, mended=result.repaired, warnings=result.warnings)


def _cache_urls(spec: StoreSpec, target: EmbeddedStore) -> tuple[str, ...]:
    """Return the URLs of the binary caches that ``spec`` names, without ``target`` itself."""
    stores = spec.store if isinstance(spec.store, tuple) else ()
    own_folder = os.path.realpath(target.folder)
    folders = [store for store in stores if is_cache_folder(store) and os.path.realpath(store) != own_folder]
    urls = [
        check_url(store) if is_remote(store) else Path(store).absolute().as_uri()
        for store in stores
        if store in folders or (is_remote(store) and (not spec.offline or store.startswith("file://")))
    ]
    if not urls:
        raise InvalidArgument(
            "repair",
            "no binary cache",
            "one that has the damaged paths",
            hint="name one: --store https://cache.nixos.org",
        )
    return tuple(urls)


@takes_old_arguments(everything="all_paths")
def collect_garbage(
    roots: str | Iterable[str] = (), *, embedded_store: StrPath, all_paths: bool = False, dry_run: bool = False
) -> GCResult:
    """Remove from the embedded store every path that ``roots`` do not reach.

    Args:
        roots: what to keep. Each is a store path, a package name, an image file, an OCI layout, or a spec file, with
            ``lamina.toml#NAME`` for one table of it.
        embedded_store: the store's folder.
        all_paths: remove every path; give no roots then.
        dry_run: only return what would be removed.

    Returns:
        What was removed, with the number of bytes that this frees, and how many paths stay.

    Raises:
        InvalidArgument: there is no root and ``all_paths`` is false, or both are given.
        NotFound: nothing of a root is in the store.
        Unavailable: another process uses the store, or the store does not exist.
        Error: what reading the roots' files raises.
        OutputError: a file could not be removed. All other errors come before anything is removed.

    """
    texts = _parse_roots(roots, all_paths=all_paths, hint="name what to keep; --all keeps nothing")
    with EmbeddedStore(parse_store_folder(embedded_store)) as target:
        if dry_run:
            return find_garbage(target, resolve_gc_roots(target, texts))
        with target.locks.hold_exclusive():
            return remove_garbage(target, resolve_gc_roots(target, texts))


@takes_old_arguments(everything="all_paths")
def export_paths(
    roots: str | Iterable[str] = (),
    *,
    output: StrPath | Writable,
    embedded_store: StrPath,
    all_paths: bool = False,
    progress: Progress | None = None,
    **sources: Unpack[StoreArguments],
) -> ListResult[StorePath]:
    """Write the closure of ``roots`` in the format of ``nix-store --export``.

    Args:
        roots: store paths and package names.
        output: a file, written whole or not at all, or anything with a binary ``write``.
        embedded_store: the folder that the closure comes from.
        all_paths: write every path in ``embedded_store``; give no roots and no sources then.
        progress: receives the progress of the work.
        store: other stores that the closure comes from, as in `stream_layered_image`. By default ``embedded_store``.
        **sources: those of `StoreArguments`.

    Returns:
        The paths in the order in which they were written, references first, with warnings about the stores.

    Raises:
        InvalidArgument: an argument is wrong.
        StoreError: a path is not valid, or a store could not be read.
        IntegrityError: a path does not match its NAR hash.
        OutputError: ``output`` could not be written.

    """
    texts, spec = _parse_roots(roots, all_paths=all_paths), StoreSpec.parse(sources)
    warnings: list[str] = []
    folder = parse_store_folder(embedded_store)
    opened: AbstractContextManager[Output]
    if isinstance(output, (str, os.PathLike)):
        opened = atomic_write(parse_output_file(output))
    else:
        opened = nullcontext(make_writer(output, str(getattr(output, "name", "output"))))
    with _open_closure(texts, spec, folder, warnings) as (store, closure), opened as out:
        write_export(store, closure, out.write, progress)
        return ListResult((info.path for info in closure.bottom_up), warnings)


@takes_old_arguments(tell="on_path")
def import_paths(
    source: StrPath | Readable,
    *,
    embedded_store: StrPath,
    on_path: Callable[[ImportedPath], object] = ignore,
    progress: Progress | None = None,
) -> ListResult[ImportedPath]:
    """Import a stream that ``nix-store --export`` wrote into the embedded store, in one pass.

    The stream has no signatures, so its references are accepted without a check. Paths that were imported before an
    error stay.

    Args:
        source: a file, or anything with a binary ``read``.
        embedded_store: the store's folder, which is created if it is missing.
        on_path: is called with each path once it is valid.
        progress: receives the progress of reading ``source``. The size is 0 unless ``source`` is the name of a file.

    Returns:
        The imported paths, in the order of the stream.

    Raises:
        FormatError: the stream does not follow the format.
        InputError: ``source`` is missing, or could not be read.
        NotFound: a reference is neither in the stream nor in the store.
        OutputError: the store could not be written.

    """
    folder = parse_store_folder(embedded_store)
    if not isinstance(source, (str, os.PathLike)):
        if not callable(getattr(source, "read", None)):
            expected = "the name of a file, or an object with a binary read"
            raise InvalidArgument("source", short_repr(source), expected)
        name = str(getattr(source, "name", "input"))
        return _import_stream(folder, source, on_path, name, FileProgress(progress, f"Importing {name}", name, 0))
    try:
        opened = open(source, "rb")  # noqa: SIM115 - closed below; an error within the block is another error
    except (OSError, ValueError) as error:
        raise InputError(source, error, "an export") from error
    with opened:
        name, size = os.fspath(source), os.fstat(opened.fileno()).st_size
        return _import_stream(folder, opened, on_path, name, FileProgress(progress, f"Importing {name}", name, size))


def _import_stream(
    folder: Path,
    source: Readable,
    on_path: Callable[[ImportedPath], object],
    name: str,
    progress: FileProgress,
) -> ListResult[ImportedPath]:
    read_bytes = 0

    def read(size: int) -> bytes:
        nonlocal read_bytes
        try:
            data = source.read(size)
        except OSError as error:
            raise InputError(name, error, "to read an export") from error
        read_bytes += len(data)
        progress.advance(len(data))
        return data

    imported_paths = []
    with EmbeddedStore.open_or_create(folder) as target, error_context(name, FormatError):
        for imported in read_export(target, read):
            on_path(imported)
            imported_paths.append(imported)
    progress.finish(COPIED, read_bytes)
    return ListResult(imported_paths)


@takes_old_arguments(everything="all_paths", tell="on_path")
def push_paths(
    roots: str | Iterable[str] = (),
    *,
    to: str,
    embedded_store: StrPath,
    all_paths: bool = False,
    compression: str = "zstd",
    key_files: StrPath | Sequence[StrPath] = (),
    listings: bool = True,
    jobs: int | None = None,
    on_path: Callable[[StorePath], object] = ignore,
    progress: Progress | None = None,
    **sources: Unpack[StoreArguments],
) -> PushResult:
    """Copy the closure of ``roots`` to a binary cache, except paths that are there already.

    The cache is valid at every moment, also after an error.

    Args:
        roots: store paths and package names.
        to: the cache, ``file:///FOLDER`` or ``s3://BUCKET``.
        embedded_store: the folder that the closure comes from.
        all_paths: copy every path in ``embedded_store``; give no roots and no sources then.
        compression: none, zstd, xz, gzip or bzip2, optionally with ``:LEVEL``.
        key_files: files with the secret keys to sign with.
        listings: write a listing of its files beside each NAR.
        jobs: the number of processors to use; None for all.
        on_path: is called with each path once it is in the cache.
        progress: receives the progress of the work.
        store: other stores that the closure comes from, as in `stream_layered_image`. By default ``embedded_store``.
        **sources: those of `StoreArguments`.

    Returns:
        Which paths were sent, which were there and got new signatures, and the size of what was sent.

    Raises:
        InvalidArgument: an argument is wrong.
        StoreError: a path is not valid, a store could not be read, or the cache could not be reached.
        InputError: a key file is missing, or cannot be read.
        IntegrityError: a path does not match its NAR hash.
        OutputError: the cache could not be written.

    """
    texts, spec = _parse_roots(roots, all_paths=all_paths), StoreSpec.parse(sources)
    folder = parse_store_folder(embedded_store)
    files = [key_files] if isinstance(key_files, (str, os.PathLike)) else key_files
    options = PushOptions(
        NarCompression.parse(compression),
        tuple(read_key(Path(file)) for file in files),
        parse_jobs("jobs", jobs) or cpu_count(),
        listings,
        on_path,
    )
    warnings: list[str] = []
    with (
        closing(open_writable(parse_text("to", to))) as target,
        _open_closure(texts, spec, folder, warnings) as (store, closure),
    ):
        return replace(push(store, closure, target, options, progress), warnings=tuple(warnings))


@takes_old_arguments(everything="all_paths")
def sign_paths(
    roots: str | Iterable[str] = (),
    *,
    key_file: StrPath,
    embedded_store: StrPath,
    all_paths: bool = False,
    recursive: bool = False,
) -> ListResult[NarInfo]:
    """Sign paths in the embedded store; an existing signature under the key's name is replaced.

    Args:
        roots: store paths and package names.
        key_file: the file with the secret key.
        embedded_store: the store's folder.
        all_paths: sign every path; give no roots then.
        recursive: sign the closure of ``roots`` too.

    Returns:
        The narinfos of the signed paths, ascending.

    Raises:
        InvalidArgument: an argument or the key is wrong.
        StoreError: a path is not valid, or the store could not be read.
        InputError: the key file is missing, or cannot be read.
        OutputError: the store could not be written.

    """
    texts = _parse_roots(roots, all_paths=all_paths)
    key = read_key(Path(key_file))
    with EmbeddedStore(parse_store_folder(embedded_store)) as target:
        target.locks.hold_shared()  # else a garbage collection could delete a path before its narinfo is written
        paths = _resolve_roots(texts, target, target.folder, LIST_HINT)
        if recursive:
            paths = [info.path for info in Closure.resolve(paths, target.query)]
        return ListResult(_sign_path(target, path, key) for path in sorted(set(paths)))


def _sign_path(target: EmbeddedStore, path: StorePath, key: SecretKey) -> NarInfo:
    narinfo = target.narinfo(path)
    if narinfo is None:
        raise NotFound(path, f"no such valid path in {target.folder}", "one")
    target.nar_extent(narinfo)  # raises unless the NAR is one that an embedded store holds
    return target.publish(add_signatures(narinfo, [key]))


def generate_key(name: str, file: StrPath) -> PublicKey:
    """Generate a signing key.

    Args:
        name: the key's name, which signatures begin with.
        file: a new file for the secret key, readable only by its owner.

    Returns:
        The public key.

    Raises:
        InvalidArgument: the name is wrong, or ``file`` is a folder.
        OutputError: ``file`` exists or could not be written.

    """
    path = parse_output_file(file)
    key = SecretKey.generate(name)
    write_key(key, path)
    return key.public


def public_key(file: StrPath) -> PublicKey:
    """Return the public key that belongs to a secret key.

    Args:
        file: the file with the secret key.

    Returns:
        The public key.

    Raises:
        InputError: the file is missing, or cannot be read.
        InvalidArgument: the file does not hold a secret key.

    """
    return read_key(Path(file)).public


def _parse_roots(
    roots: str | Iterable[str], *, all_paths: bool, hint: str = "--all takes every path in the store"
) -> tuple[str, ...]:
    """Return ``roots`` as a tuple, which is empty for all paths."""
    texts = parse_texts("contents", roots)
    if not texts and not all_paths:
        raise InvalidArgument("ROOT", "none", "at least one", hint=hint)
    if texts and all_paths:
        raise InvalidArgument("ROOT", f"{texts[0]} and all paths", "one of the two")
    return texts


@contextmanager
def _open_closure(
    roots: Collection[str], spec: StoreSpec, folder: Path, warnings: list[str]
) -> Iterator[tuple[Store, Closure]]:
    if spec.store and not roots:
        raise InvalidArgument(
            "store", "sources and all paths", "no sources, because all paths are those of the embedded store"
        )
    opened: AbstractContextManager[Store] = (
        open_store(spec, folder, warnings) if spec.store or spec.channel else EmbeddedStore(folder)
    )
    with opened as store:
        paths = _resolve_roots(roots, store, folder, CHANNEL_HINT)
        with default_hint(MISSING_PATH_HINT, NotFound):
            closure = resolve_closure(paths, store)
        store.prefetch(info.path for info in closure.bottom_up)
        yield store, closure


def _resolve_roots(roots: Collection[str], store: Store, folder: Path, hint: str) -> list[StorePath]:
    """Return the paths that ``roots`` name in ``store``, or without roots, all paths in the folder.

    ``hint`` is that of `resolve_root`.
    """
    if roots:
        return [resolve_root(store, text, hint).path for text in roots]
    with EmbeddedStore(folder) as target:
        return [narinfo.info.path for narinfo in target.narinfos()]
