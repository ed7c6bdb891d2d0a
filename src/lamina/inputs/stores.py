"""From arguments to the stores that they name.

Invariant: what is asked of whom, and who is believed, is what the arguments say and nothing else.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.inputs.spec import Spec
from lamina.stores.open import StoreAccess, open_stores
from lamina.stores.protocols import Store

if TYPE_CHECKING:
    from lamina.stores.binary_cache.trust import Trust


def open_store(spec: Spec, warnings: list[str]) -> Store:
    """The stores that ``spec`` names, as one; what is odd is added to ``warnings``. Raises as `open_stores` does."""
    return open_stores(spec.store, store_access(spec, warnings)) if isinstance(spec.store, tuple) else spec.store


def store_access(spec: Spec, warnings: list[str]) -> StoreAccess:
    """How the stores of ``spec`` that are not this machine's are used; what is odd is added to ``warnings``."""

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
