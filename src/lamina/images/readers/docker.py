"""Read the images of a docker-archive, as listed in its ``manifest.json``.

Members are found only through the names in the documents, never by a naming pattern, so the archives of all writers are
read in the same way. docker 20.10 and podman write layers as ``ID/layer.tar`` (some of them links to others), docker
since 25 as ``blobs/sha256/HEX``, skopeo as ``HEX.tar``, nixpkgs as ``HEX/layer.tar``, and buildpacks as ``/HEX.tar``.
Programs in Go write an empty list as ``null``, or leave it out. The format is that of the Docker image specification
v1.2, "Combined Image JSON + Filesystem Changeset Format".
"""

from __future__ import annotations

from typing import Any

from lamina.errors import FormatError
from lamina.formats.docker import MANIFEST
from lamina.images.readers.blobs import Blobs
from lamina.images.readers.documents import get_field, parse_strings
from lamina.images.readers.source_image import SourceImage
from lamina.messages.redaction import short_repr

_MAX_IMAGES = 1000
_MAX_NAMES = 10_000
_MAX_NAMES_TOTAL = 100_000


def read_docker_images(blobs: Blobs) -> tuple[SourceImage, ...]:
    """Return the images that ``manifest.json`` lists, in its order. Raises `FormatError`, `IntegrityError`."""
    entries = blobs.read_document(MANIFEST).value
    if entries is not None and not isinstance(entries, list):
        raise FormatError(MANIFEST, short_repr(entries), "a list of images, as in a docker-archive")
    if entries and len(entries) > _MAX_IMAGES:
        raise FormatError(MANIFEST, f"{len(entries)} images", f"at most {_MAX_IMAGES}")
    images: list[SourceImage] = []
    name_count = 0
    for entry in entries or ():
        images.append(_read_image(blobs, entry))
        name_count += len(images[-1].repo_tags)
        if name_count > _MAX_NAMES_TOTAL:
            raise FormatError(MANIFEST, f"more than {_MAX_NAMES_TOTAL} names in all", "fewer")
    return tuple(images)


def _read_image(blobs: Blobs, entry: Any) -> SourceImage:
    config_name = get_field(entry, MANIFEST, "Config")
    layers = parse_strings(f"{MANIFEST}: Layers", entry.get("Layers"))
    tags = parse_strings(f"{MANIFEST}: RepoTags", entry.get("RepoTags"))
    if len(tags) > _MAX_NAMES:
        raise FormatError(MANIFEST, f"{len(tags)} names of an image", f"at most {_MAX_NAMES}")
    (config,) = parse_strings(f"{MANIFEST}: Config", [config_name])
    return blobs.read_image(config, layers, repo_tags=tuple(dict.fromkeys(tags)))
