"""Progress on a terminal: a bar for all of the work, and a line for each item that is being worked on.

Invariant: no line is longer than the terminal is wide, and nothing of it is left on the terminal after the work.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lamina.cli.output import escape_controls
from lamina.core.progress import Progress, ProgressItem, Work
from lamina.messages.sizes import format_size

_REFRESHES_PER_SECOND = 10
# The rate is that of the last few seconds.
_RATE_WINDOW = 5.0
_MIN_RATE_WINDOW = 0.5
_MAX_ROWS = 8
# Titles of work on store paths are long, so that its bar may be shorter.
_MIN_BAR_WIDTH, _MIN_BAR_WIDTH_FOR_PATHS, _MAX_BAR_WIDTH = 10, 6, 40
_MIN_TITLE_WIDTH, _MAX_TITLE_WIDTH = 28, 40
_GAP = 2
# The facts beside the bar by position, the most important first. For layers: percentage, time left, rate, sizes, number
# of items. For store paths the sizes come first, because how much is to be fetched is not known before.
_IMPORTANCE = (0, 3, 2, 1, 4)
_IMPORTANCE_FOR_PATHS = (1, 0, 3, 2, 4)


class ProgressBars(Progress):
    """Draws on ``out``, which is a terminal. The caller calls `stop` at the end, also after an error."""

    def __init__(self, out: TextIO) -> None:
        self._console = make_console(out)
        self._live: Live | None = None
        self._work = Work("", ())
        self._running: dict[ProgressItem, int] = {}
        self._finished = 0
        self._count = 0
        self._total = 0
        self._samples: deque[tuple[float, int]] = deque()

    def begin(self, work: Work) -> None:
        """Start drawing."""
        self.stop()
        self._work, self._running, self._finished = work, {}, 0
        self._count, self._total = 0, work.size
        self._samples = deque([(time.monotonic(), 0)])
        self._live = make_live(self._console, self._render, _REFRESHES_PER_SECOND)
        self._live.start()

    def start(self, item: ProgressItem) -> None:
        """Add a line for the item."""
        self._running[item] = 0

    def advance(self, item: ProgressItem, size: int) -> None:
        """Move the bar and the item's line by ``size`` bytes. What was already at its destination leaves the total."""
        if item not in self._running:
            self._total -= size
            return
        self._running[item] += size
        self._count += size

    def finish(self, item: ProgressItem, outcome: str, size: int) -> None:
        """Remove the item's line."""
        self._running.pop(item, None)
        self._finished += 1

    def done(self) -> None:
        """Stop drawing."""
        self.stop()

    def stop(self) -> None:
        """Remove everything that is drawn from the terminal."""
        if self._live:
            self._live.stop()
            self._live = None

    def _render(self) -> RenderableType:
        width = self._console.width - 1  # the last column stays empty, because some terminals wrap there
        rows: list[RenderableType] = [self._render_total(width)]
        items = self._running.items() if self._work.unit != "file" else ()
        running = sorted(items, key=lambda entry: entry[0].number)
        shown = max(1, min(_MAX_ROWS, self._console.height - 3))
        rows += [_render_item(item, count, width) for item, count in running[:shown]]
        if len(running) > shown:
            rows.append(Text(f"  and {len(running) - shown} more", style="dim"))
        return Group(*rows)

    def _render_total(self, width: int) -> RenderableType:
        title = escape_controls(self._work.title)
        min_bar_width = _MIN_BAR_WIDTH_FOR_PATHS if self._work.unit == "path" else _MIN_BAR_WIDTH
        facts = self._describe(width - min(len(title), _MIN_TITLE_WIDTH) - min_bar_width - _GAP)
        free = width - sum(len(fact) + _GAP for fact in facts) - _GAP
        title_width = min(len(title), _MAX_TITLE_WIDTH, max(_MIN_TITLE_WIDTH, free - min_bar_width))
        bar_width = max(1, min(_MAX_BAR_WIDTH, free - title_width))
        grid = Table.grid(padding=(0, _GAP, 0, 0))
        grid.add_column(width=title_width, no_wrap=True, overflow="ellipsis")
        grid.add_column(width=bar_width)
        for fact in facts:
            grid.add_column(width=len(fact), no_wrap=True)
        total = max(self._total, 1) if self._work.size else None
        bar = ProgressBar(total=total, completed=self._count, width=bar_width)
        grid.add_row(Text(title, style="bold"), bar, *map(Text, facts))
        return grid

    def _describe(self, width: int) -> list[str]:
        """Return the facts beside the bar, in order; the least important ones are left out if ``width`` is too small.

        The texts keep their width while the work is done, so that nothing moves.
        """
        rate = self._measure_rate()
        rate_text = f"{format_size(rate):>8}/s" if rate else " " * 10
        if not self._work.size:
            return [format_size(self._count), rate_text]
        size = max(self._total, self._count)
        fraction = self._count / size if size else 0.0
        total = len(self._work.items)
        facts = [
            f"{fraction:4.0%}",
            _format_sizes(self._count, size),
            rate_text,
            f"{format_seconds((size - self._count) / rate):>5} left" if rate else " " * 10,
            f"{self._finished:>{len(str(total))}}/{total} {self._work.unit}s" if self._work.unit != "file" else "",
        ]
        shown = set()
        for number in _IMPORTANCE_FOR_PATHS if self._work.unit == "path" else _IMPORTANCE:
            if len(facts[number]) + _GAP <= width:
                width -= len(facts[number]) + _GAP
                shown.add(number)
        return [fact for number, fact in enumerate(facts) if fact and number in shown]

    def _measure_rate(self) -> float:
        """Return the rate of the last seconds in bytes per second; 0 if it is not known yet."""
        now = time.monotonic()
        self._samples.append((now, self._count))
        while now - self._samples[0][0] > _RATE_WINDOW and len(self._samples) > 2:
            self._samples.popleft()
        began, count = self._samples[0]
        return max(self._count - count, 0) / (now - began) if now - began >= _MIN_RATE_WINDOW else 0.0


def _render_item(item: ProgressItem, count: int, width: int) -> RenderableType:
    sizes = _format_sizes(count, max(item.size, count))
    name = Text("  " + escape_controls(item.name))
    name.truncate(max(min(width - len(sizes) - _GAP, _MAX_TITLE_WIDTH), 1), overflow="ellipsis", pad=True)
    row = Text.assemble(name, " " * _GAP, (sizes, "dim"), no_wrap=True)
    row.truncate(width)
    return row


def _format_sizes(count: int, total: int) -> str:
    return f"{format_size(count):>8} of {format_size(total):>8}"


def make_console(out: TextIO) -> Console:
    """Return a console for a terminal."""
    return Console(file=out, highlight=False)


def make_live(console: Console, render: Callable[[], RenderableType], refreshes_per_second: int) -> Live:
    """Return what draws again and again at the end of a terminal, and leaves nothing there."""
    return Live(
        console=console,
        get_renderable=render,
        refresh_per_second=refreshes_per_second,
        transient=True,
        redirect_stdout=False,
        vertical_overflow="crop",
    )


def format_seconds(seconds: float) -> str:
    """Return a time as ``M:SS``, or ``H:MM:SS`` from an hour on."""
    minutes, second = divmod(max(round(seconds), 0), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"
