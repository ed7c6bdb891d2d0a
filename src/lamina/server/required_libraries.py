"""The libraries that only some options of a server need, which are installed with the extra ``serve``."""

from __future__ import annotations

import importlib

from lamina.errors import InvalidArgument


def require_library(name: str, library: str) -> None:
    """Import a library that the option ``name`` needs. Raises `InvalidArgument` if it is not installed."""
    try:
        importlib.import_module(library)
    except ImportError as error:
        hint = "pip install '.[serve]' in a checkout of lamina"
        raise InvalidArgument(name, f"no {library}", "it to be installed", hint=hint) from error
