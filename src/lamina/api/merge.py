"""The public function that merges images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from lamina.api.outputs import check_extension, check_format, open_output
from lamina.api.results import ListResult
from lamina.compression.compressors import NO_LAYER_COMPRESSION, LayerCompression
from lamina.core.names import Digest, ImageReference
from lamina.core.progress import Progress, check_progress
from lamina.errors import InvalidArgument
from lamina.formats.platform import Platform
from lamina.images.writers.archives import LAYOUT_FORMAT, OCI_HINT
from lamina.inputs.arguments import StrPath
from lamina.inputs.parsers import parse_boolean, parse_layer_compression, parse_size
from lamina.layers.context import BuildContext
from lamina.messages.redaction import short_repr
from lamina.system.cpus import cpu_count
from lamina.system.output import Writable, is_layout
from lamina.system.transfer import BlobInfo

if TYPE_CHECKING:
    from lamina.images.layout_merge import MergedName
    from lamina.images.merge_index import PlatformImages
    from lamina.images.readers.source_image import InspectedImage

_FORMATS = ("docker", LAYOUT_FORMAT)


class MergeResult(ListResult["InspectedImage"]):
    """The images that were merged, each once, with ``warnings`` about the work.

    Attributes:
        blobs: the digest and size in bytes of each image's layers as they were written, by image ID.
        names: what each name in an OCI layout or archive names now; empty for a docker-archive.
    """

    blobs: Mapping[Digest, tuple[BlobInfo, ...]]
    names: tuple[MergedName, ...]

    @classmethod
    def of(
        cls,
        images: Iterable[InspectedImage],
        blobs: Mapping[Digest, tuple[BlobInfo, ...]],
        names: Iterable[MergedName] = (),
        warnings: Iterable[str] = (),
    ) -> MergeResult:
        """Make a result."""
        result = cls(images, warnings)
        result.blobs = blobs
        result.names = tuple(names)
        return result


def merge_images(
    images: Iterable[StrPath],
    *,
    output: StrPath | Writable,
    name: str | None = None,
    format: str | None = None,  # noqa: A002 - the option's name, as in the other functions
    platform: str | None = None,
    max_unpacked_size: int | str | None = None,
    compressor: str | None = None,
    layer_compression: str | None = None,
    insecure: bool = False,
    progress: Progress | None = None,
) -> MergeResult:
    """Write the images in all these files and layouts to one archive or OCI layout (nixpkgs: dockerTools.mergeImages).

    In an OCI layout or an OCI archive, images of one name for different platforms become one image index. Blobs and
    manifests are copied as they are if no layer has to be compressed. A docker-archive has one image for each name.

    Args:
        images: files and layouts, each ``FILE`` or ``FILE#NAME``; for an OCI layout or archive also references to
            images in registries.
        output: a file, written whole or not at all; a folder or a name that ends in ``/``, which is an OCI layout; or
            anything with a binary ``write``.
        name: the name that all images get, as ``NAME:TAG``, in an OCI layout or archive. By default each keeps its own.
        format: ``docker`` or ``oci``, for a file; ``docker`` by default.
        platform: use only the images for this platform. By default all.
        max_unpacked_size: as in `inspect`, for each of the files.
        compressor: ``none``, ``gz`` or ``zstd``, for a file. By default the one that fits the file's extension.
        layer_compression: the compression of layers that are not compressed, in an OCI layout or archive: ``none``,
            ``gzip`` or ``zstd``, optionally with ``:LEVEL``. By default ``none``.
        insecure: whether a registry on another machine may be used over plain HTTP.
        progress: receives the progress of the work.

    Returns:
        The images, each once with all its names; and what each name in an OCI layout or archive names.

    Raises:
        InvalidArgument: an argument is wrong, two images have the same name and platform, or one has no name.
        IntegrityError: an image contradicts itself or its index.
        Error: what `inspect` and `Stream.build` raise.

    """
    check_progress(progress)
    _check_inputs(images)
    check_extension(output, compressor)
    chosen_format = _parse_format(format)
    is_folder = isinstance(output, (str, os.PathLike)) and is_layout(output)
    if isinstance(output, (str, os.PathLike)):
        check_format(output, chosen_format)
    if is_folder and compressor not in (None, "none"):
        raise InvalidArgument("compressor", compressor, "none for an OCI layout, whose blobs stay as they are")
    wanted = Platform.parse(platform) if platform else None
    limit = parse_size("max_unpacked_size", max_unpacked_size)
    if not is_folder and chosen_format != LAYOUT_FORMAT:
        _check_docker(name, layer_compression)
        return _merge_into_docker_archive(images, output, wanted, limit, compressor, progress)
    compression = parse_layer_compression("layer_compression", layer_compression) or NO_LAYER_COMPRESSION
    reference = ImageReference.parse(name) if name is not None else None
    with ExitStack() as stack:
        # Registries need libraries that the builder of the Nix functions does not have.
        from lamina.api.existing_images import open_existing
        from lamina.images.merge_index import group_by_name

        found = open_existing(images, stack, wanted, limit, insecure=parse_boolean("insecure", insecure))
        return _merge_into_oci(group_by_name(found, compression, reference), output, compressor, compression, progress)


def _merge_into_oci(
    names: Sequence[PlatformImages],
    output: StrPath | Writable,
    compressor: str | None,
    compression: LayerCompression,
    progress: Progress | None,
) -> MergeResult:
    """Write an OCI layout if ``output`` is a folder, else an OCI archive."""
    from lamina.images.layout_merge import merge_into_archive, merge_into_layout

    context = BuildContext(jobs=cpu_count())
    if isinstance(output, (str, os.PathLike)) and is_layout(output):
        merged = merge_into_layout(names, Path(output), compression, context, progress)
    else:
        with open_output(output, compressor=compressor) as out:
            merged = merge_into_archive(names, out, compression, context, progress)
    distinct = {found.described.digest: found.described for images in names for found in images.images}
    blobs = {
        image_id: tuple(BlobInfo(layer.digest, layer.size) for layer in copied.layers)
        for image_id, copied in merged.copied.items()
    }
    return MergeResult.of(distinct.values(), blobs, merged.names, merged.warnings)


def _merge_into_docker_archive(
    images: Iterable[StrPath],
    output: StrPath | Writable,
    platform: Platform | None,
    max_unpacked: int | None,
    compressor: str | None,
    progress: Progress | None,
) -> MergeResult:
    from lamina.images.merge import collect_images, write_merged

    collected = collect_images(images, platform, max_unpacked)
    with open_output(output, compressor=compressor) as out:
        write_merged(collected, out, progress, BuildContext(jobs=cpu_count()))
    blobs = {
        image.digest: tuple(BlobInfo(layer.diff_id, layer.tar.length) for layer in image.layers) for image in collected
    }
    return MergeResult.of(collected, blobs)


def _check_inputs(images: object) -> None:
    """Raise `InvalidArgument` unless ``images`` is a list of images, and not the name of one."""
    if isinstance(images, (str, os.PathLike)) or not isinstance(images, Iterable):
        raise InvalidArgument("images", short_repr(images), "a list of image files")


def _parse_format(value: str | None) -> str | None:
    if value is not None and value not in _FORMATS:
        raise InvalidArgument("format", short_repr(value), " or ".join(_FORMATS))
    return value


def _check_docker(name: str | None, layer_compression: str | None) -> None:
    """Raise `InvalidArgument` for an argument that has no meaning for a docker-archive."""
    for argument, value in (("name", name), ("layer_compression", layer_compression)):
        if value is not None:
            got = f"{short_repr(value)} and a docker-archive"
            raise InvalidArgument(argument, got, "an OCI layout or an OCI archive", hint=OCI_HINT)
