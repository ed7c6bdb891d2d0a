"""Progress as plain lines: one for each layer or store path that is finished.

    layer  12/100  openssl-3.0.14             6.1 MiB  reused
    layer  99/100  my-app-1.4 +37            41.0 MiB  packed

Invariant: the lines of an image are in the order of its layers, whichever is finished first.
"""

from __future__ import annotations

from typing import TextIO

from lamina.cli.output import escape_controls, print_progress
from lamina.core.progress import Progress, ProgressItem, Work
from lamina.messages.sizes import format_size

# The columns of the name: names are padded to the longest of the work within these limits.
_MIN_NAME_WIDTH, _MAX_NAME_WIDTH = 24, 48
_SIZE_WIDTH = 10


class ProgressLines(Progress):
    """Writes one line for each item to ``out``."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._work = Work("", ())
        self._name_width = _MIN_NAME_WIDTH
        self._waiting: dict[int, tuple[ProgressItem, str, int]] = {}
        self._printed = 0

    def begin(self, work: Work) -> None:
        """Print what is about to be done, if its items are store paths."""
        self._work, self._waiting, self._printed = work, {}, 0
        longest = max((len(escape_controls(item.name)) for item in work.items), default=0)
        self._name_width = min(max(longest, _MIN_NAME_WIDTH), _MAX_NAME_WIDTH)
        if work.unit == "path":
            self._print_line(f"{work.title}, {format_size(work.size)}")

    def finish(self, item: ProgressItem, outcome: str, size: int) -> None:
        """Print the line of the item, that of a layer after those of the layers below it; a single file has no line."""
        if self._work.unit == "path":
            self._print_item(item, outcome, size)
        if self._work.unit != "layer":
            return
        self._waiting[item.number] = item, outcome, size
        while self._printed + 1 in self._waiting:
            self._print_item(*self._waiting.pop(self._printed + 1))

    def _print_item(self, item: ProgressItem, outcome: str, size: int) -> None:
        self._printed += 1
        total = len(self._work.items)
        number = f"{self._printed:>{len(str(total))}}/{total}"
        name = f"{escape_controls(item.name):<{self._name_width}}"
        self._print_line(f"{self._work.unit} {number}  {name}{format_size(size):>{_SIZE_WIDTH}}  {outcome}")

    def _print_line(self, line: str) -> None:
        print_progress(line, self._out)
