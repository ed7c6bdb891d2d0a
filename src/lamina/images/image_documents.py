"""Make the documents of an image whose blobs are stored under their digests: its config and its manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lamina.compression.compressors import LayerCompression
from lamina.core.names import Digest, ImageReference
from lamina.formats.docker import HistoryItem
from lamina.formats.oci import CONFIG_TYPE, MANIFEST_TYPE, Descriptor, dump_manifest
from lamina.formats.platform import Platform
from lamina.images.image import BuildResult, ImageSettings
from lamina.images.layer_descriptors import describe_layer
from lamina.layers.blob_writer import WrittenBlob


@dataclass(frozen=True, slots=True)
class ImageDocuments:
    """The documents of an image whose layers were written.

    Attributes:
        config: the config as JSON.
        config_digest: its digest, which is the image ID.
        manifest: the manifest as JSON.
        descriptor: the descriptor of the manifest, with the same annotations.
        reference: the name of the image.
        platform: the platform of the image.
    """

    config: bytes
    config_digest: Digest
    manifest: bytes
    descriptor: Descriptor
    reference: ImageReference
    platform: Platform


@dataclass(frozen=True, slots=True)
class WrittenImage:
    """An image whose blobs and documents were written, and which no name refers to yet.

    Attributes:
        documents: its config and its manifest.
        result: the result of writing it.
    """

    documents: ImageDocuments
    result: BuildResult


def make_documents(
    settings: ImageSettings, written: Sequence[WrittenBlob], compression: LayerCompression
) -> ImageDocuments:
    """Return the documents of an image; ``written`` are its layers, from the lowest up."""
    history = [HistoryItem(item.layer.diff_id, item.source.comment) for item in written]
    config, digest, reference = settings.dump_config(history)
    described = Descriptor(CONFIG_TYPE, digest, len(config))
    annotations = settings.annotations
    manifest = dump_manifest(described, [describe_layer(item, compression) for item in written], annotations)
    descriptor = Descriptor.of(MANIFEST_TYPE, manifest, annotations)
    return ImageDocuments(config, digest, manifest, descriptor, reference, Platform.parse(settings.config.architecture))
