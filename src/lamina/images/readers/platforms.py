"""Images for several platforms: tell whether images are one image for several, and whether their index is right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from lamina.errors import IntegrityError
from lamina.formats.image_names import canonical_name
from lamina.formats.platform import Platform
from lamina.images.readers.image_index import ImageIndex
from lamina.images.readers.select import PLATFORM_HINT, select_single
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


def list_contradictions(images: Iterable[InspectedImage]) -> Iterator[str]:
    """Yield a message for each image whose config states another platform than its index."""
    for image in images:
        declared, indexed = Platform.from_document(image.config), image.index_platform
        if _contradict(declared.os, indexed.os) or _contradict(declared.architecture, indexed.architecture):
            yield f"{image.id}: the index states {indexed}, and the config of the image {declared}"


def check_platforms(images: Iterable[InspectedImage], subject: object) -> None:
    """Raise `IntegrityError` if an image has another platform than its index states; ``subject`` names the index."""
    for contradiction in list_contradictions(images):
        raise IntegrityError(subject, contradiction, "the same platform in both", hint=PLATFORM_HINT)


def _contradict(one: str, other: str) -> bool:
    return bool(one and other) and one != other
