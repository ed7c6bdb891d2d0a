"""Write images that exist into an OCI layout or an OCI archive, for one platform or with an index for several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lamina.compression.compressors import LayerCompression
from lamina.core.names import Digest, ImageReference
from lamina.core.progress import Progress
from lamina.formats.platform import NO_PLATFORM
from lamina.images.existing_image import Copying
from lamina.images.merge_index import PlatformImages
from lamina.images.writers.layout_archive import write_layout_archive
from lamina.images.writers.layout_blobs import explain_renamed, open_layout
from lamina.images.writers.layout_copies import CopiedImage, copy_documents
from lamina.layers.context import BuildContext
from lamina.layers.temporary_blobs import create_blob_folder, explain_temporary_files
from lamina.system.fd_writer import Output


@dataclass(frozen=True, slots=True)
class MergedName:
    """A name that was written, and what it names.

    Attributes:
        name: the name.
        digest: the digest of the index; of a single image, that of its manifest.
        platforms: the platforms of its images, in order.
        has_index: whether it names an index.
    """

    name: ImageReference
    digest: Digest
    platforms: tuple[str, ...]
    has_index: bool


@dataclass(frozen=True, slots=True)
class MergedImages:
    """Images that were written.

    Attributes:
        names: what each name names.
        copied: the images as they were written, by image ID.
        warnings: messages about names that changed, and about attestations that were left out.
    """

    names: tuple[MergedName, ...]
    copied: Mapping[Digest, CopiedImage]
    warnings: tuple[str, ...]


def merge_into_layout(
    names: Sequence[PlatformImages],
    folder: Path,
    compression: LayerCompression,
    context: BuildContext,
    progress: Progress | None = None,
) -> MergedImages:
    """Add images to an OCI layout, and return how they were written.

    All blobs are there before the first name is written.

    Args:
        names: the images of each name.
        folder: the layout, which is created if it does not exist.
        compression: how each layer is compressed that is stored uncompressed.
        context: the layer cache and the number of processors.
        progress: receives the progress of each image.

    Raises:
        IntegrityError: a layer does not match its digest, or a file changed while it was read.
        OutputError: the layout cannot be written.
        Error: those of opening the layout, and of the places that images are read from.

    """
    warnings = [warning for images in names for warning in images.list_warnings()]
    merged: list[MergedName] = []
    with open_layout(folder, verify=context.verify) as blobs:
        copying = Copying(blobs, compression, context, progress)
        copied: dict[Digest, CopiedImage] = {}
        for images in names:
            for found in images.images:
                key = found.described.digest
                copied[key] = copied.get(key) or found.image.copy(copying)
            copy_documents(images.others, blobs, str(images.name), progress)
        for images in names:
            members = tuple(copied[found.described.digest] for found in images.images)
            named, platform = members[0].manifest, images.images[0].platform
            if images.has_index:
                document, named = images.dump_index([member.manifest for member in members])
                blobs.add(document)
                platform = NO_PLATFORM
            tagged = blobs.tag(images.name, named, platform)
            warnings += explain_renamed(folder, images.name, tagged)
            platforms = tuple(found.described.platform for found in images.images)
            merged.append(MergedName(images.name, named.digest, platforms, images.has_index))
    return MergedImages(tuple(merged), copied, tuple(warnings))


def merge_into_archive(
    names: Sequence[PlatformImages],
    out: Output,
    compression: LayerCompression,
    context: BuildContext,
    progress: Progress | None = None,
) -> MergedImages:
    """Write images to ``out`` as an OCI archive. Their blobs are kept in a temporary folder meanwhile.

    The arguments and the result are those of `merge_into_layout`; errors of ``out`` are passed on.
    """
    with create_blob_folder() as workspace:
        folder = workspace.path / "layout"
        with explain_temporary_files():
            merged = merge_into_layout(names, folder, compression, context, progress)
        write_layout_archive(folder, out)
    return merged
