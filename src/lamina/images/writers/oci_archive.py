"""Write OCI archives: an OCI layout as one tar (OCI image-spec 1.1, "Image Layout").

A hybrid archive also has the ``manifest.json`` of a docker-archive, which names the same blobs. Programs that know only
one of the two formats find what they need.

A blob's name is its digest, which is known only when the blob has been written, so each layer goes to a temporary file
first. Blobs follow the order of the layers, and the documents that name them come last: engines accept any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lamina.compression.compressors import NO_LAYER_COMPRESSION, LayerCompression
from lamina.core.nodes import Extent
from lamina.core.progress import Progress
from lamina.formats.docker import MANIFEST, ManifestEntry, dump_docker_manifest
from lamina.formats.oci import INDEX, LAYOUT, LAYOUT_JSON, blob_path, update_index
from lamina.formats.platform import NO_PLATFORM
from lamina.images.image import BuildResult, Draft
from lamina.images.image_documents import WrittenImage, make_documents
from lamina.images.writers.archive_blobs import write_blobs
from lamina.images.writers.members import MemberWriter
from lamina.images.written_index import IndexBuildResult, write_images
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
        members = self._begin(draft)
        image = self._write_image(draft, members)
        documents = image.documents
        index = update_index(None, documents.descriptor, documents.reference, documents.platform)
        members.write_file(INDEX, index.document)
        if self._hybrid:
            members.write_file(MANIFEST, _dump_docker_manifest(image))
        members.close()
        self._progress.done()
        return replace(image.result, bytes_written=members.size)

    def write_index(self, drafts: Sequence[Draft]) -> IndexBuildResult:
        """Write one archive of images for several platforms, and the index that lists them.

        Args:
            drafts: the images, each for another platform, in the order of the index.

        Returns:
            The images and the index, and what writing them took.

        Raises:
            Error: what `write` raises. The error of an image names its platform.

        """
        members = self._begin(drafts[0])
        images, index = write_images(drafts, lambda draft: self._write_image(draft, members, names_platform=True))
        members.write_file(blob_path(index.digest), index.document)
        members.write_file(INDEX, update_index(None, index.descriptor, index.reference, NO_PLATFORM).document)
        members.close()
        self._progress.done()
        named = tuple(replace(image.result, reference=index.reference) for image in images)
        return IndexBuildResult(named, index.digest, index.reference, members.size)

    def _begin(self, draft: Draft) -> _BlobMembers:
        members = _BlobMembers(self._out, draft.settings.mtime_seconds)
        members.write_file(LAYOUT, LAYOUT_JSON)
        return members

    def _write_image(self, draft: Draft, members: _BlobMembers, *, names_platform: bool = False) -> WrittenImage:
        """Write the blobs of an image that the archive lacks, its config and its manifest."""
        sources = draft.layers
        items = list_items(sources)
        self._progress.begin(draft.describe_work(items, names_platform=names_platform))
        known, start = frozenset(members.layers), members.size
        written = write_blobs(sources, items, self._context, self._compression, self._progress, members.write_layer)
        self._progress.documents()
        documents = make_documents(draft.settings, written, self._compression)
        members.write_file(blob_path(documents.config_digest), documents.config)
        members.write_file(blob_path(documents.descriptor.digest), documents.manifest)
        blobs = tuple(item.blob for item in written)
        return WrittenImage(
            documents,
            BuildResult(
                documents.config_digest,
                documents.reference,
                tuple(item.layer for item in written),
                draft.settings.config.platform,
                blobs,
                sum(blob not in known for blob in blobs),
                members.size - start,
                manifest_digest=documents.descriptor.digest,
            ),
        )


class _BlobMembers(MemberWriter):
    """Writes members, and each blob of a layer once, although images for several platforms may share it."""

    def __init__(self, out: Output, mtime: int) -> None:
        super().__init__(out, mtime)
        self.layers: set[BlobInfo] = set()
        """The blobs of layers that were written."""

    def write_layer(self, blob: BlobInfo, file: Extent) -> None:
        """Write the blob of a layer, unless it has been written before."""
        if blob not in self.layers:
            self.layers.add(blob)
            self.write_blob(blob_path(blob.digest), file)


def _dump_docker_manifest(image: WrittenImage) -> bytes:
    names = tuple(blob_path(blob.digest) for blob in image.result.blobs)
    config = blob_path(image.documents.config_digest)
    return dump_docker_manifest([ManifestEntry(config, (image.result.repo_tag,), names)])
