"""Resolve a closure, and confirm which store every path comes from."""

from __future__ import annotations

from collections.abc import Iterable

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.stores.store import Store


def resolve_closure(roots: Iterable[StorePath], store: Store) -> Closure:
    """Resolve ``roots``, and repeat this if contents are bad and another store has to provide a path.

    Two caches may have different builds of one path, with different references. The path info for the plan of an image
    and the contents of the image must therefore come from the same cache. Raises `NotFound`, `PlanError`, and what
    ``store`` raises.
    """
    root_paths = tuple(roots)
    while True:
        closure = Closure.resolve(root_paths, store.query)
        if not store.confirm_sources(closure):
            return closure
