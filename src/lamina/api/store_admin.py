"""The public verbs of the store that lamina keeps: what is made sure of, thrown away, signed, and handed on.

Invariant: whatever goes wrong, what is valid in that store afterwards is whole; the errors are `lamina.Error`s, and
nothing is printed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol, Unpack

from lamina.api.gc_roots import resolve_gc_roots
from lamina.api.results import ListResult
from lamina.compression.nar import NarCompression
from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.errors import FormatError, InvalidArgument, NotFound, Unavailable
from lamina.formats.keys import PublicKey, SecretKey
from lamina.formats.narinfo import NarInfo
from lamina.inputs.roots import resolve_root
from lamina.inputs.spec import Spec, StoreArguments
from lamina.inputs.stores import open_store, store_access
from lamina.stores.binary_cache.cache import BinaryCache
from lamina.stores.binary_cache.push import PushOptions, PushResult, add_signatures, push
from lamina.stores.binary_cache.repair import repair_paths
from lamina.stores.binary_cache.trust import Trust
from lamina.stores.closure_source import ClosureSource
from lamina.stores.embedded.gc import GCResult, collect, find_garbage
from lamina.stores.embedded.nix_export import ImportedPath, read_export, write_export
from lamina.stores.embedded.store import EmbeddedStore
from lamina.stores.embedded.verify import StoreCheck, check_store
from lamina.stores.open import is_cache_folder, is_remote
from lamina.stores.protocols import Store
from lamina.system.cpus import cpu_count
from lamina.system.keyfile import read_key, write_key
from lamina.system.output import Writable, atomic_write, make_writer
from lamina.transports.open import check_url, open_transport, open_writable

_StrPath = str | os.PathLike[str]
_NO_ROOT = "roots: got none, expected some"


class Readable(Protocol):
    """Anything with a binary ``read``."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most ``size``, none at the end."""


def verify_store(
    *,
    embedded_store: _StrPath,
    repair: bool = False,
    **sources: Unpack[StoreArguments],
) -> StoreCheck:
    """Hashes every path in the folder ``embedded_store`` anew, and with ``repair`` fetches what is damaged from the
    binary caches that ``sources`` names (`StoreArguments`); all that no cache has stays as it is.

    Raises `InvalidArgument`, `Unavailable` where there is no store, `OutputError`.
    """
    spec = Spec.parse({"embedded_store": embedded_store, **sources})
    target = _open_embedded_store(spec)
    urls = _cache_urls(spec, target) if repair else ()
    checked = check_store(target)
    if not repair or not checked.damaged:
        return checked
    trust = (store_access(spec, []).trust or Trust)()
    caches = [BinaryCache(partial(open_transport, url), trust) for url in urls]
    mended = repair_paths(target.folder, checked.damaged, caches, trust)
    return replace(checked, damaged=mended.remaining, mended=mended.repaired, warnings=mended.warnings)


def _cache_urls(spec: Spec, target: EmbeddedStore) -> tuple[str, ...]:
    """The URLs of the caches that ``spec`` names, its own store not among them."""
    places = spec.store if isinstance(spec.store, tuple) else ()
    here = os.path.realpath(target.folder)
    folders = [place for place in places if is_cache_folder(place) and os.path.realpath(place) != here]
    urls = [
        check_url(place) if is_remote(place) else Path(place).absolute().as_uri()
        for place in places
        if place in folders or (is_remote(place) and (not spec.offline or place.startswith("file://")))
    ]
    if not urls:
        raise InvalidArgument(
            "repair: got no binary cache, expected one that has what is damaged",
            hint="name one: --store https://cache.nixos.org",
        )
    return tuple(urls)


def collect_garbage(
    roots: str | Iterable[str] = (), *, embedded_store: _StrPath, all_paths: bool = False, dry_run: bool = False
) -> GCResult:
    """Removes from the folder ``embedded_store`` all that ``roots`` do not reach, with ``all_paths`` all there is;
    with ``dry_run`` only says what that is.

    A root is a store path, a name, an image file or OCI layout, or a spec file, ``lamina.toml#NAME`` for one table of
    it. Raises `InvalidArgument` for no root without ``all_paths``, `NotFound` for a root of which nothing is in the
    store, `Unavailable` while another process uses the store, what reading the files raises, all that before anything
    is removed, and `OutputError`.
    """
    spec = Spec.parse({"embedded_store": embedded_store, "contents": roots})
    _check_roots(spec, all_paths=all_paths)
    target = _open_embedded_store(spec)
    if dry_run:
        return find_garbage(target, resolve_gc_roots(target, spec.contents))
    with target.locks.hold_exclusive():
        return collect(target, resolve_gc_roots(target, spec.contents))


def export_paths(
    roots: str | Iterable[str] = (),
    *,
    output: _StrPath | Writable,
    embedded_store: _StrPath,
    all_paths: bool = False,
    **sources: Unpack[StoreArguments],
) -> ListResult[StorePath]:
    """Write the closure of ``roots`` as ``nix-store --export`` does, and return its paths in that order, references
    first, with the warnings about where they come from.

    It comes from the folder ``embedded_store``, or from where ``sources`` says (`StoreArguments`).
    ``output`` is a file, written whole or not at all, or something with a ``write``. Raises `InvalidArgument`,
    `StoreError`, `IntegrityError`, `OutputError`.
    """
    spec = Spec.parse({"contents": roots, "embedded_store": embedded_store, **sources})
    warnings: list[str] = []
    closure_source, closure = _open_closure(spec, warnings, all_paths=all_paths)
    if isinstance(output, (str, os.PathLike)):
        with atomic_write(Path(output)) as write:
            write_export(closure_source, closure, write)
    else:
        write_export(closure_source, closure, make_writer(output, str(getattr(output, "name", "output"))))
    return ListResult((info.path for info in closure.bottom_up), warnings)


def import_paths(
    source: _StrPath | Readable, *, embedded_store: _StrPath, on_path: Callable[[ImportedPath], object] = str
) -> ListResult[ImportedPath]:
    """Take in what ``nix-store --export`` wrote, from a file or from something with a ``read``, in one pass, into the
    folder ``embedded_store``, which is made where there is none.

    Return what came in, in order, and call ``on_path`` with each path once it is valid. What the stream says of
    references is believed: no signature is in it. Raises `FormatError`, `NotFound` for a reference to what is nowhere,
    `Unavailable` for a file that cannot be read, `OutputError`; what came whole until then stays.
    """
    target = EmbeddedStore.open_or_create(_folder(embedded_store))
    if not isinstance(source, (str, os.PathLike)):
        return _import_stream(target, source, str(getattr(source, "name", "input")), on_path)
    try:
        opened = open(source, "rb")  # noqa: SIM115 - closed below; what fails within is another error
    except (FileNotFoundError, ValueError) as error:
        raise NotFound(f"{source}: got nothing there, expected an export") from error
    except OSError as error:
        raise Unavailable(f"{source}: got {error.strerror}, expected to read an export") from error
    with opened:
        return _import_stream(target, opened, os.fspath(source), on_path)


def _import_stream(
    target: EmbeddedStore, source: Readable, name: str, on_path: Callable[[ImportedPath], object]
) -> ListResult[ImportedPath]:
    def read(size: int) -> bytes:
        try:
            return source.read(size)
        except OSError as error:
            raise Unavailable(f"{name}: got {error.strerror or error}, expected to read an export") from error

    done = []
    try:
        for imported in read_export(target, read):
            on_path(imported)
            done.append(imported)
    except FormatError as error:
        raise FormatError(f"{name}: {error}", hint=error.hint) from error
    return ListResult(done)


def push_paths(
    roots: str | Iterable[str] = (),
    *,
    to: str,
    embedded_store: _StrPath,
    all_paths: bool = False,
    compression: str = "zstd",
    key_files: _StrPath | Sequence[_StrPath] = (),
    listings: bool = True,
    jobs: int | None = None,
    on_path: Callable[[StorePath], object] = str,
    **sources: Unpack[StoreArguments],
) -> PushResult:
    """Copies the closure of ``roots`` to the binary cache at ``to``, ``file:///FOLDER`` or ``s3://BUCKET``, signed with
    the secret keys in ``key_files``; what is there already is not sent again.

    It comes from the folder ``embedded_store``, or from where ``sources`` says (`StoreArguments`).
    ``compression`` is none, zstd, xz, gzip or bzip2, with ``:LEVEL`` or without; ``listings`` is to write what is in
    each NAR beside it; ``on_path`` is told of each path once it is there. Raises `InvalidArgument`, `StoreError`,
    `IntegrityError`, `OutputError`; at any moment what is there is a cache.
    """
    spec = Spec.parse({"contents": roots, "embedded_store": embedded_store, "jobs": jobs, **sources})
    files = [key_files] if isinstance(key_files, (str, os.PathLike)) else key_files
    options = PushOptions(
        NarCompression.parse(compression),
        tuple(read_key(Path(file)) for file in files),
        spec.jobs or cpu_count(),
        listings,
        on_path,
    )
    with closing(open_writable(to)) as target:
        warnings: list[str] = []
        closure_source, closure = _open_closure(spec, warnings, all_paths=all_paths)
        return replace(push(closure_source, closure, target, options), warnings=tuple(warnings))


def sign_paths(
    roots: str | Iterable[str] = (),
    *,
    key_file: _StrPath,
    embedded_store: _StrPath,
    all_paths: bool = False,
    recursive: bool = False,
) -> ListResult[NarInfo]:
    """Sign ``roots``, with ``recursive`` all that they need too, in the folder ``embedded_store``, with the secret key
    in ``key_file``; a signature that is there under the key's name is replaced.

    Return what is known of these paths now, ascending. Raises `InvalidArgument`, `StoreError`, `OutputError`.
    """
    spec = Spec.parse({"embedded_store": embedded_store, "contents": roots})
    _check_roots(spec, all_paths=all_paths)
    key = read_key(Path(key_file))
    target = _open_embedded_store(spec)
    target.locks.hold_shared()  # or a path could go between looking at it and writing its narinfo
    paths = _resolve_roots(target, target, spec, all_paths=all_paths)
    if recursive:
        paths = [info.path for info in Closure.resolve(paths, target.query)]
    return ListResult(_sign_path(target, path, key) for path in sorted(set(paths)))


def _sign_path(target: EmbeddedStore, path: StorePath, key: SecretKey) -> NarInfo:
    known = target.narinfo(path)
    if known is None:
        raise NotFound(f"{path}: got no such valid path in {target.folder}, expected one")
    target.nar_extent(known)  # raises where that is none that a store of lamina's has
    return target.publish(add_signatures(known, [key]))


def generate_key(name: str, file: _StrPath) -> PublicKey:
    """Makes a key called ``name``, puts its secret half into a new ``file`` that its owner alone can read, and gives
    the public one.

    Raises `InvalidArgument`, `OutputError`, also where there is such a file.
    """
    key = SecretKey.generate(name)
    write_key(key, Path(file))
    return key.public


def public_key(file: _StrPath) -> PublicKey:
    """The public half of the secret key in ``file``. Raises `StoreError` for no file, `InvalidArgument` for no key."""
    return read_key(Path(file)).public


def _open_closure(spec: Spec, warnings: list[str], *, all_paths: bool) -> tuple[ClosureSource, Closure]:
    _check_roots(spec, all_paths=all_paths)
    if all_paths and spec.store:
        raise InvalidArgument("store: got places to read from, expected none together with everything")
    store: Store = open_store(spec, warnings) if spec.store or spec.channel else _open_embedded_store(spec)
    closure_source = ClosureSource(store)
    target = _open_embedded_store(spec) if all_paths else None
    return closure_source, closure_source.resolve(_resolve_roots(store, target, spec, all_paths=all_paths))


def _resolve_roots(store: Store, target: EmbeddedStore | None, spec: Spec, *, all_paths: bool) -> list[StorePath]:
    if all_paths and target:
        return [known.info.path for known in target.narinfos()]
    return [resolve_root(store, text).path for text in spec.contents]


def _check_roots(spec: Spec, *, all_paths: bool) -> None:
    if not spec.contents and not all_paths:
        raise InvalidArgument(_NO_ROOT, hint="--all is for all that is in the store")
    if spec.contents and all_paths:
        raise InvalidArgument(f"roots: got {spec.contents[0]} together with everything, expected one of the two")


def _open_embedded_store(spec: Spec) -> EmbeddedStore:
    if spec.embedded_store is None:
        raise InvalidArgument("embedded_store: got None, expected the name of a folder")
    return EmbeddedStore(Path(spec.embedded_store))


def _folder(value: _StrPath) -> Path:
    folder = Spec.parse({"embedded_store": value}).embedded_store
    if folder is None:
        raise InvalidArgument("embedded_store: got None, expected the name of a folder")
    return Path(folder)
