"""Progress as the lines that nixpkgs' ``stream_layered_image.py`` prints.

Invariant: the lines depend on the image alone, not on timing.
"""

from __future__ import annotations

from typing import TextIO

from lamina.cli.output import escape_controls
from lamina.core.progress import Progress, ProgressItem, Work


class NixLines(Progress):
    """Writes one line for each layer to ``out`` before the layer is written."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._waiting: dict[int, str] = {}
        self._next = 1

    def begin(self, work: Work) -> None:
        """Print the line that announces the work, if there is one."""
        self._waiting, self._next = {}, 1
        if work.headline:
            self._print_line(work.headline)

    def start(self, item: ProgressItem) -> None:
        """Print the headline of the item, after those with lower numbers."""
        self._waiting[item.number] = item.subject.headline(item.number)
        self._print_waiting()

    def finish(self, item: ProgressItem, outcome: str, size: int) -> None:
        """Print the headline of the item if it was finished without having been started."""
        if item.number >= self._next and item.number not in self._waiting:
            self.start(item)

    def documents(self) -> None:
        """Print that the config and the manifest are written next."""
        self._print_line("Adding manifests...")

    def done(self) -> None:
        """Print that the work is done."""
        self._print_line("Done.")

    def _print_waiting(self) -> None:
        while self._next in self._waiting:
            self._print_line(self._waiting.pop(self._next))
            self._next += 1

    def _print_line(self, line: str) -> None:
        print(escape_controls(line), file=self._out, flush=True)
