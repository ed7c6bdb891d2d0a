"""Select images from a file by name, image ID or platform."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lamina.errors import NotFound, PlanError
from lamina.formats.image_names import canonical_name
from lamina.formats.platform import Platform
from lamina.images.readers.references import find_reference_error
from lamina.images.readers.source_image import SourceImage
from lamina.system.file_names import parse_file_name

PLATFORM_HINT = "choose one of these platforms with --platform, or use another image"
_MAX_LISTED = 10


def split_name(image_file: str | os.PathLike[str]) -> tuple[Path, str | None]:
    """Split ``FILE#NAME`` into the file and the name, which is None without ``#``.

    If a file exists under the whole text, ``#`` is part of its name. Raises `InputError` for a reference to an image
    that is not in a file (`find_reference_error`), and `InvalidArgument` for anything but a name.
    """
    text = parse_file_name("image", image_file, "the name of an image file or an OCI layout")
    name: str | None
    file, mark, name = text.rpartition("#")
    if not mark or os.path.exists(text):
        file, name = text, None
    if error := find_reference_error(file):
        raise error
    return Path(file), name


def select_by_name(images: Sequence[SourceImage], name: str, subject: object, hint: str) -> tuple[SourceImage, ...]:
    """Return the images that have ``name``, in any spelling, as a name, bare tag or image ID.

    If there is none, raises `NotFound`, which lists the existing images. ``subject`` and ``hint`` are for its message.
    """
    wanted = canonical_name(name)
    matches = tuple(
        image
        for image in images
        if name in (image.id, image.digest.hex, *image.tags) or wanted in map(canonical_name, image.repo_tags)
    )
    if not matches:
        got = f"no image {name}" if name else "an empty name"
        raise NotFound(subject, got, f"one of {list_names(images)}", hint=hint)
    return matches


def select_by_platform(
    images: Iterable[SourceImage], platform: Platform, subject: object, hint: str
) -> tuple[SourceImage, ...]:
    """Return the images for ``platform``. Of images that share their names, return only the best match.

    If there is none, raises `PlanError`, which lists the existing platforms. ``subject`` and ``hint`` are for its
    message.
    """
    offered = tuple(images)
    best: dict[object, tuple[tuple[int, ...], SourceImage]] = {}
    for image in offered:
        match_rank = image.effective_platform.match_rank(platform)
        key = (*map(canonical_name, image.repo_tags), *image.tags) or image.digest
        if match_rank is not None and (key not in best or match_rank < best[key][0]):
            best[key] = match_rank, image
    if not best:
        raise PlanError(subject, f"images for {list_platforms(offered)}", f"one for {platform}", hint=hint)
    return tuple(image for _, image in best.values())


def select_single(images: Sequence[SourceImage], subject: object, hint: str) -> SourceImage:
    """Return the only image. Raises `NotFound`, which lists the images, if there are several."""
    if len(images) != 1:
        raise NotFound(subject, f"{len(images)} images", f"one of {list_names(images)}", hint=hint)
    return images[0]


def list_platforms(images: Iterable[SourceImage]) -> str:
    """Return the platforms of ``images``, each once, separated by commas."""
    return _join_names(list(dict.fromkeys(image.platform or "no platform" for image in images)))


def list_names(images: Sequence[SourceImage]) -> str:
    """Return a name for each of ``images`` that selects it, separated by commas.

    An image without a name of its own is listed by its ID, followed by the name that it shares and its platform.
    """
    uses = Counter(name for image in images for name in {*image.repo_tags, *image.tags})
    return _join_names([_format_name(image, uses) for image in images])


def _format_name(image: SourceImage, uses: Mapping[str, int]) -> str:
    names = (*image.repo_tags, *image.tags)
    own = next((name for name in names if uses[name] == 1), "")
    details = ", ".join((*names[:1], image.platform or "no platform"))
    return own or f"{image.id} ({details})"


def _join_names(titles: Sequence[str]) -> str:
    more = f" and {len(titles) - _MAX_LISTED} more" if len(titles) > _MAX_LISTED else ""
    return ", ".join(titles[:_MAX_LISTED]) + more
