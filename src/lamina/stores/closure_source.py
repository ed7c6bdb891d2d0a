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
from lamina.stores.integrity import check
from lamina.stores.protocols import Arriving, Described, Located, Store
from lamina.stores.resolve import settled_closure
from lamina.system.locations import Place, list_place
from lamina.system.transfer import Piece, Tally, copy


class Supply:
    """The paths of ``store``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def closure(self, roots: Iterable[StorePath]) -> Closure:
        """All that ``roots`` need, on its way here where it has to come from elsewhere first. Raises `StoreError`."""
        closure = settled_closure(roots, self._store)
        if isinstance(self._store, Arriving):
            self._store.expect(info.path for info in closure.bottom_up)
        return closure

    def known(self, info: PathInfo) -> NarInfo:
        """What there is to say of a path: who signed it, its deriver, its content address. Where its NAR lies means
        nothing here.
        """
        found = self._store.narinfo(info.path) if isinstance(self._store, Described) else None
        return found if found and found.info == info else NarInfo(info, "", "none", ())

    def place(self, path: StorePath) -> Place | None:
        """Where the path lies, None where nobody knows. Raises `StoreError`."""
        return self._store.place(path) if isinstance(self._store, Located) else None

    def listing(self, path: StorePath) -> Listing | None:
        """What is in the path, None where that cannot be said."""
        place = self.place(path)
        return list_place(place) if place is not None else None

    def copy(self, info: PathInfo, write: Callable[[memoryview], object]) -> None:
        """Writes the NAR of a path.

        Raises `IntegrityError` where it turns out, at the end, not to be the one that ``info`` is of.
        """
        tally = Tally(write)
        copy(self._pieces(info.path), tally)
        check(info, tally.measure)

    def _pieces(self, path: StorePath) -> Iterable[Piece]:
        place = self.place(path)
        return (place,) if isinstance(place, Extent) else nar.dump(self._store.nodes(path))
