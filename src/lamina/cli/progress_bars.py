"""Progress on a terminal: one live line for the current layer, then a summary.

Only the summary stays on the terminal after the run.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as RichProgress

from lamina.cli.output import escape_controls
from lamina.core.pathinfo import PathInfo
from lamina.images.image import Image
from lamina.images.progress import Progress
from lamina.layers.layer import LayerSource

_MAX_TITLE_LENGTH = 44


class ProgressBars(Progress):
    """Draws a bar for the current layer on ``out``, which is a terminal."""

    def __init__(self, out: TextIO) -> None:
        self._console = Console(file=out)
        self._bars = _create_bars(self._console)
        self._layers = 0
        self._began = time.monotonic()

    def begin(self, layers: int, base: int) -> None:
        """Start drawing; ``layers`` is the number of all layers."""
        self._layers = layers
        self._bars.start()

    def layer(self, number: int, source: LayerSource, size: int) -> None:
        """Replace the bar by one for layer ``number``, of ``size`` bytes."""
        for task in self._bars.task_ids:
            self._bars.remove_task(task)
        names = ", ".join(path.name for path in source.paths) or source.headline(number).partition(f" {number} ")[2]
        names = escape_controls(names)
        title = names if len(names) <= _MAX_TITLE_LENGTH else names[: _MAX_TITLE_LENGTH - 1] + "…"
        self._bars.add_task(escape(f"{number}/{self._layers} {title}"), total=size)

    def advance(self, size: int) -> None:
        """Move the bar by ``size`` bytes."""
        self._bars.advance(self._bars.task_ids[-1], size)

    def stop(self) -> None:
        """Remove the bar from the terminal."""
        self._bars.stop()

    def done(self, image: Image) -> None:
        """Remove the bar and print the summary."""
        self.stop()
        seconds = time.monotonic() - self._began
        size = sum(layer.size for layer in image.layers)
        made = f"{len(image.layers)} layers, {size / 1e6:.1f} MB in {seconds:.1f} s, {image.id}"
        self._console.print(escape(f"{escape_controls(image.repo_tag)}: {made}"), highlight=False, soft_wrap=True)


class FetchBar:
    """Draws one bar on ``out``, which is a terminal, for all store paths that are fetched."""

    def __init__(self, out: TextIO) -> None:
        self._bars = _create_bars(Console(file=out))

    def begin(self, missing: Collection[PathInfo], path_count: int) -> None:
        """Start drawing, unless nothing is missing."""
        if missing:
            self._bars.start()
            self._bars.add_task(f"{len(missing)} store paths", total=sum(info.nar_size for info in missing))

    def advance(self, info: PathInfo) -> None:
        """Move the bar by the NAR size of ``info``."""
        self._bars.advance(self._bars.task_ids[-1], info.nar_size)

    def stop(self) -> None:
        """Remove the bar from the terminal."""
        self._bars.stop()


def _create_bars(console: Console) -> RichProgress:
    return RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
