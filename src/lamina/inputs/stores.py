"""The stores that a spec names, opened.

Invariant: which stores are asked, and whose signatures are trusted, depends only on the spec.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.inputs.spec import Spec, StoreSpec
from lamina.stores.open import StoreAccess, open_stores
from lamina.stores.store import Store

if TYPE_CHECKING:
    from lamina.inputs.arguments import StrPath
    from lamina.stores.binary_cache.trust import Trust


@contextlib.contextmanager
def open_store(spec: StoreSpec, embedded_store: StrPath | None, warnings: list[str]) -> Iterator[Store]:
    """Open the stores that ``spec`` names, as one, for the block; a store that the caller made stays open.

    Args:
        spec: the stores, and how they are used.
        embedded_store: the folder that keeps what binary caches send. By default a temporary one.
        warnings: receives messages.

    Raises what `open_stores` raises.
    """
    if not isinstance(spec.store, tuple):
        yield spec.store
        return
    access = make_store_access(spec, embedded_store, warnings)
    with access.resources:
        yield open_stores(spec.store, access)


class OpenedStores:
    """The stores of several specs, which ``resources`` closes; those that two specs have in common are opened once.

    ``warnings`` receives messages.
    """

    def __init__(self, resources: contextlib.ExitStack, warnings: list[str]) -> None:
        self._resources = resources
        self._warnings = warnings
        self._opened: dict[tuple[object, ...], Store] = {}

    def __call__(self, spec: Spec) -> Store:
        """Return the opened store of ``spec``. Raises what `open_store` raises."""
        key = (
            spec.store,
            spec.trusted_keys,
            spec.verify_signatures,
            spec.channel,
            spec.channel_lists,
            spec.offline,
            spec.embedded_store,
        )
        if key not in self._opened:
            opened = open_store(spec, spec.embedded_store, self._warnings)
            self._opened[key] = self._resources.enter_context(opened)
        return self._opened[key]


@contextlib.contextmanager
def open_untrusted_store(spec: StoreSpec, embedded_store: StrPath | None, warnings: list[str]) -> Iterator[Store]:
    """Open the stores that ``spec`` names, for a caller that checks the signatures itself.

    Store paths that no trusted key signed are fetched too, so whatever is fetched goes to a temporary folder, and never
    to a store where it would count as valid. The parameters are those of `open_store`.
    """
    if not isinstance(spec.store, tuple):
        yield spec.store
        return
    checking = make_store_access(replace(spec, verify_signatures=False), embedded_store, warnings)
    access = replace(checking, keeps_downloads=False)
    with access.resources:
        yield open_stores(spec.store, access)


def make_store_access(spec: StoreSpec, embedded_store: StrPath | None, warnings: list[str]) -> StoreAccess:
    """Return how the remote stores of ``spec`` are used; the parameters are those of `open_store`."""
    return StoreAccess(
        embedded_store=Path(embedded_store) if embedded_store else None,
        trust=partial(make_trust, spec),
        channel=spec.channel,
        channel_lists=Path(spec.channel_lists) if spec.channel_lists else None,
        offline=spec.offline,
        now=datetime.now(UTC).timestamp(),
        warn=warnings.append,
    )


def make_trust(spec: StoreSpec) -> Trust:
    """Return which signatures ``spec`` trusts."""
    from lamina.stores.binary_cache.trust import Trust

    return Trust((*Trust().keys, *spec.trusted_keys), allow_unsigned=not spec.verify_signatures)
