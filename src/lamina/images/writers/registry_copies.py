"""Push images that exist, for one platform or with an index for several (OCI distribution-spec 1.1, "Push").

The blobs and the manifests of all images are in all repositories before a tag moves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from lamina.core.progress import Progress, Work
from lamina.errors import Error, error_context
from lamina.formats.media_types import OCI, MediaTypes
from lamina.formats.oci import Descriptor, read_media_type
from lamina.images.merge_index import FoundImage, PlatformImages
from lamina.images.readers.index_contents import ListedDocument
from lamina.images.readers.source_image import InspectedImage
from lamina.images.registry_destination import RegistryDestination
from lamina.images.writers.layout_copies import make_items
from lamina.images.writers.push_progress import PushProgress
from lamina.images.writers.push_result import RegistryPushResult
from lamina.images.writers.registry import RegistryWriter
from lamina.images.writers.registry_blobs import RegistryBlobs
from lamina.images.writers.registry_index import IndexPushResult
from lamina.images.writers.registry_manifests import UNKNOWN_BLOB_HINT, publish_index, put_under_digest
from lamina.registry.manifests import UnknownBlobError
from lamina.system.progress_reporter import ProgressReporter

MakeWriter = Callable[[InspectedImage, bool], RegistryWriter]
"""Returns the writer of an image; the second argument says whether the tags name the image."""


def push_platforms(
    images: PlatformImages,
    destination: RegistryDestination,
    make_writer: MakeWriter,
    types: MediaTypes | None = None,
    progress: Progress | None = None,
) -> RegistryPushResult | IndexPushResult:
    """Push images for several platforms and then their index, or a single image without one.

    Args:
        images: the images. An index that is kept is pushed with all that it lists.
        destination: the repositories and their tags.
        make_writer: makes the writer of each image.
        types: the media types that manifests get if they change; None for OCI's.
        progress: receives the progress of each image.

    Returns:
        The image; or the images and the index.

    Raises:
        InvalidArgument: two images are for the same platform.
        Error: what `RegistryWriter.write` raises. The error of one of several images names its platform.

    """
    if not images.has_index:
        (found,) = images.images
        result = found.image.push(make_writer(found.described, True))
        return replace(result, warnings=(*result.warnings, *images.list_warnings()))
    pushed: list[RegistryPushResult] = []
    for found in images.images:
        with error_context(str(found.platform) or "no platform", Error):
            pushed.append(found.image.push(make_writer(found.described, False)))
    _push_documents(images.others, destination, progress)
    pairs = zip(images.images, pushed, strict=True)
    document, index = images.dump_index([_describe(found, result, types or OCI) for found, result in pairs])
    references = publish_index(destination, document, index.media_type)
    return IndexPushResult(tuple(pushed), index.digest, references, warnings=images.list_warnings())


def _describe(found: FoundImage, pushed: RegistryPushResult, types: MediaTypes) -> Descriptor:
    """Return the descriptor of a manifest that was pushed."""
    is_kept = pushed.manifest_digest == found.described.manifest_digest
    media_type = read_media_type(found.described.manifest_bytes) if is_kept else types.manifest
    return Descriptor(media_type, pushed.manifest_digest, pushed.manifest_size)


def _push_documents(
    documents: Sequence[ListedDocument], destination: RegistryDestination, progress: Progress | None
) -> None:
    """Push manifests and indexes as they are, each after the blobs that it needs, without a tag."""
    if not documents:
        return
    items = make_items(documents)
    reported = ProgressReporter(progress)
    push_progress = PushProgress(reported)
    push_progress.begin(Work(str(destination.references[0]), tuple(items.values()), "file"))
    stored = {blob.descriptor.digest: blob for document in documents for blob in document.blobs}
    with RegistryBlobs(destination, push_progress) as blobs:
        blobs.add_owners(stored.values())
        for digest, item in items.items():
            blobs.send(stored[digest], item)
        blobs.finish()
    reported.documents()
    for document in documents:
        try:
            put_under_digest(destination, document.document, document.descriptor.media_type)
        except UnknownBlobError as error:
            raise error.error.add_hint(UNKNOWN_BLOB_HINT) from None
    reported.done()
