"""Garbage collection: remove paths from the embedded store that no root depends on.

Invariant: a path is removed before the paths that it refers to, and its narinfo before its NAR. The store therefore
stays complete if the removal is interrupted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.topological_order import sort_topologically
from lamina.formats.narinfo import NarInfo
from lamina.messages.sizes import format_size
from lamina.stores.embedded.store import EmbeddedStore
from lamina.stores.embedded.stray_files import NARS, find_old_locks, find_orphans, find_stray_files, get_size
from lamina.stores.embedded.verify import read_valid_narinfos

_SUFFIX = ".narinfo"
_LISTING = ".ls"


@dataclass(frozen=True, slots=True)
class GCResult:
    """The result of a garbage collection.

    Attributes:
        paths: the store paths that are removed, in that order, each with the number of bytes that this frees.
        files: other files that are removed, with their sizes in bytes.
        kept: the number of store paths that stay.
        warnings: messages about the roots.
    """

    paths: tuple[tuple[StorePath, int], ...]
    files: tuple[tuple[str, int], ...]
    kept: int
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<GCResult: {len(self.paths)} paths removed, {self.kept} kept, {format_size(self.size)} freed>"

    @property
    def size(self) -> int:
        """The number of bytes that are freed."""
        return sum(size for _, size in (*self.paths, *self.files))


def find_garbage(store: EmbeddedStore, roots: Iterable[StorePath]) -> GCResult:
    """Find everything in ``store`` that ``roots`` do not reach, without removing it.

    Raises:
        NotFound: A root, or a path that a root depends on, is not valid.
        FormatError: The narinfo of one of them is invalid.
        Unavailable: The store cannot be read.
    """
    return _GarbagePlan(store, roots).find_garbage()


def remove_garbage(store: EmbeddedStore, roots: Iterable[StorePath]) -> GCResult:
    """Remove what `find_garbage` returns, and old lock files; return the same result.

    The caller holds the exclusive lock of the store. Raises what `find_garbage` raises, before anything is removed,
    and `OutputError`.
    """
    plan = _GarbagePlan(store, roots)
    result = plan.find_garbage()
    plan.remove()
    for name in (*(name for name, _ in result.files), *find_old_locks(store.folder)):
        store.discard(name)
    return result


class _GarbagePlan:
    """The paths and files to remove from ``store`` if ``roots`` are kept."""

    def __init__(self, store: EmbeddedStore, roots: Iterable[StorePath]) -> None:
        self._store = store
        self._live = {info.path for info in Closure.resolve(roots, store.query)}
        self._narinfos = read_valid_narinfos(store)
        self._dead = sort_referrers_first(
            [narinfo for narinfo in self._narinfos if narinfo.info.path not in self._live]
        )
        self._nar_uses = Counter(narinfo.file_name for narinfo in self._narinfos)

    def find_garbage(self) -> GCResult:
        folder = self._store.folder
        kept = [narinfo for narinfo in self._narinfos if narinfo.info.path in self._live]
        paths = [
            (narinfo.info.path, sum(get_size(folder, name) for name in names))
            for narinfo, names in self._list_deletions()
        ]
        readable = {narinfo.info.path.hash for narinfo in self._narinfos}
        names = [f"{hash_part}{_SUFFIX}" for hash_part in sorted(self._store.hashes()) if hash_part not in readable]
        deleted = {name for _, names in self._list_deletions() for name in names}
        strays = (*find_orphans(folder, self._narinfos), *find_stray_files(folder, self._narinfos))
        names += [name for name in strays if name not in deleted]
        return GCResult(tuple(paths), tuple((name, get_size(folder, name)) for name in names), len(kept))

    def remove(self) -> None:
        for narinfo, names in self._list_deletions():
            self._store.remove((narinfo.info.path,))
            for name in names:
                self._store.discard(name)

    def _list_deletions(self) -> Iterable[tuple[NarInfo, Sequence[str]]]:
        """Yield each path to remove, with its files in the order of their removal."""
        uses = Counter(self._nar_uses)
        for narinfo in self._dead:
            nar = narinfo.file_name
            uses[nar] -= 1
            names = [f"{narinfo.info.path.hash}{_SUFFIX}", f"{narinfo.info.path.hash}{_LISTING}"]
            # This store writes NARs only into nar/, so a file elsewhere that a narinfo names is not removed.
            is_last = not uses[nar] and nar.startswith(f"{NARS}/")
            yield narinfo, [*names, nar] if is_last else names


def sort_referrers_first(narinfos: Collection[NarInfo]) -> list[NarInfo]:
    """Sort ``narinfos`` so that each path comes before its references; cycles, which Nix never makes, come last."""
    by_path = {narinfo.info.path: narinfo for narinfo in narinfos}
    referrers: dict[StorePath, list[StorePath]] = {path: [] for path in by_path}
    for path, narinfo in by_path.items():
        for reference in narinfo.info.references & by_path.keys() - {path}:
            referrers[reference].append(path)
    return [by_path[path] for path in dict.fromkeys([*sort_topologically(referrers), *by_path])]
