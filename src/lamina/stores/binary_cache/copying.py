"""Copy paths of a store on this machine into the embedded store, as if the store were a binary cache.

The NAR hash that the store states for a path is trusted, and the content read from the store is checked against it.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping

from lamina.core.names import StorePath
from lamina.core.nodes import Extent, Node
from lamina.core.pathinfo import PathInfo
from lamina.errors import Error, FormatError
from lamina.formats import nar
from lamina.formats.narinfo import NarInfo
from lamina.stores.binary_cache.fetch import Fetcher
from lamina.stores.chained import ChainedStore
from lamina.stores.protocols import HasNarInfo, PathIndex, Store
from lamina.system.extents import open_reader

_PIECE = 1 << 18


class CopyingStore:
    """Wraps ``store`` and registers each queried path with ``fetcher``, unless another source did so already."""

    label = "the store that has it"

    def __init__(self, fetcher: Fetcher, store: Store) -> None:
        self._fetcher = fetcher
        self._store = store
        self._index = store if isinstance(store, PathIndex) else None

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        """Return the path infos that the store has of ``paths``; raises what the store raises."""
        found = self._store.query(paths)
        for path, info in found.items():
            if not self._fetcher.is_registered(path) and not self._is_valid(path):
                self._fetcher.register(self._make_narinfo(info), self)
        return found

    def _is_valid(self, path: StorePath) -> bool:
        """Return whether ``path`` is in the embedded store already; damaged paths do not count."""
        try:
            narinfo = self._fetcher.store.narinfo(path)
        except FormatError:
            return False
        return narinfo is not None and self._fetcher.store.has_nar(narinfo)

    def has_fallback(self, path: StorePath) -> bool:
        """Return whether another store may have ``path`` if it cannot be fetched."""
        return isinstance(self._store, ChainedStore) and self._store.has_fallback(path)

    def fall_back(self, faults: Mapping[StorePath, Error]) -> None:
        """Take paths that could not be fetched from the next stores; raises the combined error if none has them."""
        if isinstance(self._store, ChainedStore):
            self._store.fall_back(faults)
        else:
            raise faults[min(faults)]

    def trusts_nar_hash(self, narinfo: NarInfo) -> bool:
        """Return True: the NAR hashes of a store on this machine are trusted."""
        return True

    def _make_narinfo(self, info: PathInfo) -> NarInfo:
        narinfo = self._store.narinfo(info.path) if isinstance(self._store, HasNarInfo) else None
        return narinfo or NarInfo(info, "", "none", ())

    def stream_nar(self, narinfo: NarInfo) -> Generator[bytes]:
        """Yield the NAR of a path, serialised from its nodes. Raises what the store raises, and `IntegrityError`."""
        for piece in nar.dump(self._store.nodes(narinfo.info.path)):
            if isinstance(piece, Extent):
                yield from _read_pieces(piece)
            else:
                yield piece

    def nodes(self, path: StorePath) -> Iterator[Node]:
        """Yield the nodes of ``path``."""
        yield from self._store.nodes(path)

    def find(self, name: str) -> tuple[StorePath, ...]:
        """Return the paths that ``name`` may mean."""
        return self._index.find(name) if self._index else ()

    def hashes(self) -> Collection[str]:
        """Return the hashes of all paths."""
        return self._index.hashes() if self._index else ()

    def with_hashes(self, hashes: Collection[str]) -> tuple[StorePath, ...]:
        """Return the paths that begin with one of ``hashes``."""
        return self._index.with_hashes(hashes) if self._index else ()


def _read_pieces(extent: Extent) -> Iterator[bytes]:
    with open_reader(extent) as read:
        for offset in range(0, extent.length, _PIECE):
            yield read(offset, min(_PIECE, extent.length - offset))
