"""The layers of the images that a registry serves, and which of them several images have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lamina.core.names import Digest
from lamina.system.transfer import BlobInfo


@dataclass(frozen=True, slots=True)
class LayerEntry:
    """A layer of an image that is ready.

    Attributes:
        name: a short name: what is in the layer.
        blob: digest and size in bytes of its blob.
    """

    name: str
    blob: BlobInfo


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """An image that a registry serves.

    Attributes:
        name: its name with the tag and without the registry.
        platforms: the layers of its image for each platform; empty if no image was made yet.
    """

    name: str
    platforms: tuple[tuple[LayerEntry, ...], ...] = ()

    @property
    def layers(self) -> Sequence[LayerEntry]:
        """The different layers of all its platforms."""
        return list({layer.blob.digest: layer for layers in self.platforms for layer in layers}.values())


@dataclass(frozen=True, slots=True)
class CommonLayer:
    """A layer that several images have.

    Attributes:
        layer: the layer.
        images: the names of the images, at least two.
    """

    layer: LayerEntry
    images: tuple[str, ...]

    @property
    def saved(self) -> int:
        """How many bytes a client that pulls all of these images does not download again."""
        return self.layer.blob.size * (len(self.images) - 1)


def find_common_layers(images: Iterable[ImageEntry]) -> Sequence[CommonLayer]:
    """Return the layers that at least two images have, those that save the most bytes first."""
    layers: dict[Digest, LayerEntry] = {}
    names: dict[Digest, list[str]] = {}
    for image in images:
        for layer in image.layers:
            layers[layer.blob.digest] = layer
            names.setdefault(layer.blob.digest, []).append(image.name)
    found = [CommonLayer(layer, tuple(names[digest])) for digest, layer in layers.items() if len(names[digest]) > 1]
    return sorted(found, key=lambda common: (-common.saved, str(common.layer.blob.digest)))


def sum_sizes(layers: Iterable[LayerEntry]) -> int:
    """Return the number of bytes of the blobs of layers."""
    return sum(layer.blob.size for layer in layers)
