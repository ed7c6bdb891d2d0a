"""Report the progress of work to an object that relies on the rules of `lamina.core.progress`.

Invariant: the object receives one call at a time, and the bytes of each finished item add up to its size.
"""

from __future__ import annotations

from threading import RLock

from lamina.core.progress import FileSubject, Progress, ProgressItem, Work, check_progress


class ProgressReporter(Progress):
    """Passes calls from any thread on to ``progress``. A call waits until the call of another thread has returned.

    The caller reports the bytes that it handles. Their number may differ from the size of the item: the tar of a layer
    is larger than its NARs, a worker process reports only from time to time, and an item that is started again, from
    another source, begins at zero. So what exceeds the size is not passed on, and what is missing is added at the end.

    Args:
        progress: Receives the progress; None to report nothing. Raises `InvalidArgument` if it is something else.
    """

    def __init__(self, progress: Progress | None) -> None:
        self._progress = check_progress(progress) or Progress()
        self._lock = RLock()
        self._is_size_known = True
        self._handled: dict[ProgressItem, int] = {}
        self._reported: dict[ProgressItem, int] = {}

    def begin(self, work: Work) -> None:
        """Report that ``work`` is about to be done."""
        with self._lock:
            self._is_size_known = work.size > 0
            self._handled, self._reported = {}, {}
            self._progress.begin(work)

    def start(self, item: ProgressItem) -> None:
        """Report that ``item`` is being worked on, unless it was started before; its bytes are counted from zero."""
        with self._lock:
            is_first = item not in self._handled
            self._handled[item] = 0
            if is_first:
                self._progress.start(item)

    def advance(self, item: ProgressItem, size: int) -> None:
        """Report that ``size`` more bytes of ``item`` are done."""
        with self._lock:
            handled = self._handled[item] = self._handled.get(item, 0) + size
            self._report(item, min(handled, item.size) if self._is_size_known else handled)

    def reach(self, item: ProgressItem, count: int) -> None:
        """Report that ``count`` bytes of ``item`` are done in all; nothing if so many were reported before."""
        with self._lock:
            self._report(item, min(count, item.size))

    def finish(self, item: ProgressItem, outcome: str, size: int) -> None:
        """Report that the rest of ``item`` is done, and then that the item is."""
        with self._lock:
            self._report(item, item.size)
            self._progress.finish(item, outcome, size)

    def documents(self) -> None:
        """Report that the JSON documents of an image are next."""
        with self._lock:
            self._progress.documents()

    def done(self) -> None:
        """Report that the work is done."""
        with self._lock:
            self._progress.done()

    def _report(self, item: ProgressItem, count: int) -> None:
        """Report bytes of ``item`` until ``count`` bytes have been reported."""
        reported = self._reported.get(item, 0)
        if count > reported:
            self._reported[item] = count
            self._progress.advance(item, count - reported)


class FileProgress:
    """Reports work on one file to ``progress``.

    Args:
        progress: Receives the progress; None to report nothing.
        title: The name of the work for people.
        name: The name of the file.
        size: The number of bytes that will be read; 0 if it is unknown.
    """

    def __init__(self, progress: Progress | None, title: str, name: str, size: int) -> None:
        self._progress = ProgressReporter(progress)
        self._item = ProgressItem(1, size, FileSubject(name))
        self._progress.begin(Work(title, (self._item,), "file"))
        self._progress.start(self._item)

    def advance(self, size: int) -> None:
        """Report that ``size`` more bytes have been read."""
        self._progress.advance(self._item, size)

    def finish(self, outcome: str, size: int) -> None:
        """Report that the work is done, how, and the size in bytes of what came of it."""
        self._progress.finish(self._item, outcome, size)
        self._progress.done()
