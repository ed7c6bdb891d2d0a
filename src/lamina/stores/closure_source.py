"""Store paths to be handed on, to another cache or as an export, with all that is known of them.

Invariant: what is said of a path is said of the bytes that are given for it; whoever passes them on holds them to it.
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
from lamina.stores.protocols import CanPrefetch, HasLocation, HasNarInfo, Store
from lamina.stores.resolve import resolve_closure
from lamina.system.locations import Location, list_location
from lamina.system.transfer import HashingWriter, Piece, copy


class ClosureSource:
    """The paths of ``store``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def resolve(self, roots: Iterable[StorePath]) -> Closure:
        """All that ``roots`` need, on its way here where it has to come from elsewhere first. Raises `StoreError`."""
        closure = resolve_closure(roots, self._store)
        if isinstance(self._store, CanPrefetch):
            self._store.prefetch(info.path for info in closure.bottom_up)
        return closure

    def narinfo(self, info: PathInfo) -> NarInfo:
        """What there is to say of a path: who signed it, its deriver, its content address. Where its NAR lies means
        nothing here.
        """
        found = self._store.narinfo(info.path) if isinstance(self._store, HasNarInfo) else None
        return found if found and found.info == info else NarInfo(info, "", "none", ())

    def location(self, path: StorePath) -> Location | None:
        """Where the path lies, None where nobody knows. Raises `StoreError`."""
        return self._store.location(path) if isinstance(self._store, HasLocation) else None

    def listing(self, path: StorePath) -> Listing | None:
        """What is in the path, None where that cannot be said."""
        location = self.location(path)
        return list_location(location) if location is not None else None

    def copy(self, info: PathInfo, write: Callable[[memoryview], object]) -> None:
        """Writes the NAR of a path.

        Raises `IntegrityError` where it turns out, at the end, not to be the one that ``info`` is of.
        """
        tally = HashingWriter(write)
        copy(self._pieces(info.path), tally)
        check_nar_hash(info, tally.blob_info)

    def _pieces(self, path: StorePath) -> Iterable[Piece]:
        location = self.location(path)
        return (location,) if isinstance(location, Extent) else nar.dump(self._store.nodes(path))
