"""Describe the layers of an image in its manifest."""

from __future__ import annotations

from lamina.compression.compressors import LayerCompression
from lamina.formats.layer_annotations import LayerStatement
from lamina.formats.media_types import OCI, MediaTypes
from lamina.formats.oci import Descriptor
from lamina.layers.blob_writer import WrittenBlob


def describe_layer(written: WrittenBlob, compression: LayerCompression, types: MediaTypes = OCI) -> Descriptor:
    """Return the descriptor of a layer that was written.

    A layer of store paths states what it was made from, so that a machine without a layer cache can use the blob. That
    needs media types with annotations.
    """
    media_type = types.layer_type(compression.codec)
    key = written.source.key
    if key is None or not types.has_annotations:
        return Descriptor(media_type, written.blob.digest, written.blob.size)
    statement = LayerStatement(key.key, written.layer.diff_id, written.layer.size, str(compression))
    return Descriptor(media_type, written.blob.digest, written.blob.size, statement.dump())
