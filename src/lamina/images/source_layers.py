"""Use the layers of an image that was read in another image, or in another place."""

from __future__ import annotations

from functools import partial
from itertools import count

from lamina.compression.compressors import LayerCompression
from lamina.compression.streams import MAGIC_SIZE, detect_compression
from lamina.core.labels import name_layer, shorten_digest
from lamina.formats.docker import list_layer_comments, parse_store_paths_comment
from lamina.formats.media_types import OCI, MediaTypes
from lamina.formats.oci import Descriptor, blob_path, parse_layers, read_media_type
from lamina.images.readers.blobs import read_checked
from lamina.images.readers.source_image import SourceImage, SourceLayer
from lamina.layers.layer import FinishedLayer, StoredBlob
from lamina.messages.redaction import cut
from lamina.system.extents import iter_extent, read_head
from lamina.system.transfer import BlobInfo

# The compressions that registries have media types for.
_CODECS = ("gzip", "zstd")


def can_be_sent_unread(layer: SourceLayer) -> bool:
    """Return whether a registry can get a layer that was not read.

    Its digest must be known: a compressed blob has it in its name. Registries have blobs with gzip, zstd or none.
    """
    codec = detect_compression(read_head(layer.blob, MAGIC_SIZE))
    return layer.digest == layer.diff_id if codec == "none" else codec in _CODECS and layer.digest != layer.diff_id


def make_layer_sources(
    image: SourceImage, compression: LayerCompression, types: MediaTypes | None = None
) -> tuple[tuple[FinishedLayer, ...], bool]:
    """Return the layers of an image as they get to a registry or a layout, and whether its manifest stays as it is.

    It does if the image has one, of the media types ``types``, and no layer has to be compressed. The blobs then have
    the descriptors of the manifest. Otherwise the layers that are compressed with gzip or zstd are kept, and the others
    have no stored blob.

    Args:
        image: the image.
        compression: how each layer is compressed that is not compressed yet.
        types: the media types that are wanted; None for those that the manifest has.

    """
    is_kept = (
        bool(image.manifest_json)
        and (compression.is_none or all(layer.digest != layer.diff_id for layer in image.layers))
        and (types is None or read_media_type(image.manifest_json) == types.manifest)
    )
    stored: list[StoredBlob | None]
    if is_kept:
        stored = list(map(store_blob, image.layers, parse_layers(image.manifest_json, "manifest")))
    else:
        stored = list(map(find_compressed_blob, image.layers))
    comments = list_layer_comments(image.config, len(image.layers))
    return tuple(map(make_layer_source, count(1), image.layers, comments, stored)), is_kept


def make_layer_source(
    number: int, layer: SourceLayer, comment: str, stored_blob: StoredBlob | None = None
) -> FinishedLayer:
    """Return layer ``number`` of an image, which is written as it is.

    A layer that was not read is compared with its diff ID when it is packed. If its blob is stored already, its bytes
    are not needed: those that the image asks for are there.

    Args:
        number: its position, counted from 1.
        layer: the layer.
        comment: the comment on it in the history of its image.
        stored_blob: the blob that a registry gets.

    """
    paths = layer.paths if layer.is_read else parse_store_paths_comment(comment)
    return FinishedLayer(
        layer.tar,
        f"Adding layer {number} from {cut(layer.name)}",
        layer.name,
        layer.diff_id,
        paths,
        layer.workspace,
        name_layer(paths, comment, _name_blob(layer), layer.path_sizes),
        is_checked=True,
        stored_blob=stored_blob,
    )


def _name_blob(layer: SourceLayer) -> str:
    """Return the name of the layer's file; if that is its digest, as in a layout, the beginning of it."""
    return shorten_digest(layer.digest) if layer.name == blob_path(layer.digest) else cut(layer.name)


def find_compressed_blob(layer: SourceLayer) -> StoredBlob | None:
    """Return the blob of a layer that is compressed with gzip or zstd, else None."""
    codec = detect_compression(read_head(layer.blob, MAGIC_SIZE))
    if codec not in _CODECS:
        return None
    return store_blob(layer, Descriptor(OCI.layer_type(codec), layer.digest, layer.size))


def store_blob(layer: SourceLayer, descriptor: Descriptor) -> StoredBlob:
    """Return the blob of a layer under ``descriptor``."""
    plain = BlobInfo(layer.diff_id, layer.tar.length)
    if layer.is_read:
        return StoredBlob(descriptor, plain, partial(iter_extent, layer.blob))
    return StoredBlob(descriptor, plain, partial(read_checked, layer.blob, layer.digest, layer.name))
