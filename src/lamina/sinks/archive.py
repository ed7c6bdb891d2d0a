"""The docker-archive: an image as one tar stream, written in one pass.

Invariant: nothing is read twice and nothing is held; a layer's length is known before its first byte, its digest
when its last is written, so the documents that name digests come at the end.

Layers are members ``1.tar``, ``2.tar``, … from the lowest up; then the image's JSON, named by its digest, and
``manifest.json``. Engines go by ``manifest.json`` and take any member names (Docker image specification v1.2,
"Combined Image JSON + Filesystem Changeset Format").
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from lamina.engine import Write, transfer
from lamina.errors import IntegrityError
from lamina.formats.docker import HistoryItem, image_json, manifest_json
from lamina.formats.tar import Kind, Member, Owner, PaxHeaders, padding, trailer_size
from lamina.image import Draft, Image, Progress, Silence
from lamina.layer import Layer, LayerSource
from lamina.names import Digest, Reference

TAG_LENGTH = 32


class DockerArchive:
    """Writes drafts as docker-archives to ``write``, which must take every byte it is given or raise."""

    def __init__(self, write: Write, progress: Progress | None = None) -> None:
        self._write = write
        self._progress = progress or Silence()

    def write(self, draft: Draft) -> Image:
        """Writes one archive and says what the image is. Raises what the store raises, `IntegrityError` and
        whatever the output raises.
        """
        settings = draft.settings
        archive = _Archive(self._write, int(settings.mtime.timestamp()))
        sources = draft.layers
        self._progress.begin(len(sources), len(draft.base))
        layers = tuple(self._layer(archive, number, source) for number, source in enumerate(sources, 1))
        self._progress.manifests()
        history = [HistoryItem(layer.diff_id, source.comment) for layer, source in zip(layers, sources, strict=True)]
        document = image_json(settings.config, history)
        digest = Digest(hashlib.sha256(document).digest())
        reference = Reference(settings.repository, settings.tag or digest.hex[:TAG_LENGTH])
        names = [_layer_name(number) for number in range(1, len(layers) + 1)]
        archive.add(f"{digest.hex}.json", document)
        archive.add("manifest.json", manifest_json(f"{digest.hex}.json", reference, names))
        archive.close()
        image = Image(digest, reference, layers)
        self._progress.done(image)
        return image

    def _layer(self, archive: _Archive, number: int, source: LayerSource) -> Layer:
        packed = source.pack()
        self._progress.layer(number, source, packed.size)
        with_progress = _both(archive.write, self._progress.advance)
        archive.begin(_layer_name(number), packed.size)
        measure = transfer(packed.pieces, with_progress)
        if measure.size != packed.size:
            raise IntegrityError(f"layer {number}: got {measure.size} bytes, expected {packed.size}")
        if source.promised not in (None, measure.digest):
            raise IntegrityError(f"layer {number}: got {measure.digest}, expected {source.promised}")
        archive.end(packed.size)
        return Layer(measure.digest, measure.size, source.paths)


class _Archive:
    """The outer tar."""

    def __init__(self, write: Write, mtime: int) -> None:
        self._write = write
        self._headers = PaxHeaders(Owner(), mtime)
        self._size = 0

    def write(self, data: memoryview) -> None:
        self._write(data)
        self._size += len(data)

    def begin(self, name: str, size: int) -> None:
        self.write(memoryview(self._headers.header(Member(name.encode(), Kind.FILE, 0o644, size))))

    def end(self, size: int) -> None:
        self.write(memoryview(padding(size)))

    def add(self, name: str, data: bytes) -> None:
        self.begin(name, len(data))
        self.write(memoryview(data))
        self.end(len(data))

    def close(self) -> None:
        self.write(memoryview(bytes(trailer_size(self._size))))


def _layer_name(number: int) -> str:
    return f"{number}.tar"


def _both(write: Write, advance: Callable[[int], None]) -> Write:
    def step(data: memoryview) -> None:
        write(data)
        advance(len(data))

    return step
