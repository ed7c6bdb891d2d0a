"""Describe the layers of an image in its manifest."""

from __future__ import annotations

from lamina.compression.compressors import LayerCompression
from lamina.formats.layer_annotations import LayerStatement
from lamina.formats.oci import LAYER_TYPE, Descriptor
from lamina.layers.blob_writer import WrittenBlob


def describe_layer(written: WrittenBlob, compression: LayerCompression) -> Descriptor:
    """Return the descriptor of a layer that was written.

    A layer of store paths states what it was made from, so that a machine without a layer cache can use the blob.
    """
    media_type = LAYER_TYPE + compression.media_suffix
    key = written.source.key
    if key is None:
        return Descriptor(media_type, written.blob.digest, written.blob.size)
    statement = LayerStatement(key.key, written.layer.diff_id, written.layer.size, str(compression))
    return Descriptor(media_type, written.blob.digest, written.blob.size, statement.dump())
