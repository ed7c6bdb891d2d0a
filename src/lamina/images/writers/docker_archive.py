"""Write docker-archives: images as one tar stream, in one pass.

Nothing is read twice and no layer is held in memory. A layer's length is known before its first byte, but its digest
only after its last byte, so the documents that contain digests are written at the end.

Layers are the members ``1.tar``, ``2.tar``, … from the lowest up. Each image's config JSON, named by its digest, and
``manifest.json`` follow. Engines find the members through ``manifest.json`` and accept any names (Docker image
specification v1.2, "Combined Image JSON + Filesystem Changeset Format").
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from lamina.compression.compressors import NO_LAYER_COMPRESSION, LayerCompression
from lamina.core.nodes import Extent
from lamina.core.progress import Progress, ProgressItem
from lamina.formats.docker import MANIFEST, HistoryItem, ManifestEntry, dump_docker_manifest
from lamina.images.image import BuildResult, Draft
from lamina.images.writers.members import MemberWriter
from lamina.layers.context import BuildContext
from lamina.layers.layer import Layer, LayerSource, list_items
from lamina.layers.stream_writer import LayerStream, PendingLayer
from lamina.system.fd_writer import Output
from lamina.system.progress_reporter import ProgressReporter
from lamina.system.transfer import BlobInfo


class DockerArchive:
    """Writes drafts as docker-archives.

    Args:
        out: What the archive is written to, such as what `lamina.open_output` gives.
        progress: Receives the progress of the work.
        context: The layer cache and the number of processors; by default no layer cache and one processor.
        compression: How each layer is compressed; by default not at all.
    """

    def __init__(
        self,
        out: Output,
        progress: Progress | None = None,
        context: BuildContext | None = None,
        compression: LayerCompression = NO_LAYER_COMPRESSION,
    ) -> None:
        self._out = out
        self._progress = ProgressReporter(progress)
        self._context = context or BuildContext()
        self._compression = compression

    def write(self, draft: Draft) -> BuildResult:
        """Write one archive.

        Args:
            draft: the image.

        Returns:
            The image, with the digests of its layers, and what writing it took.

        Raises:
            IntegrityError: a file changed while it was read, or a layer differs from its entry in the layer cache.

        Errors of the store and the output are passed on.

        """
        settings = draft.settings
        sources = draft.layers
        items = list_items(sources)
        self._progress.begin(draft.describe_work(items))
        archive = ArchiveWriter(self._out, settings.mtime_seconds, self._progress)
        if self._compression.is_none:
            with LayerStream(sources, self._context) as stream:
                names = [archive.write_layer(*pair) for pair in zip(stream, items, strict=True)]
                layers = stream.layers()
                blobs = tuple(BlobInfo(layer.diff_id, layer.size) for layer in layers)
        else:
            names, layers, blobs = self._write_compressed(sources, items, archive)
        self._progress.documents()
        history = [HistoryItem(layer.diff_id, source.comment) for layer, source in zip(layers, sources, strict=True)]
        document, digest, reference = settings.dump_config(history)
        archive.close([ArchivedImage(document, (str(reference),), tuple(names))])
        self._progress.done()
        platform = settings.config.platform
        return BuildResult(digest, reference, layers, platform, blobs, len(blobs), archive.size)

    def _write_compressed(
        self, sources: Sequence[LayerSource], items: Sequence[ProgressItem], archive: ArchiveWriter
    ) -> tuple[list[str], tuple[Layer, ...], tuple[BlobInfo, ...]]:
        """Write all layers compressed, and return their member names, the layers and their blobs."""
        from lamina.images.writers.archive_blobs import write_blobs

        names: dict[BlobInfo, str] = {}

        def write(blob: BlobInfo, file: Extent) -> None:
            names[blob] = archive.write_blob(file)

        written = write_blobs(sources, items, self._context, self._compression, self._progress, write)
        infos = tuple(item.blob for item in written)
        return [names[blob] for blob in infos], tuple(item.layer for item in written), infos


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """An image whose layers are already in the archive.

    ``layers`` are the member names of its layers, from the lowest up.
    """

    config_json: bytes
    repo_tags: tuple[str, ...]
    layers: tuple[str, ...]


class ArchiveWriter:
    """Writes the members of one docker-archive, which may contain several images.

    ``mtime`` is the date of the members, in seconds since 1970.
    """

    def __init__(self, out: Output, mtime: int, progress: Progress) -> None:
        self._members = MemberWriter(out, mtime)
        self._progress = progress
        self._layers = 0

    @property
    def size(self) -> int:
        """The number of bytes written so far."""
        return self._members.size

    def write_layer(self, layer: PendingLayer, item: ProgressItem) -> str:
        """Write the next layer and return its member name. Raises `IntegrityError`, and any error of the output."""
        progress, name = self._progress, self._name_layer()
        progress.start(item)
        self._members.write_member(name, layer.size, lambda out: layer.write(out, partial(progress.advance, item)))
        progress.finish(item, layer.outcome, layer.size)
        return name

    def write_blob(self, blob: Extent) -> str:
        """Write the next layer, whose compressed bytes are in ``blob``, and return its member name."""
        name = self._name_layer()
        self._members.write_blob(name, blob)
        return name

    def _name_layer(self) -> str:
        self._layers += 1
        return f"{self._layers}.tar"

    def close(self, images: Iterable[ArchivedImage]) -> None:
        """Write the documents of ``images`` and the tar's trailer, after all layers have been written."""
        entries = []
        for image in images:
            config = f"{hashlib.sha256(image.config_json).hexdigest()}.json"
            self._members.write_file(config, image.config_json)
            entries.append(ManifestEntry(config, image.repo_tags, image.layers))
        self._members.write_file(MANIFEST, dump_docker_manifest(entries))
        self._members.close()
