"""Images for several platforms that are written together, with an index that lists them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from lamina.core.labels import shorten_digest
from lamina.core.names import Digest, ImageReference
from lamina.errors import Error, error_context
from lamina.formats.annotations import Annotations
from lamina.formats.media_types import OCI, MediaTypes
from lamina.formats.oci import Descriptor
from lamina.formats.oci_index import PlatformManifest, dump_index
from lamina.formats.platform import Platform
from lamina.images.image import BuildResult, Draft, name_by_digest
from lamina.images.image_documents import WrittenImage

_Written = TypeVar("_Written")


@dataclass(frozen=True, slots=True)
class PreparedIndex:
    """An image index that is ready to be stored.

    Attributes:
        document: the index as JSON.
        digest: its digest.
        annotations: its annotations.
        media_type: its media type.
        reference: its name.
    """

    document: bytes
    digest: Digest
    annotations: Annotations
    media_type: str
    reference: ImageReference

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of the index, with the same annotations."""
        return Descriptor(self.media_type, self.digest, len(self.document), self.annotations)


@dataclass(frozen=True, slots=True)
class IndexBuildResult:
    """Images for several platforms that were written, and the index that lists them.

    Attributes:
        images: the images in the order of the index. The name of each is that of the index.
        digest: the digest of the index.
        reference: the name of the index, and its tag.
        bytes_written: the size of the file in bytes; for an OCI layout, of the layers' blobs that were written.
        file: the file or folder; None if the images were written to a stream.
        seconds: how long it took to prepare and write all images.
        warnings: messages about the arguments, the stores and writing. Those about one image begin with its platform.

    """

    images: tuple[BuildResult, ...]
    digest: Digest
    reference: ImageReference
    bytes_written: int = field(compare=False)
    file: str | None = field(default=None, compare=False)
    seconds: float = field(default=0.0, compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        platforms = ", ".join(image.platform for image in self.images)
        return f"<IndexBuildResult {self.repo_tag} {shorten_digest(self.digest)}: {platforms}>"

    @property
    def repo_tag(self) -> str:
        """The name as ``NAME:TAG``."""
        return str(self.reference)


def make_index(drafts: Sequence[Draft], manifests: Sequence[Descriptor], types: MediaTypes = OCI) -> PreparedIndex:
    """Return the index of images that were written.

    Its name is that of the first image; without a tag, it gets the first digits of its own digest. Its annotations are
    those that all images have.

    Args:
        drafts: the images.
        manifests: the descriptors of their manifests, in the same order.
        types: the media types of the index.

    """
    platforms = (Platform.parse(draft.settings.config.architecture) for draft in drafts)
    annotations = _find_common([draft.settings.annotations for draft in drafts])
    listed = [
        PlatformManifest(replace(manifest, annotations=()), platform)
        for manifest, platform in zip(manifests, platforms, strict=True)
    ]
    document = dump_index(listed, annotations, types)
    digest = Digest(hashlib.sha256(document).digest())
    settings = drafts[0].settings
    return PreparedIndex(
        document, digest, annotations, types.index, name_by_digest(settings.repository, settings.tag, digest)
    )


def write_each(drafts: Iterable[Draft], write: Callable[[Draft], _Written]) -> Iterator[tuple[_Written, float]]:
    """Yield what ``write`` returns for each image, and how long that took in seconds.

    Errors of ``write`` get the platform of the image in front of their subject.
    """
    for draft in drafts:
        began = time.monotonic()
        with error_context(draft.settings.config.platform, Error):
            written = write(draft)
        yield written, time.monotonic() - began


def write_images(
    drafts: Sequence[Draft], write: Callable[[Draft], WrittenImage]
) -> tuple[list[WrittenImage], PreparedIndex]:
    """Write images to a layout or an archive with ``write``, and return them with the index that lists them."""
    images = [replace(one, result=replace(one.result, seconds=taken)) for one, taken in write_each(drafts, write)]
    return images, make_index(drafts, [image.documents.descriptor for image in images])


def _find_common(annotations: Sequence[Annotations]) -> Annotations:
    first, *others = annotations
    return tuple(pair for pair in first if all(pair in other for other in others))
