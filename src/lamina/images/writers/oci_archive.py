"""Write OCI archives: an OCI layout as one tar (OCI image-spec 1.1, "Image Layout").

A hybrid archive also has the ``manifest.json`` of a docker-archive, which names the same blobs. Programs that know only
one of the two formats find what they need.

A blob's name is its digest, which is known only when the blob has been written, so each layer goes to a temporary file
first. Blobs follow the order of the layers, and the documents that name them come last: engines accept any order.
"""

from __future__ import annotations

from lamina.compression.compressors import NO_LAYER_COMPRESSION, LayerCompression
from lamina.core.nodes import Extent
from lamina.core.progress import Progress
from lamina.formats.docker import MANIFEST, ManifestEntry, dump_docker_manifest
from lamina.formats.oci import INDEX, LAYOUT, LAYOUT_JSON, blob_path, update_index
from lamina.images.image import BuildResult, Draft
from lamina.images.image_documents import ImageDocuments, make_documents
from lamina.images.writers.archive_blobs import write_blobs
from lamina.images.writers.members import MemberWriter
from lamina.layers.context import BuildContext
from lamina.layers.layer import list_items
from lamina.system.fd_writer import Output
from lamina.system.progress_reporter import ProgressReporter
from lamina.system.transfer import BlobInfo


class OciArchive:
    """Writes drafts as OCI archives.

    Args:
        out: What the archive is written to, such as what `lamina.open_output` gives.
        progress: Receives the progress of the work.
        context: The layer cache and the number of processors; by default no layer cache and one processor.
        compression: How each layer is compressed; by default not at all.
        hybrid: Whether the archive also has a ``manifest.json``, for programs that read only docker-archives.
    """

    def __init__(
        self,
        out: Output,
        progress: Progress | None = None,
        context: BuildContext | None = None,
        compression: LayerCompression = NO_LAYER_COMPRESSION,
        *,
        hybrid: bool = False,
    ) -> None:
        self._out = out
        self._progress = ProgressReporter(progress)
        self._context = context or BuildContext()
        self._compression = compression
        self._hybrid = hybrid

    def write(self, draft: Draft) -> BuildResult:
        """Write one archive.

        Args:
            draft: the image.

        Returns:
            The image, with the digests of its layers, and what writing it took.

        Raises:
            IntegrityError: a file changed while it was read, or a layer differs from its entry in the layer cache.
            OutputError: there is no room for temporary files.

        Errors of the store and the output are passed on.

        """
        settings = draft.settings
        sources = draft.layers
        items = list_items(sources)
        self._progress.begin(draft.describe_work(items))
        members = MemberWriter(self._out, settings.mtime_seconds)
        members.write_file(LAYOUT, LAYOUT_JSON)

        def write(blob: BlobInfo, file: Extent) -> None:
            members.write_blob(blob_path(blob.digest), file)

        written = write_blobs(sources, items, self._context, self._compression, self._progress, write)
        self._progress.documents()
        documents = make_documents(settings, written, self._compression)
        blobs = tuple(item.blob for item in written)
        self._write_documents(members, documents, blobs)
        self._progress.done()
        return BuildResult(
            documents.config_digest,
            documents.reference,
            tuple(item.layer for item in written),
            settings.config.platform,
            blobs,
            len(blobs),
            members.size,
        )

    def _write_documents(self, members: MemberWriter, documents: ImageDocuments, layers: tuple[BlobInfo, ...]) -> None:
        config = blob_path(documents.config_digest)
        members.write_file(config, documents.config)
        members.write_file(blob_path(documents.descriptor.digest), documents.manifest)
        index = update_index(None, documents.descriptor, documents.reference, documents.platform)
        members.write_file(INDEX, index.document)
        if self._hybrid:
            names = tuple(blob_path(blob.digest) for blob in layers)
            entry = ManifestEntry(config, (str(documents.reference),), names)
            members.write_file(MANIFEST, dump_docker_manifest([entry]))
        members.close()
