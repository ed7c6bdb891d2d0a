"""Write layers as blobs to temporary files, for archives whose headers need digests or compressed lengths."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from lamina.compression.compressors import LayerCompression
from lamina.core.nodes import Extent
from lamina.core.progress import Progress, ProgressItem
from lamina.layers.blob_writer import BlobWriter, WrittenBlob
from lamina.layers.context import BuildContext
from lamina.layers.layer import LayerSource
from lamina.layers.temporary_blobs import TemporaryBlobStore, explain_temporary_files
from lamina.system.transfer import BlobInfo


def write_blobs(
    sources: Sequence[LayerSource],
    items: Sequence[ProgressItem],
    context: BuildContext,
    compression: LayerCompression,
    progress: Progress,
    write: Callable[[BlobInfo, Extent], object],
) -> tuple[WrittenBlob, ...]:
    """Write layers to temporary files, call ``write`` with each distinct blob and its file, and return all layers.

    A blob's digest, and the length of a compressed one, is unknown until the blob has been written. A header with its
    name or length can therefore only be written afterwards.
    """
    layers: list[WrittenBlob] = []
    known: set[BlobInfo] = set()
    with (
        contextlib.closing(TemporaryBlobStore()) as blobs,
        BlobWriter(sources, context, compression, blobs, progress, items) as blob_writer,
    ):
        for written in _write_each(blob_writer):
            if written.blob not in known:
                write(written.blob, blobs.extent(written.blob))
            known.add(written.blob)
            blobs.remove(written.blob)
            layers.append(written)
    return tuple(layers)


def _write_each(blob_writer: BlobWriter) -> Iterator[WrittenBlob]:
    """Yield the layers; an error about a temporary file, but none about the archive, says how to choose the folder."""
    with explain_temporary_files():
        yield from blob_writer
