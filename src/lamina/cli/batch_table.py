"""The progress of a batch as a table on a terminal, which is drawn again several times a second.

    Images    ━━━━━━━━━━━━━━━╸━━━━━━━━━━━  120 of 200   60%
    Layers    ━━━━━━━━━━━━━━━━━━━━━━━╸━━━  310 of 335   93%
    214 made  96 reused  1234 mounted  1.2 GiB read  420.0 MiB sent  35.1 GiB saved  0:42

Images that fail, and what is tried again, are lines above it, which stay.

Invariant: no line of the table is longer than the terminal is wide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lamina.cli.batch_counts import BatchCounts
from lamina.cli.output import escape_controls
from lamina.cli.progress_bars import format_seconds, make_console, make_live
from lamina.cli.reporting import join_facts
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.fleet.results import BatchImage

_REFRESHES_PER_SECOND = 5
_MAX_BAR_WIDTH = 40
_MIN_BAR_WIDTH = 8
_TITLE_WIDTH, _PERCENT_WIDTH = 8, 4
_GAP = 2
# Failed images above the table; the others are only counted, and listed at the end.
_MAX_FAILED = 10


class BatchTable(BatchCounts):
    """Draws on ``out``, which is a terminal. The caller calls `stop` at the end, also after an error."""

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._console = make_console(out)
        self._live = make_live(self._console, self._render, _REFRESHES_PER_SECOND)

    def connect(self, workers: str, dashboard: str) -> None:
        """Print the link of the page about the workers, if there is one."""
        if dashboard:
            self._print(f"{workers}: {dashboard}")

    def prepare(self, images: int) -> None:
        """Start drawing."""
        super().prepare(images)
        self._live.start()

    def begin(self, images: int, layers: int) -> None:
        """Draw the layers too."""
        super().begin(images, layers)
        self._live.start()

    def image(self, image: BatchImage) -> None:
        """Count the image; print its error above the table if it failed."""
        super().image(image)
        if image.error and self.failed <= _MAX_FAILED:
            more = "; more are listed at the end" if self.failed == _MAX_FAILED else ""
            self._print(f"failed: {image.error}{more}")

    def retry(self, subject: str, error: BaseException) -> None:
        """Print above the table what is tried again, and why."""
        super().retry(subject, error)
        if line := self.describe_retry(subject, error):
            self._print(line)

    def stop(self) -> None:
        """Remove the table from the terminal."""
        self._live.stop()

    def _print(self, line: str) -> None:
        self._console.print(Text(escape_controls(line)), soft_wrap=True)

    def _render(self) -> RenderableType:
        width = self._console.width - 1  # the last column stays empty, because some terminals wrap there
        lines = [Text(line, no_wrap=True) for line in join_facts(self._list_facts(), width, "")]
        for line in lines:
            line.truncate(width)
        return Group(self._draw_bars(width), *lines)

    def _list_rows(self) -> list[tuple[str, int, int]]:
        """Return the title of each bar, how much is done, and how much there is."""
        if not self.layers:
            return [("Planning", self.prepared_images, self.images)]
        done = self.made + self.reused + self.failed_layers
        return [("Images", self.done + self.failed, self.images), ("Layers", done, self.layers)]

    def _draw_bars(self, width: int) -> Table:
        rows = self._list_rows()
        digits = max(len(str(total)) for _, _, total in rows)
        text_width = 2 * digits + len(" of ") + _GAP + _PERCENT_WIDTH
        bar_width = min(_MAX_BAR_WIDTH, width - _TITLE_WIDTH - text_width - 2 * _GAP)
        grid = Table.grid(padding=(0, _GAP, 0, 0))
        for title, count, total in rows:
            text = f"{count:>{digits}} of {total:>{digits}}{count / total if total else 0:{_GAP + _PERCENT_WIDTH}.0%}"
            if bar_width < _MIN_BAR_WIDTH:
                line = Text(f"{title:<{_TITLE_WIDTH}}{text}", no_wrap=True)
                line.truncate(width)
                grid.add_row(line)
            else:
                bar = ProgressBar(total=max(total, 1), completed=count, width=bar_width)
                grid.add_row(Text(f"{title:<{_TITLE_WIDTH}}", style="bold"), bar, Text(text, no_wrap=True))
        return grid

    def _list_facts(self) -> list[str]:
        facts = [f"{self.failed} failed"] if self.failed else []
        facts += [f"{self.retries} tried again"] if self.retries else []
        if self.layers:
            facts += [
                f"{self.made} made",
                f"{self.reused} reused",
                f"{self.mounted} mounted",
                f"{format_size(self.bytes_read)} read",
                f"{format_size(self.bytes_sent)} sent",
                f"{format_size(self.bytes_saved)} saved",
            ]
        return [*facts, format_seconds(self.seconds)]
