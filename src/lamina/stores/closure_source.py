"""Read closures from a store for a push or an export, with narinfos and listings.

Invariant: `ClosureSource.copy` raises an error unless the bytes that it wrote match the path info.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.nodes import Extent
from lamina.core.pathinfo import PathInfo
from lamina.formats import nar
from lamina.formats.listing import Listing
from lamina.formats.narinfo import NarInfo
from lamina.stores.integrity import check_nar_hash
from lamina.stores.resolve import resolve_closure
from lamina.stores.store import Store
from lamina.system.locations import Location, list_location
from lamina.system.transfer import HashingWriter, Piece, copy


class ClosureSource:
    """Reads the paths of ``store``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def resolve(self, roots: Iterable[StorePath]) -> Closure:
        """Return the closure of ``roots`` and begin to download its paths where necessary. Raises `StoreError`."""
        closure = resolve_closure(roots, self._store)
        self._store.prefetch(info.path for info in closure.bottom_up)
        return closure

    def narinfo(self, info: PathInfo) -> NarInfo:
        """Return the narinfo of a path, with its signatures, deriver and content address as far as they are known.

        Its URL, compression and file hash have no meaning here.
        """
        narinfo = self._store.narinfo(info.path)
        return narinfo if narinfo and narinfo.info == info else NarInfo(info, "", "none", ())

    def location(self, path: StorePath) -> Location | None:
        """Return the location of a path, None if the store has no locations. Raises `StoreError`."""
        return self._store.location(path)

    def listing(self, path: StorePath) -> Listing | None:
        """Return the listing of a path, None if it has no location."""
        location = self.location(path)
        return list_location(location) if location is not None else None

    def copy(self, info: PathInfo, write: Callable[[memoryview], object]) -> None:
        """Pass the NAR of a path to ``write``.

        Raises `IntegrityError` after the last byte if the NAR does not match ``info``.
        """
        writer = HashingWriter(write)
        copy(self._pieces(info.path), writer)
        check_nar_hash(info, writer.blob_info)

    def _pieces(self, path: StorePath) -> Iterable[Piece]:
        location = self.location(path)
        return (location,) if isinstance(location, Extent) else nar.dump(self._store.nodes(path))
