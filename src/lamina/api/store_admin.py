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

from lamina.api.gc_roots import kept
from lamina.api.results import ListResult
from lamina.compression.nar import NarCompression
from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.errors import FormatError, InvalidName, NotFound, Unavailable
from lamina.formats.keys import PublicKey, SecretKey
from lamina.formats.narinfo import NarInfo
from lamina.inputs.roots import content
from lamina.inputs.spec import Spec, StoreArguments
from lamina.inputs.stores import access, store_of
from lamina.stores.binary_cache.cache import BinaryCache
from lamina.stores.binary_cache.push import Pushed, Terms, push, signed
from lamina.stores.binary_cache.repair import mend
from lamina.stores.binary_cache.trust import Trust
from lamina.stores.closure_source import Supply
from lamina.stores.embedded.gc import Garbage, collect, garbage
from lamina.stores.embedded.nix_export import Imported, read_export, write_export
from lamina.stores.embedded.store import EmbeddedStore
from lamina.stores.embedded.verify import CheckedStore, check_store
from lamina.stores.opening import is_cache_folder, is_remote
from lamina.stores.protocols import Store
from lamina.system.cpus import processors
from lamina.system.keyfile import read_key, write_key
from lamina.system.output import Writable, whole_file, writing_to
from lamina.transports.opening import checked_url, open_transport, open_writable

_Place = str | os.PathLike[str]
_NO_ROOT = "roots: got none, expected some"


class Readable(Protocol):
    """Anything with a binary ``read``."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most ``size``, none at the end."""


def verify_store(
    *,
    embedded_store: _Place,
    repair: bool = False,
    **where: Unpack[StoreArguments],
) -> CheckedStore:
    """Hashes every path in the folder ``embedded_store`` anew, and with ``repair`` fetches what is damaged from the
    binary caches that ``where`` names (`StoreArguments`); all that no cache has stays as it is.

    Raises `InvalidName`, `Unavailable` where there is no store, `OutputError`.
    """
    spec = Spec.parse({"embedded_store": embedded_store, **where})
    target = _embedded(spec)
    urls = _caches(spec, target) if repair else ()
    checked = check_store(target)
    if not repair or not checked.damaged:
        return checked
    trust = (access(spec, []).trust or Trust)()
    caches = [BinaryCache(partial(open_transport, url), trust) for url in urls]
    mended = mend(target.folder, checked.damaged, caches, trust)
    return replace(checked, damaged=mended.left, mended=mended.gone, warnings=mended.warnings)


def _caches(spec: Spec, target: EmbeddedStore) -> tuple[str, ...]:
    """The URLs of the caches that ``spec`` names, its own store not among them."""
    places = spec.store if isinstance(spec.store, tuple) else ()
    here = os.path.realpath(target.folder)
    folders = [place for place in places if is_cache_folder(place) and os.path.realpath(place) != here]
    urls = [
        checked_url(place) if is_remote(place) else Path(place).absolute().as_uri()
        for place in places
        if place in folders or (is_remote(place) and (not spec.offline or place.startswith("file://")))
    ]
    if not urls:
        raise InvalidName(
            "repair: got no binary cache, expected one that has what is damaged",
            hint="name one: --store https://cache.nixos.org",
        )
    return tuple(urls)


def collect_garbage(
    roots: str | Iterable[str] = (), *, embedded_store: _Place, everything: bool = False, dry_run: bool = False
) -> Garbage:
    """Removes from the folder ``embedded_store`` all that ``roots`` do not reach, with ``everything`` all there is;
    with ``dry_run`` only says what that is.

    A root is a store path, a name, an image file or OCI layout, or a spec file, ``lamina.toml#NAME`` for one table of
    it. Raises `InvalidName` for no root without ``everything``, `NotFound` for a root of which nothing is in the store,
    `Unavailable` while another process uses the store, what reading the files raises, all that before anything is
    removed, and `OutputError`.
    """
    spec = Spec.parse({"embedded_store": embedded_store, "contents": roots})
    _check_roots(spec, everything=everything)
    target = _embedded(spec)
    if dry_run:
        return garbage(target, kept(target, spec.contents))
    with target.locks.alone():
        return collect(target, kept(target, spec.contents))


def export_paths(
    roots: str | Iterable[str] = (),
    *,
    output: _Place | Writable,
    embedded_store: _Place,
    everything: bool = False,
    **where: Unpack[StoreArguments],
) -> ListResult[StorePath]:
    """Write the closure of ``roots`` as ``nix-store --export`` does, and return its paths in that order, references
    first, with the warnings about where they come from.

    It comes from the folder ``embedded_store``, or from where ``where`` says (`StoreArguments`).
    ``output`` is a file, written whole or not at all, or something with a ``write``. Raises `InvalidName`,
    `StoreError`, `IntegrityError`, `OutputError`.
    """
    spec = Spec.parse({"contents": roots, "embedded_store": embedded_store, **where})
    warnings: list[str] = []
    supply, closure = _supply(spec, warnings, everything=everything)
    if isinstance(output, (str, os.PathLike)):
        with whole_file(Path(output)) as write:
            write_export(supply, closure, write)
    else:
        write_export(supply, closure, writing_to(output, str(getattr(output, "name", "output"))))
    return ListResult((info.path for info in closure.bottom_up), warnings)


def import_paths(
    source: _Place | Readable, *, embedded_store: _Place, tell: Callable[[Imported], object] = str
) -> ListResult[Imported]:
    """Take in what ``nix-store --export`` wrote, from a file or from something with a ``read``, in one pass, into the
    folder ``embedded_store``, which is made where there is none.

    Return what came in, in order, and call ``tell`` with each path once it is valid. What the stream says of references
    is believed: no signature is in it. Raises `FormatError`, `NotFound` for a reference to what is nowhere,
    `Unavailable` for a file that cannot be read, `OutputError`; what came whole until then stays.
    """
    target = EmbeddedStore.made(_folder(embedded_store))
    if not isinstance(source, (str, os.PathLike)):
        return _imported(target, source, str(getattr(source, "name", "input")), tell)
    try:
        opened = open(source, "rb")  # noqa: SIM115 - closed below; what fails within is another error
    except (FileNotFoundError, ValueError) as error:
        raise NotFound(f"{source}: got nothing there, expected an export") from error
    except OSError as error:
        raise Unavailable(f"{source}: got {error.strerror}, expected to read an export") from error
    with opened:
        return _imported(target, opened, os.fspath(source), tell)


def _imported(
    target: EmbeddedStore, source: Readable, name: str, tell: Callable[[Imported], object]
) -> ListResult[Imported]:
    def read(size: int) -> bytes:
        try:
            return source.read(size)
        except OSError as error:
            raise Unavailable(f"{name}: got {error.strerror or error}, expected to read an export") from error

    done = []
    try:
        for imported in read_export(target, read):
            tell(imported)
            done.append(imported)
    except FormatError as error:
        raise FormatError(f"{name}: {error}", hint=error.hint) from error
    return ListResult(done)


def push_paths(
    roots: str | Iterable[str] = (),
    *,
    to: str,
    embedded_store: _Place,
    everything: bool = False,
    compression: str = "zstd",
    key_files: _Place | Sequence[_Place] = (),
    listings: bool = True,
    jobs: int | None = None,
    tell: Callable[[StorePath], object] = str,
    **where: Unpack[StoreArguments],
) -> Pushed:
    """Copies the closure of ``roots`` to the binary cache at ``to``, ``file:///FOLDER`` or ``s3://BUCKET``, signed with
    the secret keys in ``key_files``; what is there already is not sent again.

    It comes from the folder ``embedded_store``, or from where ``where`` says (`StoreArguments`).
    ``compression`` is none, zstd, xz, gzip or bzip2, with ``:LEVEL`` or without; ``listings`` is to write what is in
    each NAR beside it; ``tell`` is told of each path once it is there. Raises `InvalidName`, `StoreError`,
    `IntegrityError`, `OutputError`; at any moment what is there is a cache.
    """
    spec = Spec.parse({"contents": roots, "embedded_store": embedded_store, "jobs": jobs, **where})
    files = [key_files] if isinstance(key_files, (str, os.PathLike)) else key_files
    terms = Terms(
        NarCompression.parse(compression),
        tuple(read_key(Path(file)) for file in files),
        spec.jobs or processors(),
        listings,
        tell,
    )
    with closing(open_writable(to)) as target:
        warnings: list[str] = []
        supply, closure = _supply(spec, warnings, everything=everything)
        return replace(push(supply, closure, target, terms), warnings=tuple(warnings))


def sign_paths(
    roots: str | Iterable[str] = (),
    *,
    key_file: _Place,
    embedded_store: _Place,
    everything: bool = False,
    recursive: bool = False,
) -> ListResult[NarInfo]:
    """Sign ``roots``, with ``recursive`` all that they need too, in the folder ``embedded_store``, with the secret key
    in ``key_file``; a signature that is there under the key's name is replaced.

    Return what is known of these paths now, ascending. Raises `InvalidName`, `StoreError`, `OutputError`.
    """
    spec = Spec.parse({"embedded_store": embedded_store, "contents": roots})
    _check_roots(spec, everything=everything)
    key = read_key(Path(key_file))
    target = _embedded(spec)
    target.locks.use()  # or a path could go between looking at it and writing its narinfo
    paths = _roots(target, target, spec, everything=everything)
    if recursive:
        paths = [info.path for info in Closure.resolve(paths, target.query)]
    return ListResult(_signed(target, path, key) for path in sorted(set(paths)))


def _signed(target: EmbeddedStore, path: StorePath, key: SecretKey) -> NarInfo:
    known = target.narinfo(path)
    if known is None:
        raise NotFound(f"{path}: got no such valid path in {target.folder}, expected one")
    target.archive(known)  # raises where that is none that a store of lamina's has
    return target.publish(signed(known, [key]))


def generate_key(name: str, file: _Place) -> PublicKey:
    """Makes a key called ``name``, puts its secret half into a new ``file`` that its owner alone can read, and gives
    the public one.

    Raises `InvalidName`, `OutputError`, also where there is such a file.
    """
    key = SecretKey.generate(name)
    write_key(key, Path(file))
    return key.public


def public_key(file: _Place) -> PublicKey:
    """The public half of the secret key in ``file``. Raises `StoreError` for no file, `InvalidName` for no key."""
    return read_key(Path(file)).public


def _supply(spec: Spec, warnings: list[str], *, everything: bool) -> tuple[Supply, Closure]:
    _check_roots(spec, everything=everything)
    if everything and spec.store:
        raise InvalidName("store: got places to read from, expected none together with everything")
    store: Store = store_of(spec, warnings) if spec.store or spec.channel else _embedded(spec)
    supply = Supply(store)
    target = _embedded(spec) if everything else None
    return supply, supply.closure(_roots(store, target, spec, everything=everything))


def _roots(store: Store, target: EmbeddedStore | None, spec: Spec, *, everything: bool) -> list[StorePath]:
    if everything and target:
        return [known.info.path for known in target.narinfos()]
    return [content(store, text).path for text in spec.contents]


def _check_roots(spec: Spec, *, everything: bool) -> None:
    if not spec.contents and not everything:
        raise InvalidName(_NO_ROOT, hint="--all is for all that is in the store")
    if spec.contents and everything:
        raise InvalidName(f"roots: got {spec.contents[0]} together with everything, expected one of the two")


def _embedded(spec: Spec) -> EmbeddedStore:
    if spec.embedded_store is None:
        raise InvalidName("embedded_store: got None, expected the name of a folder")
    return EmbeddedStore(Path(spec.embedded_store))


def _folder(value: _Place) -> Path:
    folder = Spec.parse({"embedded_store": value}).embedded_store
    if folder is None:
        raise InvalidName("embedded_store: got None, expected the name of a folder")
    return Path(folder)
