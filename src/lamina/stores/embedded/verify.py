"""The embedded store hashed anew.

Invariant: what is counted as intact is: its narinfo says nothing but the truth of its NAR, and what it refers to is
valid. Signatures are not asked for, for whoever took a path in has asked, or was told not to.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lamina.core.names import StorePath
from lamina.errors import FormatError, IntegrityError, InvalidArgument, NotFound, Unavailable
from lamina.formats.narinfo import NarInfo
from lamina.stores.embedded.store import EmbeddedStore
from lamina.stores.embedded.stray_files import find_orphans, find_stray_files
from lamina.stores.integrity import check_nar
from lamina.system.cpus import cpu_count

_SUFFIX = ".narinfo"
_DAMAGE_ERRORS = (FormatError, IntegrityError, InvalidArgument, NotFound, Unavailable)


@dataclass(frozen=True, slots=True)
class DamagedPath:
    """What is wrong in a store, as ``SUBJECT: got X, expected Y``, and the 32 digits in front of the path that was to
    be there.
    """

    hash: str
    reason: str


@dataclass(frozen=True, slots=True)
class StoreCheck:
    """What became of checking a store: so many paths are ``intact``, others ``damaged``, or were until they were
    ``mended``; so many NARs belong to no path, and so many files were left behind by processes that were killed.
    ``size`` is that of the NARs in bytes; ``warnings`` is what caches had to say while something was mended.
    """

    intact: int
    damaged: tuple[DamagedPath, ...]
    orphans: int
    leftovers: int
    size: int
    mended: tuple[DamagedPath, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def paths(self) -> int:
        """How many paths there are, or should be."""
        return self.intact + len({damage.hash for damage in (*self.damaged, *self.mended)})


def check_store(store: EmbeddedStore, threads: int = 0) -> StoreCheck:
    """Hashes every path in ``store``, on ``threads`` threads, 0 for as many as there are processors.

    Raises `Unavailable` for a store that cannot be read.
    """
    store.locks.hold_shared()
    known, damaged = _read_narinfos(store)
    valid = {found.info.path for found in known}
    pool = ThreadPoolExecutor(threads or cpu_count(), "lamina-check")
    try:
        faults = list(pool.map(lambda found: _find_fault(store, found), known))
    finally:  # an interrupt does not wait for the rest
        pool.shutdown(wait=False, cancel_futures=True)
    damaged += [DamagedPath(found.info.path.hash, fault) for found, fault in zip(known, faults, strict=True) if fault]
    bad = {damage.hash for damage in damaged}
    missing = {
        reference.hash: DamagedPath(reference.hash, _missing_reference(reference, found))
        for found in known
        for reference in sorted(found.info.references)
        if reference not in valid and reference.hash not in bad and not _is_valid(store, reference)
    }
    damaged += missing.values()
    return StoreCheck(
        intact=sum(found.info.path.hash not in bad for found in known),
        damaged=tuple(damaged),
        # Whose narinfo cannot be read may have a NAR that looks like nobody's.
        orphans=len(find_orphans(store.folder, known)),
        leftovers=len(find_stray_files(store.folder, known)),
        size=sum(found.info.nar_size for found in known),
    )


def check_paths(store: EmbeddedStore, hashes: Collection[str]) -> dict[str, str]:
    """What is wrong with the paths that begin with ``hashes``; nothing of those that are well."""
    faults = {}
    for hash_part in hashes:
        try:
            found = require_narinfo(store, hash_part)
        except _DAMAGE_ERRORS as error:
            faults[hash_part] = str(error)
            continue
        fault = _find_fault(store, found) or _find_missing_reference(store, found)
        if fault:
            faults[hash_part] = fault
    return faults


def require_narinfo(store: EmbeddedStore, hash_part: str) -> NarInfo:
    """The narinfo of the path that begins with ``hash_part``.

    Raises `NotFound`, `FormatError`, `IntegrityError` for one of another path, `Unavailable`.
    """
    file = store.folder / f"{hash_part}{_SUFFIX}"
    found = store.read_narinfo(hash_part)
    if found is None:
        raise NotFound(f"{file}: got nothing there, expected a narinfo")
    if found.info.path.hash != hash_part:
        raise IntegrityError(f"{file}: got the narinfo of {found.info.path}, expected one of {hash_part}")
    return found


def _read_narinfos(store: EmbeddedStore) -> tuple[list[NarInfo], list[DamagedPath]]:
    """All narinfos that are such, ascending, and what is wrong with the others."""
    known: list[NarInfo] = []
    damaged: list[DamagedPath] = []
    for hash_part in sorted(store.hashes()):
        try:
            known.append(require_narinfo(store, hash_part))
        except NotFound:  # it went meanwhile
            continue
        except _DAMAGE_ERRORS as error:
            damaged.append(DamagedPath(hash_part, str(error)))
    return known, damaged


def _find_fault(store: EmbeddedStore, found: NarInfo) -> str:
    """What is wrong with a path, whatever it refers to; nothing where nothing is."""
    try:
        extent = store.nar_extent(found)
        check_nar(found, extent)
    except _DAMAGE_ERRORS as error:
        text = str(error)
        return text if text.startswith(f"{found.info.path}: ") else f"{found.info.path}: {text}"
    return ""


def _find_missing_reference(store: EmbeddedStore, found: NarInfo) -> str:
    for reference in sorted(found.info.references):
        if not _is_valid(store, reference):
            return _missing_reference(reference, found)
    return ""


def _is_valid(store: EmbeddedStore, path: StorePath) -> bool:
    try:
        return store.narinfo(path) is not None
    except _DAMAGE_ERRORS:  # what is wrong with it is told by itself
        return True


def _missing_reference(path: StorePath, found: NarInfo) -> str:
    return f"{path}: got no such valid path, expected it as a reference of {found.info.path}"


def paths_named(known: Iterable[NarInfo]) -> Iterator[StorePath]:
    """Every path that ``known`` are of or refer to."""
    for found in known:
        yield found.info.path
        yield from found.info.references


def readable_narinfos(store: EmbeddedStore) -> list[NarInfo]:
    """All narinfos that are such, ascending; those that are none are left out."""
    return _read_narinfos(store)[0]
