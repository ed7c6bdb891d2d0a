"""Read the documents of earlier versions of an image, wherever they are kept. No layer is read.

They are in a file, in an OCI layout with several images, in a folder of image files, or in a registry under one tag or
under many.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lamina.core.natural_order import natural_key
from lamina.errors import FormatError, InputError, IntegrityError, PlanError
from lamina.formats.docker import MANIFEST
from lamina.formats.oci import INDEX
from lamina.formats.platform import Platform
from lamina.formats.registry_references import RegistryReference
from lamina.images.readers import select
from lamina.images.readers.open import open_named_images
from lamina.images.readers.references import has_tag_or_digest
from lamina.images.readers.source_image import InspectedImage, SourceImage

MAX_FILES = 100
"""The most files of a folder that are read."""
_ARCHIVE = re.compile(r".*\.(tar|tgz|tar\.(gz|zst|xz))")


@dataclass(frozen=True, slots=True)
class EarlierVersionReader:
    """Reads earlier versions.

    Attributes:
        platform: return only images for this platform; None for all.
        warn: is called with a message about each image that is left out.
        insecure: whether a registry on another machine may be used over plain HTTP.
        max_unpacked: the most bytes that a compressed file may unpack to; None for the default.
    """

    platform: Platform | None
    warn: Callable[[str], object]
    insecure: bool = False
    max_unpacked: int | None = None

    def read(self, image: str) -> tuple[InspectedImage, ...]:
        """Return the images that ``image`` names: one, all of a layout or a folder, or those of all tags.

        Files and tags are in their natural order. An image that a registry lacks is left out, because the first version
        has no earlier one.

        Raises:
            InputError: a file or folder does not exist, or cannot be read.
            FormatError: a file is not an image.
            IntegrityError: a document does not match its digest.
            RegistryError: a registry failed.
            AuthError: a registry refuses the credentials, or wants some.
        """
        source = select.parse_source(image)
        if isinstance(source, RegistryReference):
            return self._read_registry(source, reads_all_tags=not has_tag_or_digest(image))
        if source.name is None and _is_plain_folder(source.path):
            return self._read_folder(source.path)
        return self._read_file(source)

    def read_one(self, image: str) -> tuple[InspectedImage, ...]:
        """Return the image that ``image`` names, once for each of its platforms; none if a registry lacks it.

        A reference without a tag means the tag ``latest``. The errors are those of `read`, and `NotFound` if a file has
        several images with different names.
        """
        source = select.parse_source(image)
        if isinstance(source, RegistryReference):
            return self._read_registry(source, reads_all_tags=False)
        images = self._read_file(source)
        if len({(*each.repo_tags, *each.tags) for each in images}) > 1:
            select.select_single(images, source.path, source.name_hint)
        return images

    def _read_registry(self, reference: RegistryReference, *, reads_all_tags: bool) -> tuple[InspectedImage, ...]:
        # Imported where they are used, because most images have no history.
        from lamina.images.readers.registry_image import read_registry_images
        from lamina.images.readers.repository_tags import read_tagged_images
        from lamina.registry.manifests import find_manifest
        from lamina.registry.open import open_repository

        with open_repository(reference, insecure=self.insecure) as connection:
            if reads_all_tags:
                images = read_tagged_images(connection, reference, self.platform, self.warn)
                if not images:
                    self.warn(f"{reference.name}: no image in the repository, so nothing is learnt from it")
                return images
            if find_manifest(connection, reference.target) is None:
                self.warn(f"{reference}: no such image, so nothing is learnt from it")
                return ()
            try:
                return read_registry_images(connection, reference, self.platform, warn=self.warn)
            except PlanError as error:
                self.warn(f"{error}; it is left out")
                return ()

    def _read_folder(self, folder: Path) -> tuple[InspectedImage, ...]:
        try:
            files = sorted(filter(_is_image, folder.iterdir()), key=lambda file: natural_key(file.name))
        except OSError as error:
            raise InputError(folder, error, "a folder of image files") from error
        if not files:
            raise InputError(folder, f"a folder with neither {INDEX} nor image files", "an OCI layout, or image files")
        if len(files) > MAX_FILES:
            self.warn(f"{folder}: got {len(files)} image files, used the last {MAX_FILES} in their natural order")
        images: list[InspectedImage] = []
        for file in files[-MAX_FILES:]:
            try:
                images += self._read_file(select.ImageFile(file, None))
            except (FormatError, IntegrityError) as error:
                self.warn(f"{error}; it is left out")
        return tuple(images)

    def _read_file(self, source: select.ImageFile) -> tuple[SourceImage, ...]:
        images = open_named_images(source, self.max_unpacked, reads_layers=False)
        platform = self.platform
        return tuple(
            image for image in images if platform is None or image.effective_platform.match_rank(platform) is not None
        )


def _is_plain_folder(path: Path) -> bool:
    """Return whether ``path`` is a folder, but neither an OCI layout nor an unpacked archive nor skopeo's ``dir:``."""
    # os.path.isdir is also False for a name that no file can have.
    return os.path.isdir(path) and not any((path / name).exists() for name in (INDEX, MANIFEST, "version"))


def _is_image(path: Path) -> bool:
    return (path / INDEX).exists() if path.is_dir() else bool(_ARCHIVE.fullmatch(path.name))
