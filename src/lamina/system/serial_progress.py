"""Report the progress of several threads to an object that expects one call at a time."""

from __future__ import annotations

from threading import Lock

from lamina.core.progress import Progress, ProgressItem, Work


class SerialProgress(Progress):
    """Passes every call on to ``progress``. A call waits until the call of another thread has returned."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = Lock()

    def begin(self, work: Work) -> None:
        """Report that ``work`` is about to be done."""
        with self._lock:
            self._progress.begin(work)

    def start(self, item: ProgressItem) -> None:
        """Report that ``item`` is being worked on."""
        with self._lock:
            self._progress.start(item)

    def advance(self, item: ProgressItem, size: int) -> None:
        """Report that ``size`` more bytes of ``item`` are done."""
        with self._lock:
            self._progress.advance(item, size)

    def finish(self, item: ProgressItem, outcome: str, size: int) -> None:
        """Report that ``item`` is done."""
        with self._lock:
            self._progress.finish(item, outcome, size)

    def documents(self) -> None:
        """Report that the JSON documents of an image are next."""
        with self._lock:
            self._progress.documents()

    def done(self) -> None:
        """Report that the work is done."""
        with self._lock:
            self._progress.done()
