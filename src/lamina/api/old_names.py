"""Public names that were changed: each still works, with a `DeprecationWarning` that says the new name."""

from __future__ import annotations

import os
import warnings
from typing import Any

import lamina

_NEW_NAMES = {
    "CheckedStore": "StoreCheck",
    "Fetched": "FetchResult",
    "Garbage": "GCResult",
    "Imported": "ImportedPath",
    "InvalidName": "InvalidArgument",
    "Pushed": "PushResult",
    "Verified": "LayerCacheCheck",
    "verify_ledger": "verify_layer_cache",
}


def resolve(name: str) -> Any:
    """Return what ``lamina.NAME`` was before it got another name; raise `AttributeError` for any other name."""
    if name not in _NEW_NAMES:
        raise AttributeError(f"module 'lamina' has no attribute '{name}'")
    new = _NEW_NAMES[name]
    warnings.warn(f"lamina.{name} is called lamina.{new}", DeprecationWarning, stacklevel=3)
    return _verify_ledger if name == "verify_ledger" else getattr(lamina, new)


def _verify_ledger(*, ledger: str | os.PathLike[str], **arguments: Any) -> lamina.LayerCacheCheck:
    return lamina.verify_layer_cache(layer_cache=ledger, **arguments)
