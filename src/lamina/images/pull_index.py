"""Write an image of a registry to an OCI layout for all its platforms, with its index and all that the index lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lamina.core.labels import shorten_digest
from lamina.core.names import Digest, ImageReference
from lamina.core.progress import Progress
from lamina.formats.platform import NO_PLATFORM
from lamina.formats.registry_references import RegistryReference
from lamina.images.blob_cache import BlobCache
from lamina.images.fetch import fetch_layers
from lamina.images.readers.index_checks import check_index
from lamina.images.readers.index_contents import read_contents
from lamina.images.readers.registry_image import RegistryImage, name_image
from lamina.images.writers.layout_blobs import explain_renamed, open_layout
from lamina.images.writers.layout_copies import copy_documents
from lamina.registry.connection import RegistryConnection


@dataclass(frozen=True, slots=True)
class IndexPullResult:
    """The result of fetching an image from a registry for all its platforms.

    Attributes:
        images: the images as the registry has them, in the order of the index.
        digest: the digest of the index; that of the manifest, of an image without an index.
        reference: the reference with that digest.
        name: the name in the layout.
        blobs_fetched: the number of layers that came from the registry; the others were here already.
        bytes_fetched: the sum in bytes of their sizes.
        file: the folder.
        seconds: how long it took.
        warnings: messages about names that changed in the layout.

    """

    images: tuple[RegistryImage, ...]
    digest: Digest
    reference: RegistryReference
    name: ImageReference
    blobs_fetched: int = field(compare=False)
    bytes_fetched: int = field(compare=False)
    file: str = field(default="", compare=False)
    seconds: float = field(default=0.0, compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        platforms = ", ".join(image.platform for image in self.images)
        return f"<IndexPullResult {self.name} {shorten_digest(self.digest)}: {platforms}>"


def pull_index_into_layout(
    connection: RegistryConnection,
    images: Sequence[RegistryImage],
    folder: Path,
    cache: BlobCache | None = None,
    progress: Progress | None = None,
) -> IndexPullResult:
    """Add an image for all its platforms to an OCI layout, which is created if it does not exist.

    The index keeps its bytes, and so its digest. Attestations and other manifests that it lists are copied too. All
    entries of the same name are replaced.

    Args:
        connection: the repository of the images.
        images: the images of the index, or the only image of a reference without one.
        folder: the layout.
        cache: the place where layers are looked for first.
        progress: receives the progress of each image.

    Raises:
        IntegrityError: a blob does not match its digest, or an image has another platform than the index states.
        FormatError: the index lists something that the registry lacks.
        Error: those of `fetch_layers` and of opening the layout.

    """
    first = images[0]
    index = next(iter(first.indexes), None)
    check_index(images, first.reference)
    known = {image.manifest.descriptor.digest for image in images}
    others = read_contents(index, first.reference, known) if index else ()
    named = index.descriptor if index else first.manifest.descriptor
    name = name_image(first.reference, named.digest if index else first.digest)
    with open_layout(folder, verify=False) as blobs:
        fetched = [fetch_layers(connection, image, blobs, cache, progress) for image in images]
        copy_documents(others, blobs, str(first.reference), progress)
        if index:
            blobs.add(index.document)
        tagged = blobs.tag(name, named, NO_PLATFORM if index else first.effective_platform)
    return IndexPullResult(
        tuple(images),
        named.digest,
        first.reference.with_digest(named.digest),
        name,
        sum(one.count for one in fetched),
        sum(one.size for one in fetched),
        str(folder),
        warnings=explain_renamed(folder, name, tagged),
    )
