"""Repair damaged paths of the embedded store by fetching them from binary caches.

Invariant: a damaged path is not changed until a verified copy replaces it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from lamina.core.names import NIX32, STORE_DIR, Digest, StorePath
from lamina.core.pathinfo import PathInfo
from lamina.errors import Error
from lamina.formats import narinfo
from lamina.formats.narinfo import NarInfo
from lamina.stores.binary_cache.cache import BinaryCache
from lamina.stores.binary_cache.fetch import Fetcher
from lamina.stores.binary_cache.substituter import SubstitutingStore
from lamina.stores.binary_cache.trust import Trust
from lamina.stores.chained import ChainedStore
from lamina.stores.embedded.store import EmbeddedStore
from lamina.stores.embedded.verify import DamagedPath, check_paths, iterate_paths, read_valid_narinfos
from lamina.stores.failures import RECOVERABLE_ERRORS

_PATH = re.compile(rf"{STORE_DIR}/([{NIX32}]{{32}}-[0-9a-zA-Z+\-._?=]{{1,211}})".encode())


@dataclass(frozen=True, slots=True)
class RepairResult:
    """The result of a repair: the repaired paths, the remaining damage, and warnings with the errors of the caches."""

    repaired: tuple[DamagedPath, ...]
    remaining: tuple[DamagedPath, ...]
    warnings: tuple[str, ...]


class _RepairTarget(EmbeddedStore):
    """The destination of the repair: damaged paths count as invalid, and existing NARs are ignored and replaced."""

    def __init__(self, folder: Path, damaged: Collection[str]) -> None:
        super().__init__(folder)
        self._damaged = set(damaged)

    def narinfo(self, path: StorePath) -> NarInfo | None:
        return None if path.hash in self._damaged else super().narinfo(path)

    def publish(self, narinfo: NarInfo) -> NarInfo:
        self._damaged.discard(narinfo.info.path.hash)
        return super().publish(narinfo)

    def contains_nar(self, nar_hash: Digest, nar_size: int) -> bool:
        return False


def repair_paths(
    folder: Path,
    damaged: Sequence[DamagedPath],
    caches: Sequence[BinaryCache],
    trust: Trust,
) -> RepairResult:
    """Fetch damaged paths, and missing references of them, from the first cache that has an intact copy.

    Args:
        folder: The embedded store.
        damaged: The damage to repair. If only the hash of a path is known, the caches are asked for its name.
        caches: The caches, in the order in which they are asked. Their errors become warnings.
        trust: Decides whether the narinfo of an undamaged path in the store counts.

    Raises:
        Unavailable: The store itself cannot be read.
        OutputError: The store cannot be written.
    """
    hashes = {damage.hash for damage in damaged}
    warnings: list[str] = []
    with _RepairTarget(folder, hashes) as store, closing(Fetcher(store)) as fetcher:
        paths = _find_names(store, hashes, caches)
        sources = ChainedStore(
            [SubstitutingStore(fetcher, cache, trust) for cache in caches],
            [cache.label for cache in caches],
            warnings.append,
        )
        warnings += _fetch(sources, store, set(paths.values()))
    with EmbeddedStore(folder) as repaired_store:
        faults = check_paths(repaired_store, hashes)
    repaired = tuple(damage for damage in damaged if damage.hash not in faults)
    remaining = tuple(damage for damage in damaged if damage.hash in faults)
    return RepairResult(repaired, remaining, tuple(warnings))


def _fetch(sources: ChainedStore, store: EmbeddedStore, paths: Collection[StorePath]) -> list[str]:
    """Fetch ``paths`` and their missing references as far as a cache has them; return messages about the others."""
    errors: dict[StorePath, Error] = {}
    while True:
        infos: list[PathInfo] = []
        level, seen = set(paths), set[StorePath]()
        while level:
            seen |= level
            found = [info for path in sorted(level) if (info := _query_one(sources, path, errors))]
            infos += found
            level = {path for info in found for path in info.references if not _is_valid(store, path)} - seen
        changed, new_errors = sources.fetch_with_fallback(
            [info.path for info in infos if info.path not in errors], include_last_store=True
        )
        errors |= new_errors
        if not changed:
            return [str(errors[path]) for path in sorted(errors)]


def _query_one(sources: ChainedStore, path: StorePath, errors: dict[StorePath, Error]) -> PathInfo | None:
    if path in errors:
        return None
    try:
        return sources.query((path,)).get(path)
    except RECOVERABLE_ERRORS as error:
        errors[path] = error
        return None


def _is_valid(store: EmbeddedStore, path: StorePath) -> bool:
    try:
        return store.narinfo(path) is not None
    except Error:  # the path is damaged; it will be fetched, unless no cache has it
        return True


def _find_names(store: EmbeddedStore, hashes: set[str], caches: Sequence[BinaryCache]) -> dict[str, StorePath]:
    """Find the full paths for ``hashes``: first in other narinfos, then in the damaged narinfos, then in the caches."""
    found = {path.hash: path for path in iterate_paths(read_valid_narinfos(store)) if path.hash in hashes}
    for hash_part in hashes - found.keys():
        with contextlib.suppress(OSError):
            # The damaged narinfo may still contain the path.
            damaged_text = (store.folder / f"{hash_part}.narinfo").read_bytes()[: narinfo.MAX_SIZE]
            if path := _find_path(damaged_text, hash_part):
                found[hash_part] = path
    for cache in caches:
        for hash_part, result in cache.query_hashes(hashes - found.keys()):
            if isinstance(result, NarInfo):
                found[hash_part] = result.info.path
    return found


def _find_path(text: bytes, hash_part: str) -> StorePath | None:
    for match in _PATH.finditer(text):
        path = StorePath.parse_base(match[1].decode())
        if path.hash == hash_part:
            return path
    return None
