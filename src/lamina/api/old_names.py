"""Old names of public classes and functions; each still works, with a `DeprecationWarning` that gives the new name."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lamina.api.layer_cache import LayerCacheCheck

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


def resolve(name: str, find: Callable[[str], Any]) -> Any:
    """Return the class or function that was called ``lamina.NAME`` before; raise `AttributeError` for other names.

    Args:
        name: the old name.
        find: returns the class or function of a new name.

    """
    if name not in _NEW_NAMES:
        raise AttributeError(f"module 'lamina' has no attribute '{name}'")
    new = _NEW_NAMES[name]
    warnings.warn(f"lamina.{name} is called lamina.{new}", DeprecationWarning, stacklevel=3)
    return _verify_ledger if name == "verify_ledger" else find(new)


def _verify_ledger(*, ledger: str | os.PathLike[str], **arguments: Any) -> LayerCacheCheck:
    from lamina.api.images import verify_layer_cache

    return verify_layer_cache(layer_cache=ledger, **arguments)
