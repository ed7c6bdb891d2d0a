"""The images of a batch before they are finished, and the distinct layers that they need.

Invariant: every layer of store paths whose layer key is known is listed once, however many images have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lamina.compression.compressors import LayerCompression
from lamina.fleet.blob_homes import BlobHome
from lamina.fleet.fingerprint import Fingerprint
from lamina.fleet.layer_task import CachePlace, LayerId, LayerTask, PathSources
from lamina.formats.media_types import MediaTypes
from lamina.formats.registry_references import RegistryReference
from lamina.images.attachments import DescribeImage
from lamina.images.image import Draft
from lamina.layer_cache.key import LayerInputs


@dataclass(frozen=True, slots=True)
class ImageLayers:
    """The layers of store paths that an image needs, on all of its platforms, and how they are made.

    Attributes:
        inputs: the inputs of each layer.
        compression: how they are compressed.
        sources: where their store paths come from.
        home: where those go that no earlier image of the batch has.
        verify: whether they are made although the layer cache knows them, and compared.
    """

    inputs: tuple[LayerInputs, ...]
    compression: LayerCompression
    sources: PathSources
    home: BlobHome
    verify: bool = False


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """An image of a batch, with one draft for each of its platforms.

    Attributes:
        name: the name that messages have for it; no other image of the batch has it.
        drafts: the drafts, in the order of the platforms.
        compression: how its layers are compressed.
        sources: where its store paths come from.
        home: where the layers go that no earlier image of the batch has.
        target: its name in a registry; None if it goes to a layout.
        media_types: those of its manifest; None for OCI's.
        verify: whether layers are made although the layer cache knows them, and compared.
        insecure: whether plain HTTP is allowed.
        describe: for each draft, what makes the documents that are attached to its image; empty for none.
        warnings: messages about its arguments and stores. Making the documents adds to them.
    """

    name: str
    drafts: tuple[Draft, ...] = field(repr=False)
    compression: LayerCompression
    sources: PathSources
    home: BlobHome
    target: RegistryReference | None = None
    media_types: MediaTypes | None = None
    verify: bool = False
    insecure: bool = False
    describe: tuple[DescribeImage, ...] = field(default=(), repr=False)
    warnings: Sequence[str] = ()

    @property
    def needs(self) -> ImageLayers:
        """The layers that it needs; a layer without known inputs is not among them, and is made with the image."""
        inputs = (source.key for draft in self.drafts for source in draft.layers)
        return ImageLayers(tuple(filter(None, inputs)), self.compression, self.sources, self.home, self.verify)


@dataclass(frozen=True, slots=True)
class DistinctLayers:
    """The layers of all images, each once.

    Attributes:
        tasks: how each is made, the largest first.
        users: the numbers of the images that have it, ascending.
        needed: for each image, its layers.
    """

    tasks: Mapping[LayerId, LayerTask]
    users: Mapping[LayerId, tuple[int, ...]]
    needed: tuple[frozenset[LayerId], ...]


def collect_layers(
    images: Sequence[ImageLayers],
    fingerprint: Fingerprint,
    layer_cache: CachePlace,
    blob_cache: CachePlace,
    *,
    offline: bool = False,
    batch: str = "",
) -> DistinctLayers:
    """Return the distinct layers of ``images``. The home of each is that of the first image that has it.

    Args:
        images: the layers of each image.
        fingerprint: the versions that every worker must have.
        layer_cache: where workers find the layer cache.
        blob_cache: where workers find and keep compressed layers.
        offline: whether the caches may send no request.
        batch: the name of the batch in its claims to layers; empty for no claims.

    """
    tasks: dict[LayerId, LayerTask] = {}
    users: dict[LayerId, list[int]] = {}
    needed: list[frozenset[LayerId]] = []
    for number, image in enumerate(images):
        found: set[LayerId] = set()
        for inputs in image.inputs:
            layer = inputs.key, str(image.compression)
            if layer not in tasks:
                tasks[layer] = LayerTask(
                    inputs,
                    layer[1],
                    image.sources,
                    image.home,
                    fingerprint,
                    layer_cache,
                    blob_cache,
                    offline,
                    image.verify,
                    batch,
                )
            if layer not in found:
                found.add(layer)
                users.setdefault(layer, []).append(number)
        needed.append(frozenset(found))
    largest_first = sorted(tasks.items(), key=lambda item: -item[1].nar_size)
    return DistinctLayers(dict(largest_first), {layer: tuple(those) for layer, those in users.items()}, tuple(needed))
