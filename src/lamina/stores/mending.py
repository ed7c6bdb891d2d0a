"""What is damaged in the embedded store, fetched anew from binary caches.

Invariant: a path is as it was until another that was checked takes its place; what no cache has stays as it is.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lamina.errors import Error
from lamina.formats import narinfo
from lamina.formats.narinfo import NarInfo
from lamina.names import NIX32, STORE_DIR, Digest, StorePath
from lamina.stores.cache import BinaryCache
from lamina.stores.checking import DamagedPath, check_paths, named, readable_narinfos
from lamina.stores.embedded import EmbeddedStore
from lamina.stores.fetching import Fetching

_PATH = re.compile(rf"{STORE_DIR}/([{NIX32}]{{32}}-[0-9a-zA-Z+\-._?=]{{1,211}})".encode())


@dataclass(frozen=True, slots=True)
class Mended:
    """What became of mending: which of the damages are gone, which are left, and why, where a cache gave a reason."""

    gone: tuple[DamagedPath, ...]
    left: tuple[DamagedPath, ...]
    warnings: tuple[str, ...]


class Reader(Protocol):
    """How a small file of a cache is read."""

    def read(self, name: str, limit: int) -> bytes | None:
        """The file, None where there is none."""


class _Renewed(EmbeddedStore):
    """The store as it is fetched into: a NAR that lies there is not taken for one that need not come."""

    def holds(self, nar_hash: Digest, nar_size: int) -> bool:
        return False


def mend(
    folder: Path,
    damaged: Sequence[DamagedPath],
    caches: Sequence[BinaryCache],
    readers: Sequence[Callable[[], Reader]] = (),
) -> Mended:
    """Fetches all that is ``damaged`` in the store at ``folder`` from the first of ``caches`` that has it, with what it
    refers to and is not there.

    What ``readers`` give is asked what a path is called of which only the hash is left. Raises nothing but
    `Unavailable` for the store itself, and `OutputError`.
    """
    work = _Work(_Renewed(folder), caches)
    paths = _names(work.store, {damage.hash for damage in damaged}, readers)
    work.fetch(paths.values())
    faults = check_paths(EmbeddedStore(folder), {damage.hash for damage in damaged})
    gone = tuple(damage for damage in damaged if damage.hash not in faults)
    left = tuple(damage for damage in damaged if damage.hash in faults)
    return Mended(gone, left, tuple(work.warnings))


class _Work:
    def __init__(self, store: EmbeddedStore, caches: Sequence[BinaryCache]) -> None:
        self.store = store
        self.warnings: list[str] = []
        self._caches = caches
        self._fetching = Fetching(store)

    def fetch(self, paths: Iterable[StorePath]) -> None:
        wanted = sorted(paths)
        announced: dict[StorePath, NarInfo] = {}
        while wanted:
            found = {path: known for path in wanted if (known := self._announced(path))}
            announced |= found
            references = {path for known in found.values() for path in known.info.references}
            wanted = sorted(path for path in references - announced.keys() if not self._is_valid(path))
        self._fetching.begin(announced)
        for path in announced:
            try:
                self._fetching.wait(path)
            except Error as error:
                self.warnings.append(f"mending {path}: {error}")
        self._fetching.end()

    def _announced(self, path: StorePath) -> NarInfo | None:
        for cache in self._caches:
            try:
                known = cache.narinfos((path,)).get(path)
            except Error as error:
                self.warnings.append(str(error))
                continue
            if known:
                self._fetching.announce(known, cache)
                return known
        return None

    def _is_valid(self, path: StorePath) -> bool:
        try:
            return self.store.narinfo(path) is not None
        except Error:  # it is damaged, and one of those that are fetched, or no cache has it
            return True


def _names(store: EmbeddedStore, hashes: set[str], readers: Sequence[Callable[[], Reader]]) -> dict[str, StorePath]:
    """What the paths are called that begin with ``hashes``, as far as anything tells."""
    found = {path.hash: path for path in named(readable_narinfos(store)) if path.hash in hashes}
    for digits in hashes - found.keys():
        for text in _texts(store, digits, readers):
            path = _path_in(text, digits)
            if path:
                found[digits] = path
                break
    return found


def _texts(store: EmbeddedStore, digits: str, readers: Sequence[Callable[[], Reader]]) -> Iterable[bytes]:
    """What may tell the name: what is left of the narinfo, and those of the caches."""
    name = f"{digits}.narinfo"
    with contextlib.suppress(OSError):
        yield (store.folder / name).read_bytes()[: narinfo.MOST]
    for reader in readers:
        try:
            yield reader().read(name, narinfo.MOST) or b""
        except Error:
            continue


def _path_in(text: bytes, digits: str) -> StorePath | None:
    for match in _PATH.finditer(text):
        path = StorePath.parse_base(match[1].decode())
        if path.hash == digits:
            return path
    return None
