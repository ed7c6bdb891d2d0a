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
from lamina.stores.embedded.stray_files import NARS, leftovers, old_locks, orphans, size_of
from lamina.stores.embedded.verify import readable_narinfos

_ENDING = ".narinfo"
_LISTING = ".ls"


@dataclass(frozen=True, slots=True)
class Garbage:
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


def garbage(store: EmbeddedStore, roots: Iterable[StorePath]) -> Garbage:
    """All in ``store`` that ``roots`` do not reach. Nothing is removed.

    Raises `NotFound` for a root, or what one needs, that is not valid, `FormatError` for a narinfo of one that is
    none, `Unavailable`.
    """
    return _Plan(store, roots).garbage()


def collect(store: EmbeddedStore, roots: Iterable[StorePath]) -> Garbage:
    """Removes all that `garbage` names, which it gives, and old lock files; to be called while nobody else uses the
    store.

    Raises as `garbage` does, before anything is removed, and `OutputError`.
    """
    plan = _Plan(store, roots)
    found = plan.garbage()
    plan.remove()
    for name in (*(name for name, _ in found.files), *old_locks(store.folder)):
        store.discard(name)
    return found


class _Plan:
    def __init__(self, store: EmbeddedStore, roots: Iterable[StorePath]) -> None:
        self._store = store
        self._kept = {info.path for info in Closure.resolve(roots, store.query)}
        self._known = readable_narinfos(store)
        self._going = referrers_first([found for found in self._known if found.info.path not in self._kept])
        self._uses = Counter(found.file_name for found in self._known)

    def garbage(self) -> Garbage:
        folder = self._store.folder
        staying = [found for found in self._known if found.info.path in self._kept]
        paths = [(found.info.path, sum(size_of(folder, name) for name in names)) for found, names in self._steps()]
        readable = {found.info.path.hash for found in self._known}
        names = [f"{digits}{_ENDING}" for digits in sorted(self._store.hashes()) if digits not in readable]
        taken = {name for _, names in self._steps() for name in names}
        others = (*orphans(folder, self._known), *leftovers(folder, self._known))
        names += [name for name in others if name not in taken]
        return Garbage(tuple(paths), tuple((name, size_of(folder, name)) for name in names), len(staying))

    def remove(self) -> None:
        for found, names in self._steps():
            self._store.remove((found.info.path,))
            for name in names:
                self._store.discard(name)

    def _steps(self) -> Iterable[tuple[NarInfo, Sequence[str]]]:
        """Each path that goes, with its files in the order in which they go."""
        uses = Counter(self._uses)
        for found in self._going:
            nar = found.file_name
            uses[nar] -= 1
            names = [f"{found.info.path.hash}{_ENDING}", f"{found.info.path.hash}{_LISTING}"]
            # Whatever else stands there as the place of a NAR is none of ours to remove.
            is_last = not uses[nar] and nar.startswith(f"{NARS}/")
            yield found, [*names, nar] if is_last else names


def referrers_first(known: Collection[NarInfo]) -> list[NarInfo]:
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
