"""The public function that opens stores."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Unpack

from lamina.inputs import stores
from lamina.inputs.arguments import StoreArguments, StrPath
from lamina.inputs.parsers import parse_path
from lamina.inputs.spec import StoreSpec
from lamina.stores.store import Store


def open_store(
    *, embedded_store: StrPath | None = None, warnings: list[str] | None = None, **sources: Unpack[StoreArguments]
) -> AbstractContextManager[Store]:
    """Open stores as one for a block, to look up store paths, or to plan and write images step by step.

    Args:
        embedded_store: the folder that keeps the store paths that binary caches send. By default a temporary one.
        warnings: a list to which messages about the stores are added.
        **sources: those of `StoreArguments`.

    Returns:
        A context manager, which gives the store. The store cannot be used after the block.

    Raises:
        InvalidArgument: an argument is wrong.
        Unavailable: a store could not be read.
        FormatError: a closure graph does not follow its format.

    """
    spec, folder = StoreSpec.parse(sources), parse_path("embedded_store", embedded_store)
    return stores.open_store(spec, folder, [] if warnings is None else warnings)
