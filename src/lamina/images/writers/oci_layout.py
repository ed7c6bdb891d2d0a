"""Write OCI layouts (OCI image-spec 1.1, "Image Layout"): folders in which blobs are files named by their digests.

The index is replaced only after everything that it refers to has been written. A reader therefore sees the old image or
the new one, even if the run was interrupted. Existing blobs are neither written again nor removed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lamina.compression.compressors import NO_LAYER_COMPRESSION, LayerCompression
from lamina.core.callbacks import ignore
from lamina.core.progress import Progress
from lamina.images.blob_totals import add_up_update
from lamina.images.image import BuildResult, Draft
from lamina.images.image_documents import make_documents
from lamina.images.writers.layout_blobs import explain_renamed, open_layout
from lamina.layers.blob_writer import BlobWriter
from lamina.layers.context import BuildContext
from lamina.layers.layer import list_items
from lamina.system.progress_reporter import ProgressReporter


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
        settings = draft.settings
        with open_layout(self._folder, verify=self._context.verify) as blobs:
            sources = draft.layers
            items = list_items(sources)
            self._progress.begin(draft.describe_work(items))
            with BlobWriter(sources, self._context, self._compression, blobs, self._progress, items) as blob_writer:
                written = list(blob_writer)
            self._progress.documents()
            documents = make_documents(settings, written, self._compression)
            reference, manifest = documents.reference, documents.descriptor
            blobs.add(documents.config)
            blobs.add(documents.manifest)
            tagged = blobs.tag(reference, manifest, documents.platform)
            stored = tuple(item.blob for item in written)
            replaced = stored if tagged.replaced == manifest.digest else blobs.list_layers(tagged.replaced)
        for warning in explain_renamed(self._folder, reference, tagged):
            self._warn(warning)
        self._progress.done()
        return BuildResult(
            documents.config_digest,
            reference,
            tuple(item.layer for item in written),
            settings.config.platform,
            stored,
            len(blobs.new),
            sum(blob.size for blob in blobs.new),
            update=None if replaced is None else add_up_update(replaced, stored),
        )
