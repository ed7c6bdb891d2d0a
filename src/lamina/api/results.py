"""The result of public functions that return several things: a tuple with warnings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self, TypeVar

_T = TypeVar("_T")
# The number of items in the text of a result.
_MAX_SHOWN = 3


class ListResult(tuple[_T, ...]):  # noqa: SLOT001 - a tuple can have no slots
    """A tuple of results, in order, with ``warnings`` about the work."""

    warnings: tuple[str, ...]

    def __new__(cls, items: Iterable[_T], warnings: Iterable[str] = ()) -> Self:
        """Make a result of ``items`` and ``warnings``."""
        result = super().__new__(cls, tuple(items))
        result.warnings = tuple(warnings)
        return result

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self[:_MAX_SHOWN]))
        more = f", and {len(self) - _MAX_SHOWN} more" if len(self) > _MAX_SHOWN else ""
        return f"<{type(self).__name__}: {shown or 'nothing'}{more}>"
