"""What was found: a ratio of seconds, a ratio of sizes, or a peak, and what it was to be.

Invariant: a result says for itself whether it kept to its target, so that the table and the JSON cannot differ.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.measuring import Comparison
from bench.targets import TARGETS

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """What a line of the table is of, and the most that it may come to; None where it is for orientation."""

    work: str
    title: str
    note: str
    target: float | None

    @classmethod
    def of(cls, kind: str, work: str, title: str, note: str = "") -> Row:
        """The line ``title`` of a work of that kind, with the target that it has."""
        return cls(work, title, note, TARGETS.get(title, {}).get(kind))


@dataclass(frozen=True, slots=True)
class Timed:
    """Ours ÷ theirs, in seconds."""

    row: Row
    comparison: Comparison

    @property
    def value(self) -> float:
        return self.comparison.ratio


@dataclass(frozen=True, slots=True)
class Sizes:
    """Ours ÷ theirs, in bytes."""

    row: Row
    ours: int
    theirs: int

    @property
    def value(self) -> float:
        return self.ours / self.theirs


@dataclass(frozen=True, slots=True)
class Peak:
    """The most memory that ours had, in bytes; the value is in megabytes."""

    row: Row
    peak: int

    @property
    def value(self) -> float:
        return self.peak / MEGABYTE


Result = Timed | Sizes | Peak


@dataclass(frozen=True, slots=True)
class SkippedRow:
    """A line that is not in the table, and why."""

    row: Row
    why: str


def meets_target(result: Result) -> bool | None:
    """Whether the result kept to its target; None where it has none."""
    return None if result.row.target is None else result.value <= result.row.target
