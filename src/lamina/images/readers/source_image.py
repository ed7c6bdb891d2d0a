"""The model of an image that exists.

Invariant: every byte of an image that was read from a file has been checked: its config, its blobs and the tars in them
match their digests. The one exception are images whose layers were left unread (`lamina.images.readers.blobs.Blobs`).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lamina.core.labels import shorten_digest, summarize_layer_paths
from lamina.core.names import Digest, ImageReference, StorePath
from lamina.core.nodes import Extent
from lamina.errors import InvalidArgument
from lamina.formats.annotations import read_annotations
from lamina.formats.image_names import DistinctNames, full_name
from lamina.formats.platform import NO_PLATFORM, Platform
from lamina.formats.referrers import Referrer
from lamina.images.readers.image_index import ImageIndex
from lamina.messages.sizes import format_size
from lamina.system.tempdir import TempDir


@dataclass(frozen=True, slots=True)
class InspectedLayer:
    """A layer of an image that exists.

    Attributes:
        name: the name of the layer's file in the image file; its digest in a registry.
        diff_id: the digest of the uncompressed tar.
        digest: the digest of the layer's blob, which may be compressed.
        size: the size of the blob in bytes.
        paths: the store paths of which the layer has files.
        path_sizes: the size in bytes of the files of each path, in the same order; empty if it is not known.
    """

    name: str
    diff_id: Digest
    digest: Digest
    size: int
    paths: tuple[StorePath, ...]
    path_sizes: tuple[int, ...]

    def __repr__(self) -> str:
        paths = summarize_layer_paths(self.paths, self.path_sizes)
        return f"<{type(self).__name__} {shorten_digest(self.digest)}: {paths}, {format_size(self.size)}>"


@dataclass(frozen=True, slots=True)
class InspectedImage:
    """An image that exists, in a file, a folder or a registry.

    Attributes:
        digest: the image ID.
        repo_tags: the names as NAME:TAG.
        config_json: the config as it is stored.
        config: the parsed config.
        layers: the layers, from the lowest up.
        tags: the names in an OCI layout that are not NAME:TAG: a bare tag, or any other text.
        index_platform: the platform that an index states for the image.
        indexes: the indexes that list the image; of nested ones, the outermost.
        attached: the documents that a registry lists for the image, if it was asked for them.
    """

    digest: Digest
    repo_tags: tuple[str, ...]
    config_json: bytes = field(repr=False)
    config: Mapping[str, Any] = field(repr=False, compare=False)
    layers: tuple[InspectedLayer, ...]
    tags: tuple[str, ...] = ()
    index_platform: Platform = NO_PLATFORM
    indexes: tuple[ImageIndex, ...] = ()
    attached: tuple[Referrer, ...] = ()

    def __repr__(self) -> str:
        names = " ".join((*self.repo_tags[:1], shorten_digest(self.digest)))
        return f"<{type(self).__name__} {names}: {self.platform}, {len(self.layers)} layers>"

    @property
    def id(self) -> str:
        """The image ID as engines print it."""
        return str(self.digest)

    @property
    def full_name(self) -> str:
        """Its first name, with its registry; empty if it has none that is valid."""
        for name in self.repo_tags:
            with contextlib.suppress(InvalidArgument):
                return full_name(ImageReference.parse(name))
        return ""

    @property
    def manifest_bytes(self) -> bytes:
        """The manifest as it is stored; empty for an image of a docker-archive."""
        return b""

    @property
    def manifest_digest(self) -> Digest | None:
        """The digest of the manifest; None for an image of a docker-archive."""
        return Digest(hashlib.sha256(self.manifest_bytes).digest()) if self.manifest_bytes else None

    @property
    def annotations(self) -> Mapping[str, str]:
        """The annotations of the manifest."""
        return read_annotations(self.manifest_bytes)

    @property
    def effective_platform(self) -> Platform:
        """The platform from the config, completed from the index where the config does not state it."""
        declared, indexed = Platform.from_document(self.config), self.index_platform
        if not declared.architecture:
            return Platform(declared.os or indexed.os, indexed.architecture, indexed.variant)
        is_same = declared.architecture == indexed.architecture
        return Platform(
            declared.os or indexed.os, declared.architecture, declared.variant or (indexed.variant if is_same else "")
        )

    @property
    def architecture(self) -> str:
        """The processor architecture by Go's name (GOARCH), or an empty string if the image does not state it."""
        return self.effective_platform.architecture

    @property
    def platform(self) -> str:
        """The platform as OS/ARCHITECTURE, with /VARIANT if the image states one."""
        variant, platform = self.config.get("variant"), self.effective_platform
        if isinstance(variant, str) and not platform.variant:  # for example v8 of arm64, which `Platform` leaves out
            return "/".join(filter(None, (str(platform), variant)))
        return str(platform)


@dataclass(frozen=True, slots=True, repr=False)
class SourceLayer(InspectedLayer):
    """A layer of an image that was read from an image file, whose bytes have been checked if it was read.

    Attributes:
        blob: where the layer's file is.
        tar: where the uncompressed tar is, for as long as ``workspace`` is referenced.
        workspace: the temporary folder that holds the tar; None if it is elsewhere.
        is_read: whether the bytes were read. Otherwise the digests are those that the documents and the file's name
            state, and ``tar`` is ``blob``.
    """

    blob: Extent
    tar: Extent
    workspace: TempDir | None = field(default=None, compare=False)
    is_read: bool = field(default=True, compare=False)


@dataclass(frozen=True, slots=True, repr=False)
class SourceImage(InspectedImage):
    """An image that was read from an image file.

    Attributes:
        layers: the layers, from the lowest up.
        manifest_json: the manifest in an OCI layout; empty for an image of a docker-archive.
    """

    layers: tuple[SourceLayer, ...]
    manifest_json: bytes = field(default=b"", kw_only=True, repr=False, compare=False)

    @property
    def manifest_bytes(self) -> bytes:
        """The manifest as it is stored; empty for an image of a docker-archive."""
        return self.manifest_json


def deduplicate(images: Iterable[SourceImage]) -> tuple[SourceImage, ...]:
    """Return each of ``images`` once, in the order of first appearance, with all its names.

    All names are collected before an image is created, so that the time is linear in the number of names even if many
    images have the same digest. If an index states several platforms, the last one counts.
    """
    first_by_digest: dict[Digest, SourceImage] = {}
    repo_tags: dict[Digest, DistinctNames] = {}
    tags: dict[Digest, dict[str, None]] = {}
    index_platform: dict[Digest, Platform] = {}
    manifests: dict[Digest, bytes] = {}
    indexes: dict[Digest, dict[ImageIndex, None]] = {}
    for image in images:
        key = image.digest
        first_by_digest.setdefault(key, image)
        repo_tags.setdefault(key, DistinctNames()).add(image.repo_tags)
        tags.setdefault(key, {}).update(dict.fromkeys(image.tags))
        manifests[key] = manifests.get(key) or image.manifest_json
        indexes.setdefault(key, {}).update(dict.fromkeys(image.indexes))
        if key not in index_platform or image.index_platform != NO_PLATFORM:
            index_platform[key] = image.index_platform
    return tuple(
        replace(
            image,
            repo_tags=tuple(repo_tags[key]),
            tags=tuple(tags[key]),
            index_platform=index_platform[key],
            manifest_json=manifests[key],
            indexes=tuple(indexes[key]),
        )
        for key, image in first_by_digest.items()
    )
