"""The progress of a push, in which a layer is done when the registry has it, and not when it is packed."""

from __future__ import annotations

from lamina.core.progress import Progress, ProgressItem, Work
from lamina.system.progress_reporter import ProgressReporter


class PushProgress(Progress):
    """Passes the progress of layers on to ``progress``: packing one counts for half of its item, and sending for half.

    The whole item counts for the sending of a blob that another image has, because it is not packed.
    """

    def __init__(self, progress: ProgressReporter) -> None:
        self._progress = progress
        self._packed: dict[ProgressItem, int] = {}

    def begin(self, work: Work) -> None:
        """Report that a push begins, or begins again."""
        self._packed.clear()
        self._progress.begin(work)

    def start(self, item: ProgressItem) -> None:
        """Report that the item is being packed or sent."""
        self._progress.start(item)

    def advance(self, item: ProgressItem, size: int) -> None:
        """Report that ``size`` more bytes of the item have been packed."""
        packed = self._packed[item] = self._packed.get(item, 0) + size
        self._progress.reach(item, min(packed, item.size) // 2)

    def send(self, item: ProgressItem, sent: int, total: int) -> None:
        """Report that the first ``sent`` bytes of the item's blob have been sent, of ``total``."""
        count = item.size * sent // total if total else item.size
        self._progress.reach(item, (item.size + count) // 2 if item in self._packed else count)

    def finish(self, item: ProgressItem, outcome: str, size: int) -> None:
        """Report that all repositories have the item's blob."""
        self._progress.finish(item, outcome, size)
