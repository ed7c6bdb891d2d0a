"""Old names of public classes and functions. Each still works, with a `DeprecationWarning` that says the new name."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from lamina.inputs.old_arguments import rename_old_arguments

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

_P = ParamSpec("_P")
_T = TypeVar("_T")


def takes_old_arguments(**new_names: str) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Make a function take keyword arguments by their old names too, with a `DeprecationWarning`.

    Args:
        new_names: the new name of each old one.

    """

    def decorate(function: Callable[_P, _T]) -> Callable[_P, _T]:
        @wraps(function)
        def call(*arguments: _P.args, **keywords: _P.kwargs) -> _T:
            for old in new_names.keys() & keywords:
                warnings.warn(f"the argument {old} is called {new_names[old]}", DeprecationWarning, stacklevel=2)
            renamed: Any = rename_old_arguments(keywords, new_names)
            return function(*arguments, **renamed)

        return call

    return decorate


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
