"""The docker-archive: images as one tar stream, written in one pass.

Invariant: nothing is read twice and nothing is held; a layer's length is known before its first byte, its digest
when its last is written, so the documents that name digests come at the end.

Layers are members ``1.tar``, ``2.tar``, … from the lowest up; then each image's JSON, named by its digest, and
``manifest.json``. Engines go by ``manifest.json`` and take any member names (Docker image specification v1.2,
"Combined Image JSON + Filesystem Changeset Format").
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lamina.compression.compressors import NO_LAYER_COMPRESSION, LayerCompression
from lamina.core.nodes import Extent
from lamina.formats.docker import HistoryItem, ManifestEntry, dump_docker_manifest
from lamina.formats.tar import Member, Owner, PaxHeaders, TypeFlag, padding, trailer_size
from lamina.images.image import Draft, Image
from lamina.images.progress import NoProgress, Progress
from lamina.layers.context import BuildContext
from lamina.layers.layer import Layer, LayerSource
from lamina.layers.stream_writer import LayerStream, PendingLayer
from lamina.system.transfer import Write, copy


class DockerArchive:
    """Writes drafts as docker-archives to ``write``, which must take every byte it is given or raise."""

    def __init__(
        self,
        write: Write,
        progress: Progress | None = None,
        context: BuildContext | None = None,
        compression: LayerCompression = NO_LAYER_COMPRESSION,
    ) -> None:
        self._write = write
        self._progress = progress or NoProgress()
        self._context = context or BuildContext()
        self._compression = compression

    def write(self, draft: Draft) -> Image:
        """Writes one archive and says what the image is. Raises what the store raises, `IntegrityError` and
        whatever the output raises.
        """
        settings = draft.settings
        sources = draft.layers
        self._progress.begin(len(sources), len(draft.base))
        archive = ArchiveWriter(self._write, settings.mtime_seconds, self._progress)
        if self._compression.is_none:
            with LayerStream(sources, self._context) as packing:
                names = [archive.layer(outgoing) for outgoing in packing]
                layers = packing.layers()
        else:
            names, layers = self._write_compressed(sources, archive)
        self._progress.manifests()
        history = [HistoryItem(layer.diff_id, source.comment) for layer, source in zip(layers, sources, strict=True)]
        document, digest, reference = settings.dump_config(history)
        archive.close([ArchivedImage(document, (str(reference),), tuple(names))])
        image = Image(digest, reference, layers)
        self._progress.done(image)
        return image

    def _write_compressed(
        self, sources: Sequence[LayerSource], archive: ArchiveWriter
    ) -> tuple[list[str], tuple[Layer, ...]]:
        """Layers whose length is known only when they are compressed: each waits in a temporary file for its turn."""
        from lamina.layers.blob_writer import BlobWriter
        from lamina.layers.temporary_blobs import TemporaryBlobStore

        names, layers = [], []
        with (
            contextlib.closing(TemporaryBlobStore()) as blobs,
            BlobWriter(sources, self._context, self._compression, blobs) as filing,
        ):
            for written in filing:
                names.append(archive.blob(written.source, blobs.extent(written.blob)))
                layers.append(written.layer)
                blobs.remove(written.blob)
        return names, tuple(layers)


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """An image whose layers are in the archive: its JSON, its names, and those of its layers from the lowest up."""

    config_json: bytes
    repo_tags: tuple[str, ...]
    layers: tuple[str, ...]


class ArchiveWriter:
    """A docker-archive of any number of images in the making; its members have the date ``mtime``."""

    def __init__(self, write: Write, mtime: int, progress: Progress) -> None:
        self._write = write
        self._progress = progress
        self._headers = PaxHeaders(Owner(), mtime)
        self._size = 0
        self._layers = 0

    def layer(self, layer: PendingLayer) -> str:
        """Writes the next layer; the name it got. Raises `IntegrityError`, and whatever the output raises."""
        return self._member(layer.source, layer.size, lambda: layer.write(self._write, self._progress.advance))

    def blob(self, source: LayerSource, blob: Extent) -> str:
        """Writes the next layer, which lies compressed in ``blob``; as `layer`."""
        return self._member(source, blob.length, lambda: copy((blob,), self._write, self._progress.advance))

    def _member(self, source: LayerSource, size: int, write: Callable[[], object]) -> str:
        self._layers += 1
        name = f"{self._layers}.tar"
        self._progress.layer(self._layers, source, size)
        self._begin(name, size)
        write()
        self._size += size
        self._end(size)
        return name

    def close(self, images: Iterable[ArchivedImage]) -> None:
        """Writes the documents of ``images``, whose layers were all written, and the end."""
        entries = []
        for image in images:
            config = f"{hashlib.sha256(image.config_json).hexdigest()}.json"
            self._add(config, image.config_json)
            entries.append(ManifestEntry(config, image.repo_tags, image.layers))
        self._add("manifest.json", dump_docker_manifest(entries))
        self._put(memoryview(bytes(trailer_size(self._size))))

    def _add(self, name: str, data: bytes) -> None:
        self._begin(name, len(data))
        self._put(memoryview(data))
        self._end(len(data))

    def _begin(self, name: str, size: int) -> None:
        self._put(memoryview(self._headers.header(Member(name.encode(), TypeFlag.FILE, 0o644, size))))

    def _end(self, size: int) -> None:
        self._put(memoryview(padding(size)))

    def _put(self, data: memoryview) -> None:
        self._write(data)
        self._size += len(data)
