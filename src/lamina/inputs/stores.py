"""The stores that a spec names, opened.

Invariant: which stores are asked, and whose signatures are trusted, depends only on the spec.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.inputs.spec import Spec
from lamina.stores.open import StoreAccess, open_stores
from lamina.stores.store import Store

if TYPE_CHECKING:
    from lamina.stores.binary_cache.trust import Trust


def open_store(spec: Spec, warnings: list[str]) -> Store:
    """Open the stores that ``spec`` names, as one; messages are added to ``warnings``.

    Raises what `open_stores` raises.
    """
    return open_stores(spec.store, make_store_access(spec, warnings)) if isinstance(spec.store, tuple) else spec.store


def make_store_access(spec: Spec, warnings: list[str]) -> StoreAccess:
    """Return how the remote stores of ``spec`` are used; messages are added to ``warnings``."""

    def trust() -> Trust:
        from lamina.stores.binary_cache.trust import Trust

        return Trust((*Trust().keys, *spec.trusted_keys), allow_unsigned=not spec.verify_signatures)

    return StoreAccess(
        embedded_store=Path(spec.embedded_store) if spec.embedded_store else None,
        trust=trust,
        channel=spec.channel,
        channel_lists=Path(spec.channel_lists) if spec.channel_lists else None,
        offline=spec.offline,
        now=datetime.now(UTC).timestamp(),
        warn=warnings.append,
    )
