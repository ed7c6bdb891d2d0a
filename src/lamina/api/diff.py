"""The public function that compares two images."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lamina.api.images import inspect
from lamina.images.diff import DiffResult, compare_images
from lamina.images.readers import select

if TYPE_CHECKING:
    from lamina.core.progress import Progress
    from lamina.images.readers.source_image import InspectedImage
    from lamina.inputs.arguments import StrPath


def diff(
    old: StrPath,
    new: StrPath,
    *,
    platform: str | None = None,
    max_unpacked_size: int | str | None = None,
    insecure: bool = False,
    progress: Progress | None = None,
) -> DiffResult:
    """Return which layers, packages and settings differ between two images, and how many bytes an update moves.

    Sizes are those of the layers' blobs as each image stores them, which may be compressed. Of an image in a registry,
    only the manifest and the config are read.

    Args:
        old: the image that is updated: a file or a folder, ``FILE#NAME`` for one of several images in it, or a
            reference to an image in a registry.
        new: the image that it is updated to, in the same form.
        platform: compare the images for this platform, such as ``linux/arm64``; needed if there are several.
        max_unpacked_size: as in `inspect`, for each of the two.
        insecure: whether a registry on another machine may be used over plain HTTP.
        progress: receives the progress of reading the two images.

    Returns:
        The layers, the packages and the settings of both images, and what happens to each.

    Raises:
        NotFound: a file has several images, or none of that name.
        Error: what `inspect` raises.

    """
    read = partial(
        read_image, platform=platform, max_unpacked_size=max_unpacked_size, insecure=insecure, progress=progress
    )
    return compare_images(read(old), read(new))


def read_image(
    image: StrPath,
    *,
    platform: str | None,
    max_unpacked_size: int | str | None,
    insecure: bool,
    progress: Progress | None,
) -> InspectedImage:
    """Return the one image that ``image`` names; the parameters and errors are those of `diff`."""
    images = inspect(
        image, platform=platform, max_unpacked_size=max_unpacked_size, insecure=insecure, progress=progress
    )
    source = select.parse_source(image)
    if isinstance(source, select.ImageFile) and source.name is None:
        return select.select_single(images, source.path, f"name one as {source.path}#NAME:TAG")
    return select.select_single(images, image, select.PLATFORM_HINT)
