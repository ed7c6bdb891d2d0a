"""Old names of public classes and functions; each still works, with a `DeprecationWarning` that gives the new name."""

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
    """Return the class or function that was called ``lamina.NAME`` before; raise `AttributeError` for other names."""
    if name not in _NEW_NAMES:
        raise AttributeError(f"module 'lamina' has no attribute '{name}'")
    new = _NEW_NAMES[name]
    warnings.warn(f"lamina.{name} is called lamina.{new}", DeprecationWarning, stacklevel=3)
    return _verify_ledger if name == "verify_ledger" else getattr(lamina, new)


def _verify_ledger(*, ledger: str | os.PathLike[str], **arguments: Any) -> lamina.LayerCacheCheck:
    return lamina.verify_layer_cache(layer_cache=ledger, **arguments)
