"""Images whose blobs are made when a client asks for them.

Making an image makes its documents, for which the digest of each layer must be known. A layer that the layer cache
knows is not made for that. All other layers are made, and kept for the clients that will ask for them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lamina.compression.compressors import LayerCompression
from lamina.core.callbacks import ignore
from lamina.core.names import Digest
from lamina.core.progress import REUSED, Progress, ProgressItem
from lamina.formats.oci import Descriptor
from lamina.images.image import Draft, Image
from lamina.images.image_documents import ImageDocuments, make_documents
from lamina.images.written_index import make_index
from lamina.layer_cache.key import LayerInputs
from lamina.layers.blob_writer import BlobWriter, OnStored, WrittenBlob
from lamina.layers.context import BuildContext, LayerBlobs
from lamina.layers.worker_tasks import write_blob_file
from lamina.server.blob_files import BlobFiles
from lamina.server.http_messages import BytesContent, Content, Piece
from lamina.server.repositories import Manifest
from lamina.system.transfer import BlobInfo, OnBytes


@dataclass(frozen=True, slots=True)
class MakingSettings:
    """How layers are made.

    Attributes:
        compression: how they are compressed.
        files: the blobs that were made lately.
        jobs: the number of processors for one layer.
        forget: is called with the key of a layer about which the layer cache is wrong.
    """

    compression: LayerCompression
    files: BlobFiles
    jobs: int = 1
    forget: Callable[[LayerInputs], object] = ignore


@dataclass(frozen=True, slots=True)
class LayerContent:
    """The blob of a layer, which is made from its store paths when it is read and is not here.

    Attributes:
        written: the layer, its blob and its source.
        settings: how it is made.
        keep: what must stay open as long as the layer may be made.
        blobs: the compressed layers that were kept before; None for none.
    """

    written: WrittenBlob
    settings: MakingSettings
    keep: object
    blobs: LayerBlobs | None = None

    @property
    def size(self) -> int:
        """The number of bytes of the blob."""
        return self.written.blob.size

    def read(self, start: int, end: int) -> Iterator[Piece]:
        """Yield the bytes from ``start`` up to ``end``. Raises what `BlobFiles.read` raises."""
        return self.settings.files.read(self.written.blob, self._make, start, end)

    def _make(self, part: Path, on_bytes: OnBytes) -> BlobInfo:
        """Copy the blob if it was kept, and pack the layer otherwise."""
        if self.blobs and self.blobs.take(self.written.blob, part):
            return self.written.blob
        blob = self._pack(part, on_bytes)
        if blob == self.written.blob:
            if self.blobs:
                self.blobs.add(blob, part)
        elif key := self.written.source.key:
            self.settings.forget(key)
        return blob

    def _pack(self, part: Path, on_bytes: OnBytes) -> BlobInfo:
        source = self.written.source
        source.prefetch()
        located = source.locate_paths()
        listed = located.list_files() if located else None
        packed = (listed or source).pack()
        _, blob = write_blob_file(packed, os.fsencode(part), self.settings.compression, self.settings.jobs, on_bytes)
        return blob


@dataclass(frozen=True, slots=True)
class MadeImage:
    """An image whose documents were made.

    Attributes:
        image: the image, with the digests of its layers.
        blobs: digest and size in bytes of the blob of each layer, from the lowest up.
        names: short names of these layers for people.
    """

    image: Image
    blobs: tuple[BlobInfo, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServedImage:
    """An image, or the images for several platforms, with all that clients ask for.

    Attributes:
        manifest: the manifest that a tag names; an index for several platforms.
        images: the images, in the order of their index.
        manifests: this manifest and those that it lists, by digest.
        blobs: the configs and the layers, by digest.
    """

    manifest: Manifest
    images: tuple[MadeImage, ...]
    manifests: Mapping[Digest, Manifest]
    blobs: Mapping[Digest, Content] = field(repr=False)


class _KnownBlobs:
    """The `BlobStore` in which the layers of an image are written whose digests are not known yet.

    A blob whose digest is known counts as present: it is made when a client asks for it.
    """

    def __init__(self, files: BlobFiles) -> None:
        self._files = files

    def find(self, blobs: Collection[BlobInfo]) -> Mapping[BlobInfo, str]:
        """Return all of ``blobs``."""
        return dict.fromkeys(blobs, REUSED)

    def create(self) -> Path:
        """Create an empty file. Raises `OutputError`."""
        return self._files.create()

    def commit(self, part: Path, blob: BlobInfo, made: str, item: ProgressItem, on_stored: OnStored) -> None:
        """Keep ``part`` among the blobs that were made lately."""
        self._files.add(blob, part)
        on_stored(made)


def make_image(
    drafts: Sequence[Draft],
    context: BuildContext,
    settings: MakingSettings,
    keep: object,
    progress: Progress | None = None,
    items: Sequence[ProgressItem] = (),
    *,
    is_index: bool = False,
) -> ServedImage:
    """Make the documents of an image, and the layers whose digests are not known.

    Args:
        drafts: the image; or those for several platforms, in the order of their index.
        context: the caches and the number of processors.
        settings: how layers are compressed, and where they are kept.
        keep: what the drafts read from, which must not be closed before.
        progress: is told about ``items`` as layers are made.
        items: an item for each layer of the only image.
        is_index: whether there is an index, even of one image.

    Raises:
        IntegrityError: a file changed while it was read.
        OutputError: there is no room for a layer.

    Errors of the store are passed on.

    """
    compression = settings.compression
    manifests: list[Descriptor] = []
    images: list[MadeImage] = []
    found: dict[Digest, Manifest] = {}
    blobs: dict[Digest, Content] = {}
    for draft in drafts:
        with BlobWriter(draft.layers, context, compression, _KnownBlobs(settings.files), progress, items) as writer:
            written = list(writer)
        documents = make_documents(draft.settings, written, compression)
        kept = context.find_blobs(compression)
        blobs |= {item.blob.digest: LayerContent(item, settings, keep, kept) for item in written}
        blobs[documents.config_digest] = BytesContent(documents.config)
        found[documents.descriptor.digest] = _get_manifest(documents)
        manifests.append(documents.descriptor)
        image = Image(documents.config_digest, documents.reference, tuple(item.layer for item in written))
        images.append(
            MadeImage(image, tuple(item.blob for item in written), tuple(item.source.name for item in written))
        )
    top = found[manifests[0].digest]
    if is_index or len(drafts) > 1:
        index = make_index(drafts, manifests)
        top = found[index.digest] = Manifest(index.media_type, index.document, index.digest)
    return ServedImage(top, tuple(images), found, blobs)


def _get_manifest(documents: ImageDocuments) -> Manifest:
    return Manifest(documents.descriptor.media_type, documents.manifest, documents.descriptor.digest)
