"""The public function that compares two images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.api.images import inspect
from lamina.images.diff import DiffResult, compare_images
from lamina.images.readers import select

if TYPE_CHECKING:
    from lamina.core.progress import Progress
    from lamina.images.readers.source_image import SourceImage
    from lamina.inputs.arguments import StrPath


def diff(
    old: StrPath,
    new: StrPath,
    *,
    platform: str | None = None,
    max_unpacked_size: int | str | None = None,
    progress: Progress | None = None,
) -> DiffResult:
    """Return which layers, packages and settings differ between two images, and how many bytes an update moves.

    Sizes are those of the layers' blobs as each image stores them, which may be compressed.

    Args:
        old: the image that is updated: a file or a folder, or ``FILE#NAME`` for one of several images in it.
        new: the image that it is updated to, in the same form.
        platform: compare the images for this platform, such as ``linux/arm64``; needed if a file has several.
        max_unpacked_size: as in `inspect`, for each of the two.
        progress: receives the progress of reading the two images.

    Returns:
        The layers, the packages and the settings of both images, and what happens to each.

    Raises:
        NotFound: a file has several images, or none of that name.
        Error: what `inspect` raises.

    """
    images = [
        _read_image(image, platform=platform, max_unpacked_size=max_unpacked_size, progress=progress)
        for image in (old, new)
    ]
    return compare_images(*images)


def _read_image(
    image: StrPath, *, platform: str | None, max_unpacked_size: int | str | None, progress: Progress | None
) -> SourceImage:
    images = inspect(image, platform=platform, max_unpacked_size=max_unpacked_size, progress=progress)
    file, name = select.split_name(image)
    hint = f"name one as {file}#NAME:TAG" if name is None else select.PLATFORM_HINT
    return select.select_single(images, file, hint)
