"""The progress of loading an image into an engine: its layers are made, and sent when the engine asks for them."""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING

from lamina.core.progress import REUSED, SENT, Progress, ProgressItem
from lamina.layers.layer import list_items
from lamina.server.error_documents import RequestRefused
from lamina.server.routes import BlobRoute, parse_route
from lamina.system.progress_reporter import ProgressReporter

if TYPE_CHECKING:
    from lamina.core.names import Digest
    from lamina.images.image import Draft
    from lamina.server.metrics import AnsweredRequest
    from lamina.server.served_image import MadeImage

_COMPLETE = (200, 206)


class LoadProgress:
    """Reports to ``progress`` each layer of ``draft`` as sent, or as reused if the engine never asked for it."""

    def __init__(self, progress: Progress | None, draft: Draft) -> None:
        self._reporter = ProgressReporter(progress)
        self._draft = draft
        self._lock = RLock()  # guards what follows
        self._waiting: dict[Digest, list[ProgressItem]] = {}
        self._sizes: dict[ProgressItem, int] = {}
        self._sent = 0
        self.items: tuple[ProgressItem, ...] = list_items(draft.layers)
        self.making: Progress = _Making(self._reporter)
        """Is told about ``items`` while the layers are made."""

    def begin(self) -> None:
        """Report that the layers are about to be made."""
        self._reporter.begin(self._draft.describe_work(self.items))

    def expect(self, made: MadeImage) -> None:
        """Remember which item is the layer of which blob."""
        with self._lock:
            for item, blob in zip(self.items, made.blobs, strict=True):
                self._waiting.setdefault(blob.digest, []).append(item)
                self._sizes[item] = blob.size

    def count(self, answered: AnsweredRequest) -> None:
        """Report the layer that the engine got with an answer."""
        if answered.method != "GET" or answered.status not in _COMPLETE or not answered.is_complete:
            return
        try:
            route = parse_route(answered.path.partition("?")[0])
        except RequestRefused:
            return
        if isinstance(route, BlobRoute) and route.digest:
            with self._lock:
                for item in self._waiting.pop(route.digest, ()):
                    self._sent += 1
                    self._reporter.finish(item, SENT, self._sizes[item])

    def finish(self) -> int:
        """Report all other layers as reused, and return the number of those that were sent."""
        with self._lock:
            for items in self._waiting.values():
                for item in items:
                    self._reporter.finish(item, REUSED, self._sizes[item])
        self._reporter.done()
        return self._sent


class _Making(Progress):
    """Passes on what is reported while layers are made, except that they are finished."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def start(self, item: ProgressItem) -> None:
        """Report that ``item`` is being made."""
        self._progress.start(item)

    def advance(self, item: ProgressItem, size: int) -> None:
        """Report that ``size`` more bytes of ``item`` are made."""
        self._progress.advance(item, size)
