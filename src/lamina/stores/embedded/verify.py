"""Verify the embedded store by hashing every NAR.

A path is intact only if its NAR matches its narinfo and all its references are valid. Signatures are not checked again:
they were checked when the path was added, unless the user turned the check off.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from lamina.core.callbacks import ignore
from lamina.core.names import StorePath
from lamina.core.progress import DAMAGED, INTACT, Progress
from lamina.errors import FormatError, IntegrityError, InvalidArgument, NotFound, Unavailable
from lamina.formats.narinfo import NarInfo
from lamina.messages.sizes import format_size
from lamina.stores.embedded.store import EmbeddedStore
from lamina.stores.embedded.stray_files import find_orphans, find_stray_files
from lamina.stores.integrity import check_nar
from lamina.stores.path_progress import PathProgress
from lamina.system.cpus import cpu_count
from lamina.system.threads import ThreadPool

_SUFFIX = ".narinfo"
_DAMAGE_ERRORS = (FormatError, IntegrityError, InvalidArgument, NotFound, Unavailable)


@dataclass(frozen=True, slots=True)
class DamagedPath:
    """A damaged path of the embedded store.

    Attributes:
        hash: the 32 digits that the path's name begins with.
        reason: what is wrong, as a message.
    """

    hash: str
    reason: str


@dataclass(frozen=True, slots=True)
class StoreCheck:
    """The result of verifying the embedded store.

    Attributes:
        intact: the number of good paths.
        damaged: the paths that are damaged.
        orphans: the number of NARs that belong to no path.
        leftovers: the number of files that killed processes left.
        size: the size of all NARs in bytes.
        mended: the paths that were repaired.
        warnings: messages about the binary caches that were asked for repairs.
    """

    intact: int
    damaged: tuple[DamagedPath, ...]
    orphans: int
    leftovers: int
    size: int
    mended: tuple[DamagedPath, ...] = ()
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        counts = f"{self.intact} intact, {len(self.damaged)} damaged, {len(self.mended)} repaired"
        return f"<StoreCheck: {counts}, {format_size(self.size)}>"

    @property
    def paths(self) -> int:
        """The number of paths in the store, damaged and missing ones included."""
        return self.intact + len({damage.hash for damage in (*self.damaged, *self.mended)})


def check_store(store: EmbeddedStore, threads: int = 0, progress: Progress | None = None) -> StoreCheck:
    """Hash the NAR of every path in ``store`` and check its references.

    Args:
        store: The store.
        threads: The number of threads, 0 for the number of processors.
        progress: Receives the progress of the work.

    Raises:
        Unavailable: The store cannot be read.
    """
    store.locks.hold_shared()
    narinfos, damaged = _read_narinfos(store)
    valid = {narinfo.info.path for narinfo in narinfos}
    sizes = {narinfo.info.path: narinfo.info.nar_size for narinfo in narinfos}
    reported = PathProgress(progress, f"Verifying {len(sizes)} store paths", sizes)
    with ThreadPool(threads or cpu_count(), "lamina-check") as pool:
        faults = pool.map(lambda narinfo: _find_reported_fault(store, narinfo, reported), narinfos)
    reported.done()
    damaged += [
        DamagedPath(narinfo.info.path.hash, fault) for narinfo, fault in zip(narinfos, faults, strict=True) if fault
    ]
    bad = {damage.hash for damage in damaged}
    missing = {
        reference.hash: DamagedPath(reference.hash, _describe_missing(reference, narinfo))
        for narinfo in narinfos
        for reference in sorted(narinfo.info.references)
        if reference not in valid and reference.hash not in bad and not _is_valid(store, reference)
    }
    damaged += missing.values()
    return StoreCheck(
        intact=sum(narinfo.info.path.hash not in bad for narinfo in narinfos),
        damaged=tuple(damaged),
        # The NAR of a path with an unreadable narinfo counts as an orphan too, since nothing names it.
        orphans=len(find_orphans(store.folder, narinfos)),
        leftovers=len(find_stray_files(store.folder, narinfos)),
        size=sum(narinfo.info.nar_size for narinfo in narinfos),
    )


def check_paths(store: EmbeddedStore, hashes: Collection[str]) -> dict[str, str]:
    """Check the paths that begin with ``hashes``, and return a message for each damaged path by its hash."""
    faults = {}
    for hash_part in hashes:
        try:
            narinfo = require_narinfo(store, hash_part)
        except _DAMAGE_ERRORS as error:
            faults[hash_part] = str(error)
            continue
        fault = _find_fault(store, narinfo) or _find_missing_reference(store, narinfo)
        if fault:
            faults[hash_part] = fault
    return faults


def require_narinfo(store: EmbeddedStore, hash_part: str) -> NarInfo:
    """Return the narinfo of the path that begins with ``hash_part``.

    Raises:
        NotFound: There is no narinfo.
        FormatError: The narinfo is invalid.
        IntegrityError: The file has the narinfo of another path.
        Unavailable: The file cannot be read.
    """
    file = store.folder / f"{hash_part}{_SUFFIX}"
    narinfo = store.read_narinfo(hash_part)
    if narinfo is None:
        raise NotFound(file, "nothing there", "a narinfo")
    if narinfo.info.path.hash != hash_part:
        raise IntegrityError(file, f"the narinfo of {narinfo.info.path}", f"one of {hash_part}")
    return narinfo


def _read_narinfos(store: EmbeddedStore) -> tuple[list[NarInfo], list[DamagedPath]]:
    """Return all valid narinfos, in order of their hashes, and the damage of the others."""
    narinfos: list[NarInfo] = []
    damaged: list[DamagedPath] = []
    for hash_part in sorted(store.hashes()):
        try:
            narinfos.append(require_narinfo(store, hash_part))
        except NotFound:  # removed since the folder was listed
            continue
        except _DAMAGE_ERRORS as error:
            damaged.append(DamagedPath(hash_part, str(error)))
    return narinfos, damaged


def _find_reported_fault(store: EmbeddedStore, narinfo: NarInfo, progress: PathProgress) -> str:
    """Return the same as `_find_fault`, and report it to ``progress``."""
    path = narinfo.info.path
    fault = _find_fault(store, narinfo, progress.start(path))
    progress.finish(path, DAMAGED if fault else INTACT)
    return fault


def _find_fault(store: EmbeddedStore, narinfo: NarInfo, on_bytes: Callable[[memoryview], object] = ignore) -> str:
    """Return a message about the damage of a path's NAR, or an empty string. References are not checked."""
    try:
        extent = store.nar_extent(narinfo)
        check_nar(narinfo, extent, on_bytes)
    except _DAMAGE_ERRORS as error:
        return str(error.add_context(narinfo.info.path))
    return ""


def _find_missing_reference(store: EmbeddedStore, narinfo: NarInfo) -> str:
    for reference in sorted(narinfo.info.references):
        if not _is_valid(store, reference):
            return _describe_missing(reference, narinfo)
    return ""


def _is_valid(store: EmbeddedStore, path: StorePath) -> bool:
    try:
        return store.narinfo(path) is not None
    except _DAMAGE_ERRORS:  # its own damage is reported separately
        return True


def _describe_missing(path: StorePath, narinfo: NarInfo) -> str:
    return f"{path}: got no such valid path, expected it, because {narinfo.info.path} refers to it"


def iterate_paths(narinfos: Iterable[NarInfo]) -> Iterator[StorePath]:
    """Yield the path and the references of each of ``narinfos``."""
    for narinfo in narinfos:
        yield narinfo.info.path
        yield from narinfo.info.references


def read_valid_narinfos(store: EmbeddedStore) -> list[NarInfo]:
    """Return all valid narinfos, in order of their hashes; skip the others."""
    return _read_narinfos(store)[0]
