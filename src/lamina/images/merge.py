"""Merge several image files into one docker-archive.

Every image keeps its ID, because its config JSON is copied unchanged and no layer is packed again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from lamina.core.names import Digest
from lamina.core.progress import Progress, Work
from lamina.errors import InvalidArgument
from lamina.formats.docker import list_layer_comments
from lamina.formats.image_names import canonical_name
from lamina.formats.platform import Platform
from lamina.images.readers import select
from lamina.images.readers.open import open_named_images
from lamina.images.readers.source_image import SourceImage, SourceLayer, deduplicate
from lamina.images.source_layers import make_layer_source
from lamina.images.writers.docker_archive import ArchivedImage, ArchiveWriter
from lamina.layers.context import BuildContext
from lamina.layers.layer import list_items
from lamina.layers.stream_writer import LayerStream
from lamina.messages.redaction import short_repr
from lamina.system.fd_writer import Output
from lamina.system.progress_reporter import ProgressReporter

# The date of the archive's members: 1970-01-01T00:00:01Z, the default date of images.
_MTIME = 1


def collect_images(
    image_files: Iterable[str | os.PathLike[str]], platform: Platform | None = None, max_unpacked: int | None = None
) -> tuple[SourceImage, ...]:
    """Return the images of all ``image_files`` in order, each once, with all its names from all files.

    Args:
        image_files: image files or OCI layouts; ``FILE#NAME`` stands for one image of a file.
        platform: take only images for this platform.
        max_unpacked: the maximum number of bytes to unpack for one file; None is the default of `open_images`.

    Raises:
        NotFound: no image has the name that was given.
        PlanError: a file has no image for ``platform``.
        InvalidArgument: two images share a name, or ``image_files`` is empty.

    Errors of `open_images` are passed on.

    """
    if isinstance(image_files, (str, os.PathLike)) or not isinstance(image_files, Iterable):
        raise InvalidArgument("images", short_repr(image_files), "a list of image files")
    selected: list[SourceImage] = []
    owners: dict[str, tuple[SourceImage, Path]] = {}
    for image_file in image_files:
        source = select.ImageFile(*select.split_name(image_file))
        path, images = source.path, open_named_images(source, max_unpacked)
        if platform:
            images = select.select_by_platform(images, platform, path, select.PLATFORM_HINT)
        for image in images:
            for tag in image.repo_tags:
                _claim_name(owners, tag, image, path)
        selected += images
    if not selected:
        raise InvalidArgument("images", "none", "at least one")
    return deduplicate(selected)


def _claim_name(owners: dict[str, tuple[SourceImage, Path]], tag: str, image: SourceImage, path: Path) -> None:
    """Record that ``tag`` is a name of ``image``.

    Raises `InvalidArgument` if the name, in any spelling, already belongs to another image.
    """
    other, other_path = owners.setdefault(canonical_name(tag), (image, path))
    if other.digest == image.digest:
        return
    hint = "a name can belong to only one image of an archive, so rename one of them"
    if other.effective_platform != image.effective_platform:
        hint = (
            "a docker-archive cannot contain several platforms of one image: choose one with --platform, or write an "
            "index of all with --format oci, or into an OCI layout with -o DIR/"
        )
    raise InvalidArgument(
        tag, f"two images, {other.digest} in {other_path} and {image.digest} in {path}", "one", hint=hint
    )


def write_merged(
    images: Iterable[SourceImage], out: Output, progress: Progress | None = None, context: BuildContext | None = None
) -> None:
    """Write one docker-archive of ``images`` in one pass. Every layer is written once and uncompressed.

    Raises:
        IntegrityError: an image file has changed since it was opened.

    Any error of ``out`` is passed on.

    """
    images = tuple(images)
    layers: dict[Digest, SourceLayer] = {}
    comments: dict[Digest, str] = {}
    for image in images:
        for layer, comment in zip(image.layers, list_layer_comments(image.config, len(image.layers)), strict=True):
            layers.setdefault(layer.diff_id, layer)
            comments.setdefault(layer.diff_id, comment)
    reported = ProgressReporter(progress)
    sources = tuple(map(make_layer_source, count(1), layers.values(), comments.values()))
    items = list_items(sources)
    reported.begin(Work(f"{len(images)} image{'s' if len(images) != 1 else ''}", items))
    archive = ArchiveWriter(out, _MTIME, reported)
    with LayerStream(sources, context or BuildContext()) as stream:
        names = dict(zip(layers, map(archive.write_layer, stream, items), strict=True))
        stream.layers()
    reported.documents()
    archive.close(
        ArchivedImage(image.config_json, image.repo_tags, tuple(names[layer.diff_id] for layer in image.layers))
        for image in images
    )
    reported.done()
