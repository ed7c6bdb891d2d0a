"""The image model: a `Draft` describes an image before it is written, and an `Image` one that was written.

Invariant: a `Draft` can be written any number of times, and every time it gives the same `Image`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from lamina.core.labels import shorten_digest
from lamina.core.names import Digest, ImageReference, StorePath, StoreSubpath
from lamina.core.progress import ProgressItem, Work
from lamina.formats.annotations import Annotations
from lamina.formats.docker import DEFAULT_DATE, HistoryItem, ImageConfig, dump_image_config
from lamina.formats.tar import Owner
from lamina.images.blob_totals import UpdateTotals
from lamina.layering.plans import LayerPlan
from lamina.layers.layer import Layer, LayerSource, StoredBlob, StoreLayer
from lamina.messages.sizes import format_size
from lamina.stores.store import Store
from lamina.system.transfer import BlobInfo

if TYPE_CHECKING:  # the readers of images are only imported if there is a base image
    from lamina.images.readers.source_image import InspectedImage

_TAG_LENGTH = 32
DEFAULT_OWNER = Owner(0, 0, "root", "root")


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """Everything about an image except its layers.

    Attributes:
        repository: the image's name without the tag.
        tag: the tag; None for the first 32 hex digits of the image ID.
        config: the architecture, the date and the container config.
        owner: the owner of every file in the layers that lamina makes of store paths.
        mtime: the modification time of these files.
        annotations: those of the manifest, which a docker-archive does not have.
    """

    repository: str
    tag: str | None
    config: ImageConfig
    owner: Owner = DEFAULT_OWNER
    mtime: datetime = DEFAULT_DATE
    annotations: Annotations = ()

    @property
    def mtime_seconds(self) -> int:
        """The ``mtime`` as a tar header stores it, in whole seconds since 1970."""
        return int(self.mtime.timestamp())

    def dump_config(self, history: Sequence[HistoryItem]) -> tuple[bytes, Digest, ImageReference]:
        """Return the image's config JSON, its digest and the image's name.

        Args:
            history: one item for each layer, from the lowest up.

        """
        document = dump_image_config(self.config, history)
        digest = Digest(hashlib.sha256(document).digest())
        return document, digest, name_by_digest(self.repository, self.tag, digest)


def name_by_digest(repository: str, tag: str | None, digest: Digest) -> ImageReference:
    """Return the name of an image; without a tag, it gets the first hex digits of ``digest``, that of its config."""
    return ImageReference(repository, tag or digest.hex[:_TAG_LENGTH])


@dataclass(frozen=True, slots=True)
class ImageInputs:
    """The inputs of an image, after names were resolved.

    Attributes:
        contents: the store paths that are linked at the image's root, in the order in which they were named.
        closure: the store paths that were named to be added without a link.
        base_image: the base image; None if there is none.
    """

    contents: tuple[StoreSubpath, ...] = ()
    closure: tuple[StorePath, ...] = ()
    base_image: InspectedImage | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """An image that can be written, but whose digests are not known yet.

    Attributes:
        plans: the layers of store paths, from the lowest up.
        store: the store that the paths are read from.
        root: the customisation layer, which is the last.
        settings: everything else about the image.
        base: the layers of the base image, from the lowest up.
        inputs: what the image is made of.
        blobs: for each plan, the blob that a registry has of its layer, or None; empty if no registry has one.
    """

    plans: tuple[LayerPlan, ...]
    store: Store
    root: LayerSource
    settings: ImageSettings
    base: tuple[LayerSource, ...] = ()
    inputs: ImageInputs = ImageInputs()
    blobs: tuple[StoredBlob | None, ...] = field(default=(), repr=False)

    def __repr__(self) -> str:
        return f"<Draft {self.settings.repository}: {len(self.base) + len(self.plans) + 1} layers>"

    def close(self) -> None:
        """Remove the temporary files of the layers. The draft cannot be written afterwards."""
        for source in (*self.base, self.root):
            source.close()

    @property
    def layers(self) -> tuple[LayerSource, ...]:
        """The layers from the lowest up: the base image's, those of store paths, then the customisation layer."""
        owner, mtime = self.settings.owner, self.settings.mtime_seconds
        store = self.store
        blobs = self.blobs or (None,) * len(self.plans)
        layers = (
            StoreLayer(plan, store.nodes, owner, mtime, store.location, store.is_local, blob)
            for plan, blob in zip(self.plans, blobs, strict=True)
        )
        return (*self.base, *layers, self.root)

    def describe_work(self, items: tuple[ProgressItem, ...], *, names_platform: bool = False) -> Work:
        """Return the work of writing the image, whose layers are ``items``.

        With ``names_platform``, the title has the platform too, for an image that is one of several.
        """
        settings = self.settings
        title = f"{settings.repository}:{settings.tag}" if settings.tag else settings.repository
        if names_platform:
            title = f"{title} {settings.config.platform}"
        return Work(title, items, headline="" if self.base else "No 'fromImage' provided")


@dataclass(frozen=True, slots=True)
class Image:
    """An image that was written.

    Attributes:
        digest: the digest of its config JSON, which is the image ID.
        reference: its name and tag.
        layers: its layers, from the lowest up.
    """

    digest: Digest
    reference: ImageReference
    layers: tuple[Layer, ...]

    def __repr__(self) -> str:
        layers = f"{len(self.layers)} layers, {format_size(self.size)}"
        return f"<Image {self.repo_tag} {shorten_digest(self.digest)}: {layers}>"

    @property
    def size(self) -> int:
        """The size of all layers in bytes, uncompressed."""
        return sum(layer.size for layer in self.layers)

    @property
    def id(self) -> str:
        """The image ID as ``docker load`` prints it."""
        return str(self.digest)

    @property
    def repo_tag(self) -> str:
        """The name as ``NAME:TAG``."""
        return str(self.reference)


@dataclass(frozen=True, slots=True, repr=False)
class BuildResult(Image):
    """An image that was written, and what writing it took.

    Attributes:
        platform: such as ``linux/amd64``.
        blobs: digest and size in bytes of each layer as it was stored, which may be compressed; in the order of the
            layers.
        blobs_written: the number of layers whose blobs were written; the others were in the OCI layout already.
        bytes_written: the size of the file in bytes; for an OCI layout, of the layers' blobs that were written.
        file: the file or folder; None if the image was written to a stream.
        seconds: how long it took to prepare and write the image.
        update: what an update from the image that had the same name and platform in the OCI layout before moves; None
            if there was none.
        warnings: messages about the arguments, the stores and writing, as in `Stream.warnings`.
        manifest_digest: the digest of its OCI manifest; None in a docker-archive without one.

    """

    platform: str
    blobs: tuple[BlobInfo, ...]
    blobs_written: int = field(compare=False)
    bytes_written: int = field(compare=False)
    file: str | None = field(default=None, compare=False)
    seconds: float = field(default=0.0, compare=False)
    update: UpdateTotals | None = field(default=None, compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)
    manifest_digest: Digest | None = field(default=None, compare=False)

    @property
    def blobs_reused(self) -> int:
        """The number of layers whose blobs were in the OCI layout already."""
        return len(self.blobs) - self.blobs_written


class ImageWriter(Protocol):
    """Writes images in one format to one destination."""

    def write(self, draft: Draft) -> BuildResult:
        """Write an image.

        Args:
            draft: the image.

        Returns:
            The image, with the digests of its layers, and what writing it took.

        """
