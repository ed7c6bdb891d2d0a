"""Write an image of a registry to an OCI layout or to a docker-archive.

A layout gets the manifest, the config and the blobs as they are in the registry, so all digests stay the same. An
archive gets the config, so the image ID stays the same, and the layers uncompressed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from lamina.core.labels import shorten_digest
from lamina.core.names import ImageReference
from lamina.core.progress import Progress
from lamina.formats.registry_references import RegistryReference
from lamina.images.blob_cache import BlobCache
from lamina.images.blob_totals import UpdateTotals, add_up_update
from lamina.images.fetch import fetch_layers
from lamina.images.merge import write_merged
from lamina.images.readers.open import open_images
from lamina.images.readers.registry_image import RegistryImage, name_image
from lamina.images.writers.layout_blobs import explain_renamed, open_layout
from lamina.layers.context import BuildContext
from lamina.layers.temporary_blobs import create_blob_folder, explain_temporary_files
from lamina.registry.connection import RegistryConnection
from lamina.system.cpus import cpu_count
from lamina.system.fd_writer import Output
from lamina.system.transfer import BlobInfo


@dataclass(frozen=True, slots=True)
class PullResult:
    """The result of fetching an image from a registry.

    Attributes:
        image: the image as the registry has it.
        name: the name that it got in the file or layout.
        blobs_fetched: the number of layers that came from the registry; the others were here already.
        bytes_fetched: the sum in bytes of their sizes.
        file: the file or folder; None if the image was written to a stream.
        seconds: how long it took.
        update: what differs from the image that had the same name and platform in the OCI layout before; None if there
            was none.
        warnings: messages about names that changed in the layout.

    """

    image: RegistryImage
    name: ImageReference
    blobs_fetched: int = field(compare=False)
    bytes_fetched: int = field(compare=False)
    file: str | None = field(default=None, compare=False)
    seconds: float = field(default=0.0, compare=False)
    update: UpdateTotals | None = field(default=None, compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        return f"<PullResult {self.name} {shorten_digest(self.image.digest)}: {self.image.platform}>"

    @property
    def id(self) -> str:
        """The image ID."""
        return self.image.id

    @property
    def reference(self) -> RegistryReference:
        """The reference with the digest of the manifest that was fetched, which is the same image for ever."""
        return self.image.reference.with_digest(self.image.manifest.descriptor.digest)


def pull_into_layout(
    connection: RegistryConnection,
    image: RegistryImage,
    folder: Path,
    cache: BlobCache | None = None,
    progress: Progress | None = None,
    max_unpacked: int | None = None,
) -> PullResult:
    """Add an image to an OCI layout, which is created if it does not exist.

    An entry of the same name for the same platform is replaced; those for other platforms stay.

    Args:
        connection: the repository of the image.
        image: the image.
        folder: the layout.
        cache: the place where layers are looked for first.
        progress: receives the progress.
        max_unpacked: as in `fetch_layers`; None for a layout in which the layers stay compressed.

    Raises:
        Error: those of `fetch_layers` and of opening the layout.

    """
    name = name_image(image.reference, image.digest)
    stored = [BlobInfo(layer.digest, layer.size) for layer in image.layers]
    with open_layout(folder, verify=False) as blobs:
        fetched = fetch_layers(connection, image, blobs, cache, progress, max_unpacked)
        manifest = image.manifest.descriptor
        tagged = blobs.tag(name, manifest, image.effective_platform, keeps_platforms=True)
        before = stored if tagged.replaced == manifest.digest else blobs.list_layers(tagged.replaced)
    warnings = explain_renamed(folder, name, tagged)
    update = None if before is None else add_up_update(before, stored)
    return PullResult(image, name, fetched.count, fetched.size, update=update, warnings=warnings)


def pull_into_archive(
    connection: RegistryConnection,
    image: RegistryImage,
    out: Output,
    cache: BlobCache | None = None,
    max_unpacked: int | None = None,
    progress: Progress | None = None,
) -> PullResult:
    """Write an image to ``out`` as a docker-archive. Its layers are kept in a temporary folder meanwhile.

    Args:
        connection: the repository of the image.
        image: the image.
        out: the archive.
        cache: the place where layers are looked for first.
        max_unpacked: the maximum number of bytes that the layers may unpack to; None for the default.
        progress: receives the progress of fetching, then of writing.

    Raises:
        Error: those of `pull_into_layout`, of `open_images` and of ``out``.

    """
    with create_blob_folder() as workspace:
        folder = workspace.path / "layout"
        with explain_temporary_files():
            pulled = pull_into_layout(connection, image, folder, cache, progress, max_unpacked)
        images = open_images(folder, max_unpacked, subject=image.reference)
        write_merged(images, out, progress, BuildContext(jobs=cpu_count()))
    return pulled
