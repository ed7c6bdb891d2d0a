"""Several image files made one docker-archive.

Invariant: an image comes out with the ID it had: its JSON is written as it was read, and no layer is packed anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import count
from pathlib import Path

from lamina.engine import Write
from lamina.errors import InvalidName
from lamina.image import Progress, Silence
from lamina.layer import FinishedLayer
from lamina.names import Digest
from lamina.packing import Packing
from lamina.sinks.archive import ArchivedImage, ArchiveWriter
from lamina.sources.image import SourceImage, SourceLayer
from lamina.sources.opening import open_images
from lamina.standing import Workshop

# The date of the outer members, 1970-01-01T00:00:01Z as wherever nobody says another.
_MTIME = 1


def merged(paths: Iterable[Path]) -> tuple[SourceImage, ...]:
    """The images of all ``paths`` in their order, each once with all the names that it has anywhere.

    Raises as `open_images` does, and `InvalidName` where two images share a name, or where there is no path.
    """
    found: dict[Digest, SourceImage] = {}
    named: dict[str, tuple[Digest, Path]] = {}
    for path in paths:
        for image in open_images(path):
            for tag in image.repo_tags:
                other, where = named.setdefault(tag, (image.digest, path))
                if other != image.digest:
                    raise InvalidName(
                        f"{tag}: got two images, {other} in {where} and {image.digest} in {path}, expected one",
                        hint="an archive holds one image under a name, so give one of them another",
                    )
            known = found.setdefault(image.digest, image)
            tags = tuple(dict.fromkeys((*known.repo_tags, *image.repo_tags)))
            found[image.digest] = replace(known, repo_tags=tags)
    if not found:
        raise InvalidName("images: got none, expected at least one")
    return tuple(found.values())


def write_merged(
    images: Iterable[SourceImage], write: Write, progress: Progress | None = None, shop: Workshop | None = None
) -> None:
    """Writes one docker-archive of ``images``, every layer once and uncompressed, in one pass.

    Raises `IntegrityError` where a file has changed since it was opened, and whatever ``write`` raises.
    """
    images = tuple(images)
    layers: dict[Digest, SourceLayer] = {}
    for image in images:
        for layer in image.layers:
            layers.setdefault(layer.diff_id, layer)
    watcher = progress or Silence()
    watcher.begin(len(layers), len(layers))
    archive = ArchiveWriter(write, _MTIME, watcher)
    sources = tuple(map(_source, count(1), layers.values()))
    with Packing(sources, shop or Workshop()) as packing:
        names = dict(zip(layers, map(archive.layer, packing), strict=True))
        packing.layers()
    watcher.manifests()
    archive.close(
        ArchivedImage(image.config_json, image.repo_tags, tuple(names[layer.diff_id] for layer in image.layers))
        for image in images
    )


def _source(number: int, layer: SourceLayer) -> FinishedLayer:
    said = f"Adding layer {number} from {layer.name}"
    return FinishedLayer(layer.tar, said, layer.name, layer.diff_id, layer.paths, layer.keep)
