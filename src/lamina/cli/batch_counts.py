"""Count what a batch has done so far, for the displays of its progress."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lamina.fleet.results import FAILED, MADE, REUSED, BatchProgress

if TYPE_CHECKING:
    from lamina.core.names import Digest
    from lamina.fleet.results import BatchImage, BatchLayer

MAX_RETRY_LINES = 10
"""How many lines there are about work that is tried again: an outage concerns every layer, for the same reason."""


class BatchCounts(BatchProgress):
    """The numbers of a batch that runs.

    Attributes:
        images: how many images there are; 0 before they are prepared.
        prepared_images: how many were prepared.
        done: how many images are finished.
        failed: how many failed.
        layers: how many distinct layers there are; 0 before they are planned.
        made: how many of them were made.
        reused: how many were at the destination already.
        failed_layers: how many could not be made.
        mounted: how many blobs the registry took from another repository.
        retries: how often something was tried again.
        bytes_read: the size of the store paths that were read.
        bytes_sent: the size of the blobs that were sent or written.
        bytes_saved: the size of the blobs that images share, and that were therefore not sent again.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._sizes: dict[tuple[Digest, str], int] = {}
        self._unused: set[tuple[Digest, str]] = set()
        self.images: int = 0
        self.prepared_images: int = 0
        self.done: int = 0
        self.failed: int = 0
        self.layers: int = 0
        self.made: int = 0
        self.reused: int = 0
        self.failed_layers: int = 0
        self.mounted: int = 0
        self.retries: int = 0
        self.bytes_read: int = 0
        self.bytes_sent: int = 0
        self.bytes_saved: int = 0

    @property
    def seconds(self) -> float:
        """How long the batch has run."""
        return time.monotonic() - self._began

    def prepare(self, images: int) -> None:
        """Count the images."""
        self.images = images

    def prepared(self, name: str) -> None:
        """Count an image that is prepared, or could not be."""
        self.prepared_images += 1

    def begin(self, images: int, layers: int) -> None:
        """Count the layers of the images that could be prepared."""
        self.images = images + self.failed
        self.layers = layers

    def layer(self, layer: BatchLayer) -> None:
        """Count a layer."""
        self.made += layer.outcome == MADE
        self.reused += layer.outcome == REUSED
        self.failed_layers += layer.outcome == FAILED
        self._sizes[layer.key, layer.compression] = layer.blob_size
        if layer.outcome == MADE:
            self._unused.add((layer.key, layer.compression))
            self.bytes_read += layer.nar_size
            self.bytes_sent += layer.blob_size

    def image(self, image: BatchImage) -> None:
        """Count an image. A layer that was made is saved for each image but the first."""
        if image.error:
            self.failed += 1
            return
        self.done += 1
        self.mounted += image.blobs_mounted
        self.bytes_sent += image.bytes_sent
        self.bytes_saved += sum(self._sizes.get(layer, 0) for layer in image.layers - self._unused)
        self._unused -= image.layers

    def retry(self, subject: str, error: BaseException) -> None:
        """Count another attempt."""
        self.retries += 1

    def describe_retry(self, subject: str, error: BaseException) -> str:
        """Return a line about the last attempt that was counted; empty if there were enough of them."""
        if self.retries > MAX_RETRY_LINES:
            return ""
        more = "; more are only counted" if self.retries == MAX_RETRY_LINES else ""
        return f"trying again: {subject}: {error}{more}"
