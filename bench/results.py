"""The results of the benchmark: ratios of seconds, ratios of sizes, and peaks of memory, with their targets.

Only `meets_target` decides whether a result meets its target, so that the table and the JSON cannot differ.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.measuring import Comparison
from bench.targets import TARGETS

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """The title of a row of the table, and the highest value that it may have; None if it is for orientation."""

    work: str
    title: str
    note: str
    target: float | None

    @classmethod
    def of(cls, kind: str, work: str, title: str, note: str = "") -> Row:
        """Create the row ``title`` of a workload, with the target for its kind."""
        return cls(work, title, note, TARGETS.get(title, {}).get(kind))


@dataclass(frozen=True, slots=True)
class Timed:
    """The seconds of lamina ÷ those of the other program."""

    row: Row
    comparison: Comparison

    @property
    def value(self) -> float:
        return self.comparison.ratio


@dataclass(frozen=True, slots=True)
class Sizes:
    """The bytes that lamina wrote ÷ those of the other program."""

    row: Row
    ours: int
    theirs: int

    @property
    def value(self) -> float:
        return self.ours / self.theirs


@dataclass(frozen=True, slots=True)
class Peak:
    """The peak memory of lamina, in bytes; the value is in megabytes."""

    row: Row
    peak: int

    @property
    def value(self) -> float:
        return self.peak / MEGABYTE


Result = Timed | Sizes | Peak


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """A row that was not measured, and the reason."""

    row: Row
    why: str


def meets_target(result: Result) -> bool | None:
    """Return whether the result meets its target; None if it has none."""
    return None if result.row.target is None else result.value <= result.row.target
