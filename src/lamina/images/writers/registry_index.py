"""Push images for several platforms to registries, and last the index that lists them, under its tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from lamina.core.labels import shorten_digest
from lamina.core.names import Digest
from lamina.formats.media_types import OCI, MediaTypes
from lamina.formats.oci import Descriptor
from lamina.images.image import Draft
from lamina.images.registry_destination import RegistryDestination
from lamina.images.writers.push_result import RegistryPushResult
from lamina.images.writers.registry import RegistryWriter
from lamina.images.writers.registry_manifests import publish_index
from lamina.images.written_index import make_index, write_each


@dataclass(frozen=True, slots=True)
class IndexPushResult:
    """Images for several platforms that were pushed, and the index that lists them.

    Attributes:
        images: the images in the order of the index. Their references name them by digest, without a tag.
        digest: the digest of the index.
        references: the names that the index was pushed to, each as ``HOST/NAME:TAG@sha256:HEX``.
        seconds: how long it took to prepare and push all images.
        warnings: messages about the arguments, the stores and the registries. Those about one image begin with its
            platform.

    """

    images: tuple[RegistryPushResult, ...]
    digest: Digest
    references: tuple[str, ...]
    seconds: float = field(default=0.0, compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        platforms = ", ".join(image.platform for image in self.images)
        return f"<IndexPushResult {self.repo_tags[0]} {shorten_digest(self.digest)}: {platforms}>"

    @property
    def repo_tags(self) -> tuple[str, ...]:
        """The names that it was pushed to, each as ``HOST/NAME:TAG``."""
        return tuple(reference.partition("@")[0] for reference in self.references)


def push_drafts(
    destination: RegistryDestination,
    drafts: Sequence[Draft],
    writers: Sequence[RegistryWriter],
    types: MediaTypes | None,
) -> IndexPushResult:
    """Push images for several platforms, and the index that lists them.

    Nothing has a tag until all images are in all repositories, so a tag never names an index with missing images.

    Args:
        destination: the repositories and their tags.
        drafts: the images, each for another platform, in the order of the index.
        writers: the writer of each image, which writes to ``destination`` without a tag.
        types: the media types of the index; None for OCI's.

    Returns:
        The images and the index, and what pushing them took.

    Raises:
        Error: what `RegistryWriter.write` raises. The error of an image names its platform.

    """
    kinds, remaining = types or OCI, iter(writers)
    written = write_each(drafts, lambda draft: next(remaining).write(draft))
    images = tuple(replace(image, seconds=taken) for image, taken in written)
    manifests = [Descriptor(kinds.manifest, image.manifest_digest, image.manifest_size) for image in images]
    index = make_index(drafts, manifests, kinds)
    references = publish_index(destination, index.document, index.media_type)
    return IndexPushResult(images, index.digest, references)
