"""Read the store layers of the earlier image that ``pinned:IMAGE`` keeps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Literal

from lamina.builder.base_image import BaseImage
from lamina.builder.offline import refuse_reference
from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.formats.docker import list_layer_paths
from lamina.formats.platform import Platform
from lamina.inputs.spec import Spec
from lamina.layering import PinnedLayers, PinnedStrategy

if TYPE_CHECKING:
    from lamina.images.readers.source_image import InspectedImage

_FIRST = "so the layers are planned by cost"


def read_earlier_layers(
    spec: Spec, pinned: PinnedStrategy, closure: Closure, base: BaseImage, warnings: list[str]
) -> PinnedLayers | Literal["cost"]:
    """Return the store layers of the earlier image, or the strategy that is used if there are none.

    Of several platforms, the one of the spec counts. If the spec has none, it is the one with most of the store paths.

    Args:
        spec: the image that is planned.
        pinned: the name of the earlier image.
        closure: the store paths of the image that is planned.
        base: its base image. Layers of the earlier image that the base image has too are left out.
        warnings: the list to which a message is added if there is no earlier image, or it lists no store paths.

    Raises:
        InvalidArgument: the earlier image is in a registry, and the network may not be used.
        NotFound: a file has several images, and no name chooses one.
        Error: any other error of reading the image.

    """
    from lamina.images.readers.earlier_versions import EarlierVersionReader

    if spec.offline:
        refuse_reference("layering", pinned.image, "earlier.tar")
    platform = Platform.parse(spec.architecture) if spec.architecture else None
    notes: list[str] = []
    reader = EarlierVersionReader(platform, notes.append, spec.insecure, spec.max_unpacked_size)
    images = reader.read_one(pinned.image)
    if not images:
        suffix = f" for {platform}" if platform else ""
        warnings.append(f"layering: {pinned.image}: no such image{suffix}, {_FIRST}")
        return "cost"
    warnings += (f"layering: {note}" for note in notes)
    layers = _list_layers(_choose_image(images, closure), base)
    if not any(layers):
        warnings.append(f"layering: {pinned.image}: no store paths in the history of its layers, {_FIRST}")
        return "cost"
    return PinnedLayers(layers, pinned.image)


def _choose_image(images: Sequence[InspectedImage], closure: Closure) -> InspectedImage:
    """Return the image that lists most of the store paths of ``closure``; the first of several."""

    def count_shared(image: InspectedImage) -> int:
        return sum(path in closure for path in frozenset(chain.from_iterable(_list_paths(image))))

    return max(images, key=count_shared) if len(images) > 1 else images[0]


def _list_layers(image: InspectedImage, base: BaseImage) -> tuple[tuple[StorePath, ...], ...]:
    in_base = {layer.diff_id for layer in base.image.layers} if base.image else ()
    layers = zip(image.layers, _list_paths(image), strict=True)
    return tuple(paths for layer, paths in layers if layer.diff_id not in in_base)


def _list_paths(image: InspectedImage) -> list[tuple[StorePath, ...]]:
    return list_layer_paths(image.config, len(image.layers))
