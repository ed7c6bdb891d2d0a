"""Several image files made one docker-archive.

Invariant: an image comes out with the ID it had: its JSON is written as it was read, and no layer is packed again.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from lamina.core.names import Digest
from lamina.errors import InvalidArgument
from lamina.formats.image_names import canonical_name
from lamina.formats.platform import Platform
from lamina.images.progress import NoProgress, Progress
from lamina.images.readers import select
from lamina.images.readers.open import open_images
from lamina.images.readers.source_image import SourceImage, SourceLayer, deduplicate
from lamina.images.writers.docker_archive import ArchivedImage, ArchiveWriter
from lamina.layers.context import BuildContext
from lamina.layers.layer import FinishedLayer
from lamina.layers.stream_writer import LayerStream
from lamina.messages.redaction import cut
from lamina.system.transfer import Write

# The date of the outer members, 1970-01-01T00:00:01Z as wherever nobody says another.
_MTIME = 1


def collect_images(
    image_files: Iterable[str | os.PathLike[str]], platform: Platform | None = None, max_unpacked: int | None = None
) -> tuple[SourceImage, ...]:
    """Return the images of all ``image_files`` in their order, each once with all the names that it has anywhere.

    A place is a file or layout, or ``FILE#NAME`` for one of its images. With ``platform`` the images for it are taken,
    and no others. Raises as `open_images` does, `NotFound` and `PlanError` for a name or platform that no image has,
    and `InvalidArgument` if two images share a name, or if there is no place.
    """
    found: list[SourceImage] = []
    owners: dict[str, tuple[Digest, Path]] = {}
    for image_file in image_files:
        path, name = select.split_name(image_file)
        images = open_images(path, max_unpacked)
        if name is not None:
            images = select.select_by_name(images, name, path, f"name one as {path}#NAME:TAG")
        if platform:
            images = select.select_by_platform(images, platform, path, select.PLATFORM_HINT)
        for image in images:
            for tag in image.repo_tags:
                _claim_name(owners, tag, image, path)
        found += images
    if not found:
        raise InvalidArgument("images: got none, expected at least one")
    return deduplicate(found)


def _claim_name(owners: dict[str, tuple[Digest, Path]], tag: str, image: SourceImage, path: Path) -> None:
    """Note that ``tag`` is a name of ``image``. Raises `InvalidArgument` if it is another one's, in any spelling."""
    other, where = owners.setdefault(canonical_name(tag), (image.digest, path))
    if other == image.digest:
        return
    hint = "an archive holds one image under a name, so give one of them another"
    if where == path:
        hint = "an archive has no place for several platforms of one image: choose one with --platform"
    raise InvalidArgument(
        f"{tag}: got two images, {other} in {where} and {image.digest} in {path}, expected one", hint=hint
    )


def write_merged(
    images: Iterable[SourceImage], write: Write, progress: Progress | None = None, context: BuildContext | None = None
) -> None:
    """Writes one docker-archive of ``images``, every layer once and uncompressed, in one pass.

    Raises `IntegrityError` where a file has changed since it was opened, and whatever ``write`` raises.
    """
    images = tuple(images)
    layers: dict[Digest, SourceLayer] = {}
    for image in images:
        for layer in image.layers:
            layers.setdefault(layer.diff_id, layer)
    watcher = progress or NoProgress()
    watcher.begin(len(layers), len(layers))
    archive = ArchiveWriter(write, _MTIME, watcher)
    sources = tuple(map(_source, count(1), layers.values()))
    with LayerStream(sources, context or BuildContext()) as packing:
        names = dict(zip(layers, map(archive.layer, packing), strict=True))
        packing.layers()
    watcher.manifests()
    archive.close(
        ArchivedImage(image.config_json, image.repo_tags, tuple(names[layer.diff_id] for layer in image.layers))
        for image in images
    )


def _source(number: int, layer: SourceLayer) -> FinishedLayer:
    message = f"Adding layer {number} from {cut(layer.name)}"
    return FinishedLayer(layer.tar, message, layer.name, layer.diff_id, layer.paths, layer.keep_alive)
