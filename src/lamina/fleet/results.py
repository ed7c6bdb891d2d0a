"""The results of a batch."""

from __future__ import annotations

from dataclasses import dataclass, field

from lamina.core.names import Digest
from lamina.errors import Error
from lamina.fleet.layer_task import LayerId
from lamina.images.image import Image


@dataclass(frozen=True, slots=True)
class BatchLayer:
    """A distinct layer of a batch.

    Attributes:
        key: the layer key.
        compression: how its blob is compressed, such as ``gzip:2``.
        names: the names of its store paths, without their hashes.
        nar_size: the size of their NARs in bytes.
        images: the number of images that have it.
        outcome: ``made``, ``reused`` if the destination or the blob cache had it already, or ``failed``.
        diff_id: the digest of the uncompressed tar; None if it failed.
        size: the size of the uncompressed tar in bytes.
        digest: the digest of the blob; None if it failed.
        blob_size: the size of the blob in bytes.
        bytes_sent: how many bytes were sent to its home, or written to the layout.
        seconds: how long a worker took for it.
        worker: the name of the worker; empty if no worker was needed.
    """

    key: Digest
    compression: str
    names: tuple[str, ...]
    nar_size: int
    images: int
    outcome: str
    diff_id: Digest | None = None
    size: int = 0
    digest: Digest | None = None
    blob_size: int = 0
    bytes_sent: int = 0
    seconds: float = 0.0
    worker: str = ""


@dataclass(frozen=True, slots=True)
class BatchImage:
    """An image of a batch.

    Attributes:
        name: the name of the image in messages.
        error: why it failed; None if it is done.
        images: the image, or one for each platform; empty if it failed.
        reference: its name and tag; empty if it failed before it had one.
        digest: the digest of its manifest or index; None if it failed.
        layers: the distinct layers that it has, in no particular order.
        blobs_mounted: how many blobs the registry took from another of its repositories.
        bytes_sent: how many bytes were sent or written for the image alone: its customisation layer, for example.
        seconds: how long it took to finish it once its layers were there.
        warnings: messages about its arguments, the stores and the registry.
    """

    name: str
    error: Error | None = None
    images: tuple[Image, ...] = field(default=(), repr=False)
    reference: str = ""
    digest: Digest | None = None
    layers: frozenset[LayerId] = field(default=frozenset(), repr=False)
    blobs_mounted: int = 0
    bytes_sent: int = 0
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The images of a batch, and what they took.

    Attributes:
        images: the images, in the order of the spec files.
        layers: the distinct layers of store paths, the largest first.
        seconds: how long it took.
        workers: a description of the workers.
        warnings: messages about the batch.
    """

    images: tuple[BatchImage, ...]
    layers: tuple[BatchLayer, ...]
    seconds: float
    workers: str
    warnings: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[BatchImage, ...]:
        """The images that failed, in the order in which they were given."""
        return tuple(image for image in self.images if image.error)

    @property
    def layers_made(self) -> int:
        """The number of distinct layers that were packed."""
        return sum(layer.outcome == MADE for layer in self.layers)

    @property
    def layers_reused(self) -> int:
        """The number of distinct layers that the destination or the blob cache had already."""
        return sum(layer.outcome == REUSED for layer in self.layers)

    @property
    def blobs_mounted(self) -> int:
        """The number of blobs that the registry took from another of its repositories."""
        return sum(image.blobs_mounted for image in self.images)

    @property
    def bytes_read(self) -> int:
        """The size of the NARs of the layers that were packed, in bytes."""
        return sum(layer.nar_size for layer in self.layers if layer.outcome == MADE)

    @property
    def bytes_sent(self) -> int:
        """The number of bytes that were sent to the registry or written to the layout."""
        layers = sum(layer.bytes_sent for layer in self.layers)
        return layers + sum(image.bytes_sent for image in self.images)

    @property
    def bytes_saved(self) -> int:
        """The size in bytes of the blobs that would have been sent if every image had been sent on its own."""
        sizes = {(layer.key, layer.compression): layer for layer in self.layers}
        every = sum(sizes[layer].blob_size for image in self.images if not image.error for layer in image.layers)
        return max(0, every - sum(layer.bytes_sent for layer in self.layers))


MADE = "made"
"""The layer was packed."""
REUSED = "reused"
"""The destination or the blob cache had the layer already."""
FAILED = "failed"
"""The layer could not be made."""


class BatchProgress:
    """Receives the progress of a batch.

    The methods do nothing; a subclass overrides those that it needs. They are called one at a time.
    """

    def connect(self, workers: str, dashboard: str) -> None:
        """Report that the workers are there: what they are in words, and the URL of a page about them, or nothing."""

    def prepare(self, images: int) -> None:
        """Report that ``images`` images are about to be prepared: their stores are asked, and layers are planned."""

    def prepared(self, name: str) -> None:
        """Report that the image called ``name`` is prepared, or could not be."""

    def begin(self, images: int, layers: int) -> None:
        """Report that the layers of ``images`` images are about to be made, which have ``layers`` distinct ones."""

    def layer(self, layer: BatchLayer) -> None:
        """Report that a layer is there, or that it failed."""

    def image(self, image: BatchImage) -> None:
        """Report that an image is done, or that it failed."""

    def retry(self, subject: str, error: BaseException) -> None:
        """Report that something is tried again after ``error``."""
