"""The public function that compares two images."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from lamina.api.images import inspect
from lamina.api.results import ListResult
from lamina.images.diff import DiffResult
from lamina.images.platform_diff import compare_platforms
from lamina.images.readers import select
from lamina.images.readers.platforms import select_platforms

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
    only the manifest and the config are read. Images for several platforms are compared for each that both have.

    Args:
        old: the image that is updated: a file or a folder, ``FILE#NAME`` for one of several images in it, or a
            reference to an image in a registry.
        new: the image that it is updated to, in the same form.
        platform: compare only the images for this platform, such as ``linux/arm64``. By default all.
        max_unpacked_size: as in `inspect`, for each of the two.
        insecure: whether a registry on another machine may be used over plain HTTP.
        progress: receives the progress of reading the two images.

    Returns:
        The layers, the packages and the settings of both images, and what happens to each; for the first platform that
        both have, with the results for the others.

    Raises:
        NotFound: a file has several images, or none of that name.
        PlanError: no platform is that of both images, or none is ``platform``.
        Error: what `inspect` raises.

    """
    read = partial(
        _read_images, platform=platform, max_unpacked_size=max_unpacked_size, insecure=insecure, progress=progress
    )
    old_images, new_images = read(old), read(new)
    result = compare_platforms(old_images, new_images)
    about_images = (*old_images.warnings, *new_images.warnings)
    warnings = (*(warning for compared in result.platforms for warning in compared.warnings), *about_images)
    return replace(result, warnings=tuple(dict.fromkeys(warnings)))


def read_image(
    image: StrPath,
    *,
    platform: str | None,
    max_unpacked_size: int | str | None,
    insecure: bool,
    progress: Progress | None,
) -> InspectedImage:
    """Return the one image that ``image`` names; the parameters and errors are those of `diff`.

    Raises `NotFound` if it is for several platforms.
    """
    images = inspect(
        image, platform=platform, max_unpacked_size=max_unpacked_size, insecure=insecure, progress=progress
    )
    return select.select_single(images, *_describe_choice(image))


def _read_images(
    image: StrPath,
    *,
    platform: str | None,
    max_unpacked_size: int | str | None,
    insecure: bool,
    progress: Progress | None,
) -> ListResult[InspectedImage]:
    """Return the image that ``image`` names, for each of its platforms."""
    images = inspect(
        image, platform=platform, max_unpacked_size=max_unpacked_size, insecure=insecure, progress=progress
    )
    return ListResult(select_platforms(images, *_describe_choice(image)), images.warnings)


def _describe_choice(image: StrPath) -> tuple[object, str]:
    """Return the subject and the hint of the error if there are several images."""
    source = select.parse_source(image)
    if isinstance(source, select.ImageFile) and source.name is None:
        return source.path, source.name_hint
    return image, select.PLATFORM_HINT
