"""What was measured, for people and for programs.

Invariant: both say the same.
"""

from __future__ import annotations

import platform
from typing import Any

from bench.measuring import Comparison

import lamina
from lamina.api import processors

_COLUMNS = ("work", "ours s", "tar s", "ratio", "min–max", "peak MB")


def table(results: dict[str, Comparison]) -> str:
    """The results in columns, a line each."""
    rows = [_COLUMNS, *(_row(name, comparison) for name, comparison in results.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join((row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:]))) for row in rows)


def _row(name: str, comparison: Comparison) -> tuple[str, ...]:
    low, high = comparison.span
    seconds = (f"{value:.2f}" for value in comparison.seconds)
    return name, *seconds, f"{comparison.ratio:.2f}", f"{low:.2f}–{high:.2f}", f"{comparison.peak / 1e6:.1f}"


def document(results: dict[str, Comparison]) -> dict[str, Any]:
    """The results and where they come from, for ``--json``."""
    return {
        "version": lamina.__version__,
        "python": platform.python_version(),
        "processors": processors(),
        "results": [
            {
                "work": name,
                "pairs": len(comparison.pairs),
                "ours_seconds": comparison.seconds[0],
                "tar_seconds": comparison.seconds[1],
                "ratio": comparison.ratio,
                "ratio_min": comparison.span[0],
                "ratio_max": comparison.span[1],
                "ratios": [pair.ratio for pair in comparison.pairs],
                "peak_bytes": comparison.peak,
            }
            for name, comparison in results.items()
        ],
    }
