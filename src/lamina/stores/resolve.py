"""The closure of some roots, once it is certain which store every path comes from."""

from __future__ import annotations

from collections.abc import Iterable

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.stores.protocols import CanConfirmSources, Store


def resolve_closure(roots: Iterable[StorePath], store: Store) -> Closure:
    """Resolve ``roots``, and do so again for as long as contents turn out to be bad and another store takes over.

    Two caches may have different builds of one path, with other references. So what an image is planned from and what
    goes into it have to come from the same cache. Raises `NotFound`, `PlanError`, and what ``store`` raises.
    """
    wanted = tuple(roots)
    while True:
        closure = Closure.resolve(wanted, store.query)
        if not isinstance(store, CanConfirmSources) or not store.confirm_sources(closure):
            return closure
