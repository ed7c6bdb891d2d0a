"""Compare two images that are for several platforms: the images for the same platform with each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from lamina.errors import PlanError
from lamina.formats.platform import Platform
from lamina.images.diff import DiffResult, compare_images, describe_image
from lamina.images.readers.select import list_platforms
from lamina.images.readers.source_image import InspectedImage


class _Key(NamedTuple):
    """A platform, and the number of the image for it: an index may list several, of other versions of a system."""

    platform: Platform
    number: int


def compare_platforms(old: Sequence[InspectedImage], new: Sequence[InspectedImage]) -> DiffResult:
    """Return what an update from ``old`` to ``new`` changes, for each platform that both have.

    Args:
        old: the old image, for one platform or several.
        new: the new image.

    Returns:
        The differences for the first platform of ``new`` that both have, with those for the others. Two images for one
        platform each are compared whatever their platforms are.

    Raises:
        PlanError: the images are for several platforms, and have none in common.

    """
    if len(old) == len(new) == 1:
        return compare_images(old[0], new[0])
    old_images, new_images = _key(old), _key(new)
    compared = [compare_images(old_images[key], image) for key, image in new_images.items() if key in old_images]
    if not compared:
        got = f"images for {list_platforms(old)} in the one, and for {list_platforms(new)} in the other"
        raise PlanError("platforms", got, "a platform that both have")
    first, *others = compared
    return replace(
        first,
        others=tuple(others),
        only_old=tuple(describe_image(image) for key, image in old_images.items() if key not in new_images),
        only_new=tuple(describe_image(image) for key, image in new_images.items() if key not in old_images),
    )


def _key(images: Sequence[InspectedImage]) -> dict[_Key, InspectedImage]:
    seen: defaultdict[Platform, int] = defaultdict(int)
    found: dict[_Key, InspectedImage] = {}
    for image in images:
        platform = image.effective_platform
        found[_Key(platform, seen[platform])] = image
        seen[platform] += 1
    return found
