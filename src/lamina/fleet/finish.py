"""Finish an image of a batch whose layers of store paths are in their homes.

The ordinary writers of a push and of a layout make the customisation layer and the documents. So an image of a batch
has the same bytes as one that is pushed or built on its own.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lamina.core.names import Digest
from lamina.errors import Error, error_context
from lamina.fleet.images import PlannedImage
from lamina.fleet.layer_task import LayerId, LayerResult
from lamina.fleet.results import BatchImage
from lamina.formats.media_types import OCI
from lamina.formats.oci import blob_path
from lamina.formats.registry_references import RegistryReference
from lamina.images.attachments import describe_nothing
from lamina.images.image import Draft
from lamina.images.layer_descriptors import describe_layer
from lamina.images.registry_destination import open_destination
from lamina.images.writers.oci_layout import OciLayout
from lamina.images.writers.registry import RegistryWriter
from lamina.images.writers.registry_index import push_drafts
from lamina.layers.blob_writer import WrittenBlob
from lamina.layers.context import BuildContext
from lamina.layers.layer import Layer, LayerSource, StoredBlob
from lamina.registry.connection import RegistryConnection
from lamina.registry.open import open_repository

LayerResults = Mapping[LayerId, LayerResult]


class ImageFinisher(ABC):
    """Writes the rest of an image to the destination of a batch. Several threads may call it."""

    def finish(self, image: PlannedImage, layers: LayerResults) -> BatchImage:
        """Write what is missing of an image.

        Args:
            image: the image.
            layers: its layers that are in their homes.

        Returns:
            The image, with its digests.

        Raises:
            Error: what the writer of the destination raises. The message begins with the name of the image.

        """
        began = time.monotonic()
        with error_context(f"image {image.name}", Error):
            drafts = [_share_layers(draft, image, layers) for draft in image.drafts]
            finished = self._write(image, drafts, layers)
        warnings = (*image.warnings, *finished.warnings)
        return replace(finished, layers=frozenset(layers), seconds=time.monotonic() - began, warnings=warnings)

    @abstractmethod
    def _write(self, image: PlannedImage, drafts: list[Draft], layers: LayerResults) -> BatchImage:
        """Write what is missing of an image."""


@dataclass(frozen=True, slots=True)
class RegistryFinisher(ImageFinisher):
    """Pushes images.

    Attributes:
        context: the layer cache and the number of processors.
    """

    context: BuildContext

    def _write(self, image: PlannedImage, drafts: list[Draft], layers: LayerResults) -> BatchImage:
        if image.target is None:
            raise TypeError("an image without a target, and a registry")
        warnings: list[str] = []

        def connect(reference: RegistryReference, is_writer: bool) -> RegistryConnection:
            return open_repository(reference, insecure=image.insecure, is_writer=is_writer)

        with open_destination([image.target], None, connect) as destination:
            is_index = len(drafts) > 1
            writers = [
                RegistryWriter(
                    destination,
                    image.compression,
                    None,
                    self.context,
                    warnings.append,
                    image.media_types,
                    is_tagged=not is_index,
                    describe=describe,
                )
                for describe in image.describe or (describe_nothing,) * len(drafts)
            ]
            if is_index:
                index = push_drafts(destination, drafts, writers, image.media_types)
                pushed, digest, references = index.images, index.digest, index.references
            else:
                single = writers[0].write(drafts[0])
                pushed, digest, references = (single,), single.manifest_digest, single.references
        return BatchImage(
            image.name,
            None,
            pushed,
            references[0].partition("@")[0],
            digest,
            blobs_mounted=sum(each.blobs_mounted for each in pushed),
            bytes_sent=sum(each.bytes_sent for each in pushed),
            warnings=tuple(warnings),
        )


@dataclass(frozen=True, slots=True)
class LayoutFinisher(ImageFinisher):
    """Adds images to an OCI layout.

    Attributes:
        folder: the layout.
        context: the layer cache and the number of processors.
    """

    folder: Path
    context: BuildContext

    def _write(self, image: PlannedImage, drafts: list[Draft], layers: LayerResults) -> BatchImage:
        for (key, _), made in layers.items():
            self.context.layer_cache.add_statement(key, made.plain, image.compression.identity, made.blob)
        warnings = _find_lost_layers(self.folder, layers)
        digest: Digest | None
        # Images of a batch often have the same tag, which a layout has for the last of them. So no warning says that.
        layout = OciLayout(self.folder, image.compression, None, self.context)
        if len(drafts) > 1:
            index = layout.write_index(drafts)
            built, digest, reference = index.images, index.digest, index.reference
        else:
            single = layout.write(drafts[0])
            built, digest, reference = (single,), single.manifest_digest, single.reference
        written = sum(each.bytes_written for each in built)
        return BatchImage(image.name, None, built, str(reference), digest, bytes_sent=written, warnings=warnings)


def _find_lost_layers(folder: Path, layers: LayerResults) -> tuple[str, ...]:
    """Return a warning if layers that workers wrote are not in the layout; the writer of the image makes them again."""
    if all((folder / blob_path(made.blob.digest)).exists() for made in layers.values()):
        return ()
    reason = "workers wrote layers to another folder of this name, and they were made again here"
    return (f"{folder}: {reason}; use a folder that all machines share, or --to",)


def _share_layers(draft: Draft, image: PlannedImage, layers: LayerResults) -> Draft:
    """Return the draft with the blobs of the layers that are in their homes."""
    count = len(draft.plans)
    sources = draft.layers[len(draft.base) : len(draft.base) + count]
    return replace(draft, blobs=tuple(_share_layer(source, image, layers) for source in sources))


def _share_layer(source: LayerSource, image: PlannedImage, layers: LayerResults) -> StoredBlob | None:
    inputs = source.key
    made = layers.get((inputs.key, str(image.compression))) if inputs else None
    if made is None:
        return None
    layer = Layer(made.plain.digest, made.plain.size, source.paths)
    written = WrittenBlob(layer, made.blob, source)
    return made.home.share_blob(describe_layer(written, image.compression, image.media_types or OCI), made.plain)
