"""Select images from a file by name, image ID or platform."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lamina.errors import InvalidArgument, NotFound, PlanError
from lamina.formats.image_names import canonical_name
from lamina.formats.platform import Platform
from lamina.formats.registry_references import RegistryReference
from lamina.images.readers.references import find_layout, find_reference, find_reference_error, make_pull_error
from lamina.images.readers.source_image import InspectedImage
from lamina.system.file_names import parse_file_name

PLATFORM_HINT = "choose one of these platforms with --platform, or use another image"
_MAX_LISTED = 10
_Image = TypeVar("_Image", bound=InspectedImage)


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image in a file or folder.

    Attributes:
        path: the file or folder.
        name: the name of one of several images in it, or None.
    """

    path: Path
    name: str | None

    @property
    def name_hint(self) -> str:
        """The hint that says how to name one of several images in it."""
        return f"name one as {self.path}#NAME:TAG"


def parse_source(image: str | os.PathLike[str]) -> ImageFile | RegistryReference:
    """Parse ``FILE``, ``FILE#NAME``, ``oci:DIR[:NAME]`` or a reference to an image in a registry.

    If a file exists under the whole text, it is the file: neither ``#`` nor ``:`` has a meaning then.

    Raises:
        InputError: the text names an image that is in neither a file nor a registry (`find_reference_error`).
        InvalidArgument: it is a reference with a mistake, or no text.

    """
    text = parse_file_name("image", image, "the name of an image file or an OCI layout, or a reference")
    if reference := find_reference(text):
        return reference
    name: str | None
    file, mark, name = text.rpartition("#")
    if not mark or os.path.exists(text):
        file, name = text, None
    if layout := find_layout(file):
        return ImageFile(Path(layout[0]), layout[1] or name)
    if name is not None and (reference := find_reference(file)):
        raise InvalidArgument(text, f"a reference with #{name}", "one without", hint=f"write {reference}")
    if error := find_reference_error(file):
        raise error
    return ImageFile(Path(file), name)


def split_name(image_file: str | os.PathLike[str]) -> tuple[Path, str | None]:
    """Split ``FILE#NAME`` into the file and the name, which is None without ``#``.

    Raises what `parse_source` raises, and `InputError` for a reference to an image in a registry.
    """
    source = parse_source(image_file)
    if isinstance(source, RegistryReference):
        raise make_pull_error(source)
    return source.path, source.name


def select_by_name(images: Sequence[_Image], name: str, subject: object, hint: str) -> tuple[_Image, ...]:
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


def select_by_platform(images: Iterable[_Image], platform: Platform, subject: object, hint: str) -> tuple[_Image, ...]:
    """Return the images for ``platform``. Of images that share their names, return only the best match.

    If there is none, raises `PlanError`, which lists the existing platforms. ``subject`` and ``hint`` are for its
    message.
    """
    offered = tuple(images)
    best: dict[object, tuple[tuple[int, ...], _Image]] = {}
    for image in offered:
        match_rank = image.effective_platform.match_rank(platform)
        key = (*map(canonical_name, image.repo_tags), *image.tags) or image.digest
        if match_rank is not None and (key not in best or match_rank < best[key][0]):
            best[key] = match_rank, image
    if not best:
        raise PlanError(subject, f"images for {list_platforms(offered)}", f"one for {platform}", hint=hint)
    return tuple(image for _, image in best.values())


def select_single(images: Sequence[_Image], subject: object, hint: str) -> _Image:
    """Return the only image. Raises `NotFound`, which lists the images, if there are several.

    ``hint`` is for its message; if the images have the same names, it says that a platform chooses one.
    """
    if len(images) != 1:
        if len({(*map(canonical_name, image.repo_tags), *image.tags) for image in images}) == 1:
            hint = PLATFORM_HINT
        raise NotFound(subject, f"{len(images)} images", f"one of {list_names(images)}", hint=hint)
    return images[0]


def list_platforms(images: Iterable[InspectedImage]) -> str:
    """Return the platforms of ``images``, each once, separated by commas."""
    return _join_names(list(dict.fromkeys(image.platform or "no platform" for image in images)))


def list_names(images: Sequence[InspectedImage]) -> str:
    """Return a name for each of ``images`` that selects it, separated by commas.

    An image without a name of its own is listed by its ID, followed by the name that it shares and its platform.
    """
    uses = Counter(name for image in images for name in {*image.repo_tags, *image.tags})
    return _join_names([_format_name(image, uses) for image in images])


def _format_name(image: InspectedImage, uses: Mapping[str, int]) -> str:
    names = (*image.repo_tags, *image.tags)
    own = next((name for name in names if uses[name] == 1), "")
    details = ", ".join((*names[:1], image.platform or "no platform"))
    return own or f"{image.id} ({details})"


def _join_names(titles: Sequence[str]) -> str:
    more = f" and {len(titles) - _MAX_LISTED} more" if len(titles) > _MAX_LISTED else ""
    return ", ".join(titles[:_MAX_LISTED]) + more
