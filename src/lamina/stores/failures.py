"""Failures of stores: combine the errors of several stores for one path into a single error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lamina.core.names import StorePath
from lamina.errors import Error, FormatError, IntegrityError, NotFound, StoreError

RECOVERABLE_ERRORS = (StoreError, FormatError, IntegrityError)
"""Errors after which the next store is asked. A wrong argument or a full disk does not count."""


@dataclass(frozen=True, slots=True)
class StoreFailure:
    """Why a store does not provide a path.

    ``store`` is the store's name in messages. ``error`` is None if the store does not have the path.
    ``contents_refused`` means that the store has the path, but its contents were refused.
    """

    store: str
    error: Error | None
    contents_refused: bool = False

    @property
    def is_refusal(self) -> bool:
        """Whether the store had the path, but a hash, a size or a signature did not match."""
        return isinstance(self.error, IntegrityError) or (self.contents_refused and isinstance(self.error, FormatError))

    def __str__(self) -> str:
        return str(self.error) if self.error else f"{self.store}: no such path"


def combine_failures(path: StorePath, failures: Sequence[StoreFailure]) -> Error:
    """Return the error for a ``path`` that no store provides.

    The error of a single failure is returned as it is. Several failures become an `IntegrityError` if one of them is a
    refusal, else a `NotFound`. It is transient if one of the failures is.
    """
    errors = [failure.error for failure in failures if failure.error]
    if len(failures) == 1 and errors:
        return errors[0]
    refusals = [failure.error for failure in failures if failure.error and failure.is_refusal]
    hint = next((error.hint for error in (*refusals, *errors) if error.hint), "")
    details = "; ".join(map(str, failures))
    kind = IntegrityError if refusals else NotFound
    is_transient = any(error.is_transient for error in errors)
    got = f"no usable copy in {len(failures)} stores"
    return kind(path, got, f"one: {details}", hint=hint, is_transient=is_transient)
