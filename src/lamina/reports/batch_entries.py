"""The images and layers of a batch as its page shows them, and which layers images share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

MADE, REUSED, FAILED = "made", "reused", "failed"


@dataclass(frozen=True, slots=True)
class BatchLayerEntry:
    """A distinct layer of store paths.

    Attributes:
        name: a short name: what is in the layer.
        size: the number of bytes of its blob; 0 if it failed.
        outcome: ``made``, ``reused`` or ``failed``.
    """

    name: str
    size: int
    outcome: str


@dataclass(frozen=True, slots=True)
class BatchImageEntry:
    """An image of a batch.

    Attributes:
        name: its name in messages.
        layers: its layers of store paths, as indices into those of the batch.
        reference: where it is now; empty if it failed.
        digest: the digest of its manifest or index; empty if it failed.
        own_size: the number of bytes that were sent for this image alone, such as its customisation layer.
        error: why it failed; empty if it is done.
    """

    name: str
    layers: tuple[int, ...]
    reference: str = ""
    digest: str = ""
    own_size: int = 0
    error: str = ""


@dataclass(frozen=True)  # without slots, for the cached properties
class BatchEntries:
    """A batch.

    Attributes:
        images: its images, in their order.
        layers: its distinct layers.
        mounted: the number of blobs that the registry took from another of its repositories.
        seconds: how long it took.
        workers: a description of the workers.
    """

    images: Sequence[BatchImageEntry]
    layers: Sequence[BatchLayerEntry]
    mounted: int
    seconds: float
    workers: str

    @cached_property
    def users(self) -> Mapping[int, Sequence[int]]:
        """The images that have each layer, for the layers that an image has; images that failed do not count."""
        users: dict[int, list[int]] = {}
        for number, image in enumerate(self.images):
            for layer in () if image.error else image.layers:
                users.setdefault(layer, []).append(number)
        return users

    @cached_property
    def order(self) -> Sequence[int]:
        """The layers that an image has, those of the most images first, and the larger of two first."""
        return sorted(self.users, key=lambda layer: (-len(self.users[layer]), -self.layers[layer].size, layer))

    def sum_sizes(self, image: BatchImageEntry) -> int:
        """Return the number of bytes of an image: of its layers, and of what it has alone."""
        return image.own_size + sum(self.layers[layer].size for layer in image.layers)

    def sum_shared(self, image: BatchImageEntry) -> int:
        """Return the number of bytes of the layers that other images have too."""
        return sum(self.layers[layer].size for layer in image.layers if len(self.users[layer]) > 1)

    def sum_first(self, number: int) -> int:
        """Return the number of bytes that were sent for image ``number``.

        A layer that was made counts for the first image that has it.
        """
        image = self.images[number]
        made = (layer for layer in image.layers if self.layers[layer].outcome == MADE)
        return image.own_size + sum(self.layers[layer].size for layer in made if self.users[layer][0] == number)

    def count_saved(self, layer: int) -> int:
        """Return how many bytes of a layer were not sent although an image has it."""
        sent = self.layers[layer].outcome == MADE
        return self.layers[layer].size * (len(self.users[layer]) - sent)

    @property
    def whole_size(self) -> int:
        """The number of bytes that all images have, each on its own."""
        return sum(self.sum_sizes(image) for image in self.images if not image.error)

    @property
    def sent_size(self) -> int:
        """The number of bytes that were sent."""
        made = sum(layer.size for layer in self.layers if layer.outcome == MADE)
        return made + sum(image.own_size for image in self.images)
