"""Tell whether images are one image for several platforms, and find their indexes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from lamina.formats.image_names import canonical_name
from lamina.images.readers.image_index import ImageIndex
from lamina.images.readers.select import select_single
from lamina.images.readers.source_image import InspectedImage

_Image = TypeVar("_Image", bound=InspectedImage)


def list_indexes(images: Iterable[InspectedImage]) -> tuple[ImageIndex, ...]:
    """Return the indexes that list ``images``, each once, in the order of the first image of each."""
    return tuple(dict.fromkeys(index for image in images for index in image.indexes))


def is_one_image(images: Sequence[InspectedImage]) -> bool:
    """Return whether ``images`` are one image, for one platform or several.

    They are if an index lists all of them, or if they have the same names and each another platform.
    """
    shared = set.intersection(*({index.digest for index in image.indexes} for image in images)) if images else set()
    names = {(frozenset(map(canonical_name, image.repo_tags)), frozenset(image.tags)) for image in images}
    platforms = {image.effective_platform for image in images}
    return bool(shared) or (len(names) == 1 and len(platforms) == len(images))


def select_platforms(images: Sequence[_Image], subject: object, hint: str) -> tuple[_Image, ...]:
    """Return ``images`` if they are one image, for one platform or several; raise `NotFound` for others.

    ``subject`` and ``hint`` are for the message, which lists the images.
    """
    return tuple(images) if is_one_image(images) else (select_single(images, subject, hint),)
