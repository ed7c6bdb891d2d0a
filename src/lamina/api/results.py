"""What public functions return when they make several things.

Invariant: a warning that was raised on the way is in the result, never thrown away.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self, TypeVar

_T = TypeVar("_T")


class ListResult(tuple[_T, ...]):  # noqa: SLOT001 - a tuple can have no slots
    """A tuple of what a function made, in order; ``warnings`` is what was odd on the way."""

    warnings: tuple[str, ...]

    def __new__(cls, items: Iterable[_T], warnings: Iterable[str] = ()) -> Self:
        """Make a result of ``items``."""
        result = super().__new__(cls, tuple(items))
        result.warnings = tuple(warnings)
        return result
