"""Write OCI layouts (OCI image-spec 1.1, "Image Layout"): folders in which blobs are files named by their digests.

The index is replaced only after everything that it refers to has been written. A reader therefore sees the old image or
the new one, even if the run was interrupted. Existing blobs are neither written again nor removed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from lamina.compression.compressors import NO_LAYER_COMPRESSION, LayerCompression
from lamina.core.callbacks import ignore
from lamina.core.names import ImageReference
from lamina.core.progress import Progress
from lamina.formats.oci import UpdatedIndex
from lamina.images.blob_totals import add_up_update
from lamina.images.image import BuildResult, Draft
from lamina.images.image_documents import WrittenImage, make_documents
from lamina.images.writers.layout_blobs import LayoutBlobs, explain_renamed, open_layout
from lamina.images.written_index import IndexBuildResult, write_images
from lamina.layers.blob_writer import BlobWriter
from lamina.layers.context import BuildContext
from lamina.layers.layer import list_items
from lamina.system.progress_reporter import ProgressReporter
from lamina.system.transfer import BlobInfo


class OciLayout:
    """Writes drafts into an OCI layout.

    Args:
        folder: The layout, which is created if it does not exist.
        compression: How each layer is compressed; by default not at all.
        progress: Receives the progress of the work.
        context: The layer cache and the number of processors; by default no layer cache and one processor.
        warn: Is called with the text of each warning.
    """

    def __init__(
        self,
        folder: Path,
        compression: LayerCompression = NO_LAYER_COMPRESSION,
        progress: Progress | None = None,
        context: BuildContext | None = None,
        warn: Callable[[str], object] = ignore,
    ) -> None:
        self._folder = folder
        self._compression = compression
        self._progress = ProgressReporter(progress)
        self._context = context or BuildContext()
        self._warn = warn

    def write(self, draft: Draft) -> BuildResult:
        """Add one image to the layout.

        Args:
            draft: the image.

        Returns:
            The image, with the digests of its layers, and what writing it took.

        Raises:
            InvalidArgument: ``folder`` exists and is not an OCI layout.
            FormatError: the layout's index is invalid.
            IntegrityError: a file changed while it was read, or a layer differs from its entry in the layer cache.
            OutputError: the layout cannot be written.

        Errors of the store are passed on.

        """
        with open_layout(self._folder, verify=self._context.verify) as blobs:
            image = self._write_image(draft, blobs)
            manifest = image.documents.descriptor
            tagged = blobs.tag(image.documents.reference, manifest, image.documents.platform)
            stored = image.result.blobs
            replaced = stored if tagged.replaced == manifest.digest else blobs.list_layers(tagged.replaced)
        self._finish(image.documents.reference, tagged)
        return _describe(image, replaced)

    def write_index(self, drafts: Sequence[Draft]) -> IndexBuildResult:
        """Add images for several platforms to the layout, and then the index that lists them.

        Args:
            drafts: the images, each for another platform, in the order of the index.

        Returns:
            The images and the index, and what writing them took.

        Raises:
            Error: what `write` raises. The error of an image names its platform.

        """
        with open_layout(self._folder, verify=self._context.verify) as blobs:
            images, index = write_images(drafts, lambda draft: self._write_image(draft, blobs, names_platform=True))
            tagged = blobs.tag_index(index.reference, index.document, index.annotations)
            replaced = blobs.list_platform_layers(tagged.replaced)
        self._finish(index.reference, tagged)
        results = (_describe(image, replaced.get(image.documents.platform)) for image in images)
        named = tuple(replace(result, reference=index.reference) for result in results)
        return IndexBuildResult(named, index.digest, index.reference, sum(image.bytes_written for image in named))

    def _write_image(self, draft: Draft, blobs: LayoutBlobs, *, names_platform: bool = False) -> WrittenImage:
        """Write the blobs of an image, its config and its manifest."""
        before = len(blobs.new)
        sources = draft.layers
        items = list_items(sources)
        self._progress.begin(draft.describe_work(items, names_platform=names_platform))
        with BlobWriter(sources, self._context, self._compression, blobs, self._progress, items) as blob_writer:
            written = list(blob_writer)
        self._progress.documents()
        documents = make_documents(draft.settings, written, self._compression)
        blobs.add(documents.config)
        blobs.add(documents.manifest)
        new = blobs.new[before:]
        return WrittenImage(
            documents,
            BuildResult(
                documents.config_digest,
                documents.reference,
                tuple(item.layer for item in written),
                draft.settings.config.platform,
                tuple(item.blob for item in written),
                len(new),
                sum(blob.size for blob in new),
                manifest_digest=documents.descriptor.digest,
            ),
        )

    def _finish(self, reference: ImageReference, tagged: UpdatedIndex) -> None:
        for warning in explain_renamed(self._folder, reference, tagged):
            self._warn(warning)
        self._progress.done()


def _describe(image: WrittenImage, replaced: tuple[BlobInfo, ...] | None) -> BuildResult:
    """Return the result of writing an image in place of one with the layers ``replaced``, if there was one."""
    update = None if replaced is None else add_up_update(replaced, image.result.blobs)
    return replace(image.result, update=update)
