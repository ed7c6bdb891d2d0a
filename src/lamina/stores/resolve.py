"""Resolve a closure once it is certain which store every path comes from."""

from __future__ import annotations

from collections.abc import Iterable

from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.stores.store import Store


def resolve_closure(roots: Iterable[StorePath], store: Store) -> Closure:
    """Resolve ``roots``; repeat that whenever contents turn out to be bad and another store takes over.

    Two caches may have different builds of one path, with different references. So the path info that an image is
    planned with and the contents that go into it must come from the same cache. Raises `NotFound`, `PlanError`, and
    what ``store`` raises.
    """
    root_paths = tuple(roots)
    while True:
        closure = Closure.resolve(root_paths, store.query)
        if not store.confirm_sources(closure):
            return closure
