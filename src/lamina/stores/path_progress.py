"""Report work on store paths, one item for each path, from any thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lamina.core.callbacks import ignore
from lamina.core.names import StorePath
from lamina.core.progress import Progress, Work
from lamina.system.progress_reporter import ProgressReporter


class PathProgress:
    """Reports work on store paths to ``progress``; nothing is reported if there is no path.

    Args:
        progress: Receives the progress; None to report nothing.
        title: The name of the work for people.
        sizes: The size of each path's NAR in bytes, in the order of the items.
    """

    def __init__(self, progress: Progress | None, title: str, sizes: Mapping[StorePath, int]) -> None:
        self._progress = ProgressReporter(progress if sizes else None)
        work = Work.of_paths(title, sizes.items())
        self._items = dict(zip(sizes, work.items, strict=True))
        self._progress.begin(work)

    def start(self, path: StorePath, write: Callable[[memoryview], object] = ignore) -> Callable[[memoryview], None]:
        """Report that ``path`` is being worked on; return a function that passes its NAR to ``write`` and reports that.

        The function may be called with any number of parts of the NAR.
        """
        item = self._items[path]
        self._progress.start(item)

        def write_and_report(data: memoryview) -> None:
            write(data)
            self._progress.advance(item, len(data))

        return write_and_report

    def finish(self, path: StorePath, outcome: str) -> None:
        """Report that ``path`` is done, and how."""
        item = self._items[path]
        self._progress.finish(item, outcome, item.size)

    def done(self) -> None:
        """Report that the work is done."""
        self._progress.done()
