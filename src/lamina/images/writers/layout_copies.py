"""Copy images that exist into an OCI layout, for one platform or with an index for several.

Blobs and documents are copied as they are where a layout can have them: compressed layers, and the manifests of images
all of whose layers are kept. Their digests then stay the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from lamina.compression.compressors import LayerCompression
from lamina.core.labels import shorten_digest
from lamina.core.names import Digest
from lamina.core.progress import COPIED, FileSubject, Progress, ProgressItem, Work
from lamina.errors import IntegrityError, output_error
from lamina.formats.annotations import sort_annotations
from lamina.formats.media_types import OCI
from lamina.formats.oci import Descriptor, dump_manifest, read_media_type
from lamina.images.layer_descriptors import describe_layer
from lamina.images.readers.index_contents import ListedDocument
from lamina.images.readers.source_image import SourceImage
from lamina.images.source_layers import make_layer_sources
from lamina.images.writers.layout_blobs import LayoutBlobs
from lamina.layers.blob_writer import BlobWriter
from lamina.layers.context import BuildContext
from lamina.layers.layer import StoredBlob, list_items
from lamina.system.progress_reporter import ProgressReporter
from lamina.system.transfer import BlobInfo


@dataclass(frozen=True, slots=True)
class CopiedImage:
    """An image that was copied into a layout.

    Attributes:
        manifest: the descriptor of its manifest.
        layers: the descriptors of its layers, from the lowest up.
    """

    manifest: Descriptor
    layers: tuple[Descriptor, ...]


def copy_image(
    image: SourceImage,
    blobs: LayoutBlobs,
    compression: LayerCompression,
    context: BuildContext,
    progress: Progress | None = None,
) -> CopiedImage:
    """Add the blobs, the config and the manifest of an image to a layout, without a name.

    Args:
        image: the image.
        blobs: the blobs of the layout.
        compression: how each layer is compressed that is stored uncompressed.
        context: the layer cache and the number of processors.
        progress: receives the progress.

    Returns:
        The image as it is in the layout. Its manifest is that of the image unless a layer had to be compressed.

    Raises:
        IntegrityError: a layer does not match its digest, or a file changed while it was read.
        OutputError: the layout cannot be written.

    """
    reported = ProgressReporter(progress)
    sources, is_kept = make_layer_sources(image, compression)
    items = list_items(sources)
    reported.begin(Work(next(iter((*image.repo_tags, *image.tags)), shorten_digest(image.digest)), items))
    described: dict[int, Descriptor] = {}
    to_pack = []
    for item, source in zip(items, sources, strict=True):
        if source.stored_blob:
            _copy_blob(source.stored_blob, blobs, item, reported)
            described[item.number] = source.stored_blob.descriptor
        else:
            to_pack.append((item, source))
    packed = tuple(source for _, source in to_pack)
    with BlobWriter(packed, context, compression, blobs, reported, [item for item, _ in to_pack]) as blob_writer:
        for (item, _), written in zip(to_pack, blob_writer, strict=True):
            described[item.number] = describe_layer(written, compression)
    reported.documents()
    config = Descriptor(OCI.config, blobs.add(image.config_json), len(image.config_json))
    manifest = image.manifest_json
    layers = tuple(described[item.number] for item in items)
    if not is_kept:
        manifest = dump_manifest(config, layers, sort_annotations(image.annotations))
    descriptor = Descriptor(read_media_type(manifest), blobs.add(manifest), len(manifest))
    reported.done()
    return CopiedImage(descriptor, layers)


def copy_documents(
    documents: Sequence[ListedDocument], blobs: LayoutBlobs, title: str, progress: Progress | None = None
) -> None:
    """Add manifests and indexes to a layout as they are, each after the blobs that it needs.

    Args:
        documents: the documents, in order.
        blobs: the blobs of the layout.
        title: the name of the image that they belong to, for the progress.
        progress: receives the progress, in which each blob is an item.

    Raises:
        IntegrityError: a blob does not match its digest.
        OutputError: the layout cannot be written.

    Errors of the place that the blobs come from are passed on.

    """
    if not documents:
        return
    items = make_items(documents)
    reported = ProgressReporter(progress)
    reported.begin(Work(title, tuple(items.values()), "file"))
    for document in documents:
        for blob in document.blobs:
            if item := items.pop(blob.descriptor.digest, None):
                _copy_blob(blob, blobs, item, reported)
        blobs.add(document.document)
    reported.documents()
    reported.done()


def make_items(documents: Iterable[ListedDocument]) -> dict[Digest, ProgressItem]:
    """Return an item of progress for each distinct blob of ``documents``, by its digest."""
    stored = {blob.descriptor.digest: blob.descriptor for document in documents for blob in document.blobs}
    return {
        digest: ProgressItem(number, descriptor.size, FileSubject(shorten_digest(digest)))
        for number, (digest, descriptor) in enumerate(stored.items(), 1)
    }


def _copy_blob(stored: StoredBlob, blobs: LayoutBlobs, item: ProgressItem, progress: ProgressReporter) -> None:
    """Copy a blob into the layout, unless it is there."""
    blob = BlobInfo(stored.descriptor.digest, stored.descriptor.size)
    outcome = blobs.find([blob]).get(blob)
    if outcome:
        progress.finish(item, outcome, stored.plain.size)
        return
    part, hasher = blobs.create(), hashlib.sha256()
    progress.start(item)
    try:
        with part.open("wb") as file:
            for piece in stored.open(0):
                file.write(piece)
                hasher.update(piece)
                progress.advance(item, len(piece))
    except OSError as error:
        raise output_error(part, error) from error
    if hasher.digest() != blob.digest.raw:
        raise IntegrityError(f"blob {blob.digest}", f"the digest {Digest(hasher.digest())}", "the digest in its name")
    blobs.commit(part, blob, COPIED, item, partial(progress.finish, item, size=stored.plain.size))
