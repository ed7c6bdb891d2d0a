"""Images that exist, in files and registries, as something that can be copied to a registry or into an OCI layout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from lamina.compression.compressors import LayerCompression
from lamina.core.progress import Progress
from lamina.formats.media_types import MediaTypes
from lamina.formats.oci import Descriptor
from lamina.images.fetch import fetch_layers
from lamina.images.readers.registry_image import RegistryImage
from lamina.images.readers.source_image import InspectedImage, SourceImage
from lamina.images.source_layers import make_layer_sources
from lamina.images.writers.layout_blobs import LayoutBlobs
from lamina.images.writers.layout_copies import CopiedImage, copy_image
from lamina.images.writers.push_result import RegistryPushResult
from lamina.images.writers.registry import RegistryWriter
from lamina.layers.context import BuildContext
from lamina.registry.connection import RegistryConnection


@dataclass(frozen=True, slots=True)
class Copying:
    """The destination of copies of images in a layout, and how they are made.

    Attributes:
        blobs: the blobs of the layout.
        compression: how each layer is compressed that is stored uncompressed.
        context: the layer cache and the number of processors.
        progress: receives the progress of each image.
    """

    blobs: LayoutBlobs
    compression: LayerCompression
    context: BuildContext
    progress: Progress | None = None


class ExistingImage(ABC):
    """An image that exists."""

    __slots__ = ()

    @property
    @abstractmethod
    def described(self) -> InspectedImage:
        """The image as it was read."""

    @abstractmethod
    def keeps_manifest(self, compression: LayerCompression, types: MediaTypes | None) -> bool:
        """Return whether a copy has the same manifest.

        Args:
            compression: how each layer is compressed that is stored uncompressed.
            types: the media types that are wanted; None for those that the manifest has.

        """

    @abstractmethod
    def push(self, writer: RegistryWriter) -> RegistryPushResult:
        """Push the image. Raises what `RegistryWriter.write` raises."""

    @abstractmethod
    def copy(self, copying: Copying) -> CopiedImage:
        """Add the image to a layout, without a name. Raises what `copy_image` or `fetch_layers` raises."""


@dataclass(frozen=True, slots=True)
class FileImage(ExistingImage):
    """An image in a file or a layout; its layers may have been left unread."""

    image: SourceImage

    @property
    def described(self) -> InspectedImage:
        """The image as it was read."""
        return self.image

    def keeps_manifest(self, compression: LayerCompression, types: MediaTypes | None) -> bool:
        """Return whether no layer has to be compressed, and the media types are those that are wanted."""
        return make_layer_sources(self.image, compression, types)[1]

    def push(self, writer: RegistryWriter) -> RegistryPushResult:
        """Push the image; compressed layers are sent as they are."""
        return writer.write_image(self.image)

    def copy(self, copying: Copying) -> CopiedImage:
        """Add the image to a layout; compressed layers are copied as they are."""
        return copy_image(self.image, copying.blobs, copying.compression, copying.context, copying.progress)


@dataclass(frozen=True, slots=True)
class RemoteImage(ExistingImage):
    """An image in a registry, whose repository ``connection`` reads."""

    image: RegistryImage
    connection: RegistryConnection

    @property
    def described(self) -> InspectedImage:
        """The image as it was read."""
        return self.image

    def keeps_manifest(self, compression: LayerCompression, types: MediaTypes | None) -> bool:
        """Return true, because nothing of an image in a registry changes."""
        return True

    def push(self, writer: RegistryWriter) -> RegistryPushResult:
        """Push the image; nothing of it changes."""
        return writer.copy_image(self.image, self.connection)

    def copy(self, copying: Copying) -> CopiedImage:
        """Add the image to a layout; nothing of it changes."""
        fetch_layers(self.connection, self.image, copying.blobs, progress=copying.progress)
        layers: tuple[Descriptor, ...] = tuple(layer.descriptor for layer in self.image.layers)
        return CopiedImage(self.image.manifest.descriptor, layers)
