"""Images that were made elsewhere, as they are read.

Invariant: every byte of an image was checked: config, blobs and the tars in them are what their digests say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lamina.core.names import Digest, StorePath
from lamina.core.nodes import Extent
from lamina.formats.image_names import DistinctNames
from lamina.formats.platform import Platform

NO_PLATFORM = Platform("", "")


@dataclass(frozen=True, slots=True)
class SourceLayer:
    """A layer: the name that its image calls it by, the digest and length of the blob that lies there, maybe
    compressed, and the tar in it, which lies uncompressed at ``tar`` for as long as ``keep_alive`` is there.

    ``paths`` are the store paths that the tar has members of.
    """

    name: str
    diff_id: Digest
    digest: Digest
    size: int
    blob: Extent
    tar: Extent
    paths: tuple[StorePath, ...]
    keep_alive: object = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class SourceImage:
    """An image: its ID, its names, its config as bytes and as what they say, its layers from the lowest up.

    ``tags`` are the names that are no NAME:TAG, as a layout may have them: a bare tag, or any other text.
    ``index_platform`` is the platform by which an index offers the image.
    """

    digest: Digest
    repo_tags: tuple[str, ...]
    config_json: bytes = field(repr=False)
    config: Mapping[str, Any] = field(repr=False, compare=False)
    layers: tuple[SourceLayer, ...]
    tags: tuple[str, ...] = ()
    index_platform: Platform = NO_PLATFORM

    @property
    def id(self) -> str:
        """The image ID as engines print it."""
        return str(self.digest)

    @property
    def effective_platform(self) -> Platform:
        """The platform that the config says, and where it says nothing, the index."""
        said, index_platform = Platform.from_document(self.config), self.index_platform
        if not said.architecture:
            return Platform(said.os or index_platform.os, index_platform.architecture, index_platform.variant)
        same = said.architecture == index_platform.architecture
        return Platform(
            said.os or index_platform.os, said.architecture, said.variant or (index_platform.variant if same else "")
        )

    @property
    def architecture(self) -> str:
        """The processor it is for, in Go's words; empty where nothing says it."""
        return self.effective_platform.architecture

    @property
    def platform(self) -> str:
        """OS/ARCHITECTURE, and /VARIANT where one is said."""
        said, found = self.config.get("variant"), self.effective_platform
        if isinstance(said, str) and not found.variant:  # such as arm64's v8, which goes without saying
            return "/".join(filter(None, (str(found), said)))
        return str(found)


def deduplicate(images: Iterable[SourceImage]) -> tuple[SourceImage, ...]:
    """Return each of ``images`` once, in the order in which they come first, with all its names.

    The names of an image are collected before the image is made, so that many images of one digest, each with many
    names, take time that grows with the number of names. The platform is the last that an index offers.
    """
    found: dict[Digest, SourceImage] = {}
    repo_tags: dict[Digest, DistinctNames] = {}
    tags: dict[Digest, dict[str, None]] = {}
    index_platform: dict[Digest, Platform] = {}
    for image in images:
        key = image.digest
        found.setdefault(key, image)
        repo_tags.setdefault(key, DistinctNames()).add(image.repo_tags)
        tags.setdefault(key, {}).update(dict.fromkeys(image.tags))
        if key not in index_platform or image.index_platform != NO_PLATFORM:
            index_platform[key] = image.index_platform
    return tuple(
        replace(image, repo_tags=tuple(repo_tags[key]), tags=tuple(tags[key]), index_platform=index_platform[key])
        for key, image in found.items()
    )
