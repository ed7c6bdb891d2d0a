"""Write docker-archives: images as one tar stream, in one pass.

Nothing is read twice and no layer is held in memory. A layer's length is known before its first byte, but its digest
only after its last byte, so the documents that contain digests are written at the end.

Layers are the members ``1.tar``, ``2.tar``, … from the lowest up. Each image's config JSON, named by its digest, and
``manifest.json`` follow. Engines find the members through ``manifest.json`` and accept any names (Docker image
specification v1.2, "Combined Image JSON + Filesystem Changeset Format").
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from lamina.compression.compressors import NO_LAYER_COMPRESSION, LayerCompression
from lamina.core.nodes import Extent
from lamina.core.progress import Progress, ProgressItem
from lamina.formats.docker import HistoryItem, ManifestEntry, dump_docker_manifest
from lamina.formats.tar import Member, Owner, PaxHeaders, TypeFlag, padding, trailer_size
from lamina.images.image import BuildResult, Draft
from lamina.layers.context import BuildContext
from lamina.layers.layer import Layer, LayerSource, list_items
from lamina.layers.stream_writer import LayerStream, PendingLayer
from lamina.system.fd_writer import Output
from lamina.system.progress_reporter import ProgressReporter
from lamina.system.transfer import BlobInfo, copy


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
        """Write all layers compressed, and return their member names, the layers and their blobs.

        A compressed layer's length is unknown until it has been written, so each goes to a temporary file first.
        """
        from lamina.layers.blob_writer import BlobWriter
        from lamina.layers.temporary_blobs import TemporaryBlobStore

        names, layers, infos = [], [], []
        with (
            contextlib.closing(TemporaryBlobStore()) as blobs,
            BlobWriter(sources, self._context, self._compression, blobs, self._progress, items) as blob_writer,
        ):
            for written in blob_writer:
                names.append(archive.write_blob(blobs.extent(written.blob)))
                layers.append(written.layer)
                infos.append(written.blob)
                blobs.remove(written.blob)
        return names, tuple(layers), tuple(infos)


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
        self._out = out
        self._progress = progress
        self._headers = PaxHeaders(Owner(), mtime)
        self._size = 0
        self._layers = 0

    @property
    def size(self) -> int:
        """The number of bytes written so far."""
        return self._size

    def write_layer(self, layer: PendingLayer, item: ProgressItem) -> str:
        """Write the next layer and return its member name. Raises `IntegrityError`, and any error of the output."""
        progress = self._progress
        progress.start(item)
        name = self._write_member(layer.size, lambda: layer.write(self._out, partial(progress.advance, item)))
        progress.finish(item, layer.outcome, layer.size)
        return name

    def write_blob(self, blob: Extent) -> str:
        """Write the next layer, whose compressed bytes are in ``blob``, and return its member name."""
        return self._write_member(blob.length, lambda: copy((blob,), self._out))

    def _write_member(self, size: int, write: Callable[[], object]) -> str:
        self._layers += 1
        name = f"{self._layers}.tar"
        self._write_header(name, size)
        write()
        self._size += size
        self._write_padding(size)
        return name

    def close(self, images: Iterable[ArchivedImage]) -> None:
        """Write the documents of ``images`` and the tar's trailer, after all layers have been written."""
        entries = []
        for image in images:
            config = f"{hashlib.sha256(image.config_json).hexdigest()}.json"
            self._write_file(config, image.config_json)
            entries.append(ManifestEntry(config, image.repo_tags, image.layers))
        self._write_file("manifest.json", dump_docker_manifest(entries))
        self._write_bytes(memoryview(bytes(trailer_size(self._size))))

    def _write_file(self, name: str, data: bytes) -> None:
        self._write_header(name, len(data))
        self._write_bytes(memoryview(data))
        self._write_padding(len(data))

    def _write_header(self, name: str, size: int) -> None:
        self._write_bytes(memoryview(self._headers.make_header(Member(name.encode(), TypeFlag.FILE, 0o644, size))))

    def _write_padding(self, size: int) -> None:
        self._write_bytes(memoryview(padding(size)))

    def _write_bytes(self, data: memoryview) -> None:
        self._out.write(data)
        self._size += len(data)
