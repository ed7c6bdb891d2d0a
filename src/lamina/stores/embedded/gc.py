"""What nobody needs any more, removed from the embedded store.

Invariant: a path goes before all that it refers to, and its narinfo before its NAR; so wherever it is stopped, what is
left is a store, and whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.formats.narinfo import NarInfo
from lamina.stores.embedded.store import EmbeddedStore
from lamina.stores.embedded.stray_files import NARS, find_old_locks, find_orphans, find_stray_files, size_of
from lamina.stores.embedded.verify import readable_narinfos

_SUFFIX = ".narinfo"
_LISTING = ".ls"


@dataclass(frozen=True, slots=True)
class GCResult:
    """What goes: store paths with the bytes that are free without each, in the order in which they go; other files,
    likewise; how many paths stay; and what was odd about the roots.
    """

    paths: tuple[tuple[StorePath, int], ...]
    files: tuple[tuple[str, int], ...]
    kept: int
    warnings: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """How many bytes are free without it."""
        return sum(size for _, size in (*self.paths, *self.files))


def find_garbage(store: EmbeddedStore, roots: Iterable[StorePath]) -> GCResult:
    """All in ``store`` that ``roots`` do not reach. Nothing is removed.

    Raises `NotFound` for a root, or what one needs, that is not valid, `FormatError` for a narinfo of one that is
    none, `Unavailable`.
    """
    return _Plan(store, roots).find_garbage()


def collect(store: EmbeddedStore, roots: Iterable[StorePath]) -> GCResult:
    """Removes all that `find_garbage` names, which it gives, and old lock files; to be called while nobody else uses
    the store.

    Raises as `find_garbage` does, before anything is removed, and `OutputError`.
    """
    plan = _Plan(store, roots)
    found = plan.find_garbage()
    plan.remove()
    for name in (*(name for name, _ in found.files), *find_old_locks(store.folder)):
        store.discard(name)
    return found


class _Plan:
    def __init__(self, store: EmbeddedStore, roots: Iterable[StorePath]) -> None:
        self._store = store
        self._live = {info.path for info in Closure.resolve(roots, store.query)}
        self._known = readable_narinfos(store)
        self._dead = sort_referrers_first([found for found in self._known if found.info.path not in self._live])
        self._nar_uses = Counter(found.file_name for found in self._known)

    def find_garbage(self) -> GCResult:
        folder = self._store.folder
        staying = [found for found in self._known if found.info.path in self._live]
        paths = [(found.info.path, sum(size_of(folder, name) for name in names)) for found, names in self._deletions()]
        readable = {found.info.path.hash for found in self._known}
        names = [f"{hash_part}{_SUFFIX}" for hash_part in sorted(self._store.hashes()) if hash_part not in readable]
        taken = {name for _, names in self._deletions() for name in names}
        others = (*find_orphans(folder, self._known), *find_stray_files(folder, self._known))
        names += [name for name in others if name not in taken]
        return GCResult(tuple(paths), tuple((name, size_of(folder, name)) for name in names), len(staying))

    def remove(self) -> None:
        for found, names in self._deletions():
            self._store.remove((found.info.path,))
            for name in names:
                self._store.discard(name)

    def _deletions(self) -> Iterable[tuple[NarInfo, Sequence[str]]]:
        """Each path that goes, with its files in the order in which they go."""
        uses = Counter(self._nar_uses)
        for found in self._dead:
            nar = found.file_name
            uses[nar] -= 1
            names = [f"{found.info.path.hash}{_SUFFIX}", f"{found.info.path.hash}{_LISTING}"]
            # Whatever else stands there as the place of a NAR is none of ours to remove.
            is_last = not uses[nar] and nar.startswith(f"{NARS}/")
            yield found, [*names, nar] if is_last else names


def sort_referrers_first(known: Collection[NarInfo]) -> list[NarInfo]:
    """``known`` with each path before all that it refers to; of a cycle, which no store has, in any order."""
    by_path = {found.info.path: found for found in known}
    users = Counter(path for found in known for path in found.info.references - {found.info.path})
    ready = [path for path in by_path if not users[path]]
    order: dict[StorePath, NarInfo] = {}
    while ready:
        path = ready.pop()
        order[path] = by_path[path]
        for reference in sorted(by_path[path].info.references - {path}):
            users[reference] -= 1
            if not users[reference] and reference in by_path:
                ready.append(reference)
    return [*order.values(), *(found for found in known if found.info.path not in order)]
