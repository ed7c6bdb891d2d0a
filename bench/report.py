"""Report the results as a table for people and as a JSON document for programs.

Both contain the same results, and list the rows that were skipped.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from typing import Any

from bench.results import MEGABYTE, Peak, Result, Sizes, SkippedRow, Timed, meets_target

import lamina
from lamina.system.cpus import cpu_count

_COLUMNS = ("work", "what", "ours", "theirs", "result", "min–max", "at most", "met")
_TEXTS = 2
_MET = {None: "", True: "yes", False: "no"}


def format_table(found: Iterable[Result | SkippedRow]) -> str:
    """Return the results as a Markdown table, followed by the skipped rows and the environment."""
    found = tuple(found)
    rows = [_COLUMNS, *(_cells(result) for result in found if not isinstance(result, SkippedRow))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * width if number < _TEXTS else "-" * (width - 1) + ":" for number, width in enumerate(widths)]
    head, *body = (_line(row, widths) for row in rows)
    skipped = [
        f"left out: {result.row.work}: {result.row.title}: {result.why}"
        for result in found
        if isinstance(result, SkippedRow)
    ]
    return "\n".join((head, f"| {' | '.join(rule)} |", *body, "", *skipped, _environment()))


def format_value(result: Result) -> str:
    """Return the value as the table shows it."""
    return _megabytes(result.peak) if isinstance(result, Peak) else f"{result.value:.3f}"


def dump_results(found: Iterable[Result | SkippedRow]) -> dict[str, Any]:
    """Return the results and the environment as a JSON value, for ``--json``."""
    found = tuple(found)
    return {
        "version": lamina.__version__,
        "python": platform.python_version(),
        "processors": cpu_count(),
        "machine": f"{platform.system()} {platform.machine()}",
        "results": [_item(result) for result in found if not isinstance(result, SkippedRow)],
        "left_out": [
            {"work": result.row.work, "what": result.row.title, "why": result.why}
            for result in found
            if isinstance(result, SkippedRow)
        ],
    }


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    texts = map(str.ljust, cells[:_TEXTS], widths)
    numbers = map(str.rjust, cells[_TEXTS:], widths[_TEXTS:])
    return f"| {' | '.join((*texts, *numbers))} |"


def _cells(result: Result) -> tuple[str, ...]:
    row = result.row
    title = (f"{row.title} ({row.note})" if row.note else row.title).replace("|", "\\|")
    target = "" if row.target is None else f"{row.target:g} MB" if isinstance(result, Peak) else f"{row.target:g}"
    return row.work, title, *_sides(result), format_value(result), _span(result), target, _MET[meets_target(result)]


def _sides(result: Result) -> tuple[str, str]:
    match result:
        case Timed():
            ours, theirs = result.comparison.seconds
            return f"{ours:.3f} s", f"{theirs:.3f} s"
        case Sizes():
            return _megabytes(result.ours), _megabytes(result.theirs)
        case Peak():
            return "", ""


def _span(result: Result) -> str:
    return "–".join(f"{ratio:.3f}" for ratio in result.comparison.span) if isinstance(result, Timed) else ""


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:.1f} MB"


def _environment() -> str:
    machine = f"{platform.system()} {platform.machine()}"
    return f"lamina {lamina.__version__}, Python {platform.python_version()}, {cpu_count()} processors, {machine}"


def _item(result: Result) -> dict[str, Any]:
    row = result.row
    common = {"work": row.work, "what": row.title, "note": row.note, "target": row.target, "met": meets_target(result)}
    match result:
        case Timed(comparison=comparison):
            low, high = comparison.span
            ours, theirs = comparison.seconds
            return common | {
                "ratio": comparison.ratio,
                "ratio_min": low,
                "ratio_max": high,
                "pairs": len(comparison.pairs),
                "ratios": [pair.ratio for pair in comparison.pairs],
                "ours_seconds": ours,
                "theirs_seconds": theirs,
            }
        case Sizes():
            return common | {"ratio": result.value, "ours_bytes": result.ours, "theirs_bytes": result.theirs}
        case Peak():
            return common | {"peak_bytes": result.peak}
