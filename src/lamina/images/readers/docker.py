"""The images of a docker-archive, by its ``manifest.json``.

Invariant: the documents decide, never how members are named, so that every writer's layout is read the same way.

Docker image specification v1.2, "Combined Image JSON + Filesystem Changeset Format". docker 20.10 and podman write
``ID/layer.tar`` (some of them links to others), docker since 25 ``blobs/sha256/HEX``, skopeo ``HEX.tar``, nixpkgs
``HEX/layer.tar``, buildpacks ``/HEX.tar``. Go writes an empty list as ``null``, or leaves it out.
"""

from __future__ import annotations

from typing import Any

from lamina.errors import FormatError
from lamina.images.readers.blobs import Blobs, item, texts
from lamina.images.readers.source_image import SourceImage
from lamina.messages.redaction import short_repr

MANIFEST = "manifest.json"
_MAX_IMAGES = 1000
_MAX_NAMES = 10_000
_MAX_NAMES_TOTAL = 100_000


def docker_images(blobs: Blobs) -> tuple[SourceImage, ...]:
    """Return the images that ``manifest.json`` lists, in its order. Raises `FormatError`, `IntegrityError`."""
    entries = blobs.document(MANIFEST).value
    if entries is not None and not isinstance(entries, list):
        raise FormatError(f"{MANIFEST}: got {short_repr(entries)}, expected a list of images, as in a docker-archive")
    if entries and len(entries) > _MAX_IMAGES:
        raise FormatError(f"{MANIFEST}: got {len(entries)} images, expected at most {_MAX_IMAGES}")
    images: list[SourceImage] = []
    names = 0
    for entry in entries or ():
        images.append(_image(blobs, entry))
        names += len(images[-1].repo_tags)
        if names > _MAX_NAMES_TOTAL:
            raise FormatError(f"{MANIFEST}: got more than {_MAX_NAMES_TOTAL} names in all, expected fewer")
    return tuple(images)


def _image(blobs: Blobs, entry: Any) -> SourceImage:
    config_name = item(entry, MANIFEST, "Config")
    layers = texts(f"{MANIFEST}: Layers", entry.get("Layers"))
    tags = texts(f"{MANIFEST}: RepoTags", entry.get("RepoTags"))
    if len(tags) > _MAX_NAMES:
        raise FormatError(f"{MANIFEST}: got {len(tags)} names of an image, expected at most {_MAX_NAMES}")
    (config,) = texts(f"{MANIFEST}: Config", [config_name])
    return blobs.image(config, layers, repo_tags=tuple(dict.fromkeys(tags)))
