"""Find what is wrong with indexes: images that are missing, contradict the index, or cannot be told apart."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from lamina.core.names import Digest
from lamina.errors import IntegrityError, InvalidArgument
from lamina.formats.json_toml import parse_json
from lamina.formats.oci import Descriptor
from lamina.formats.platform import Platform
from lamina.images.readers.image_index import ImageIndex, IndexedManifest
from lamina.images.readers.oci_manifests import INDEXES, MANIFESTS
from lamina.images.readers.platforms import list_indexes
from lamina.images.readers.select import PLATFORM_HINT
from lamina.images.readers.source_image import InspectedImage
from lamina.messages.redaction import join_names


def list_index_warnings(images: Sequence[InspectedImage]) -> Iterator[str]:
    """Yield a message for each thing that is wrong with the indexes of ``images``."""
    yield from list_contradictions(images)
    for index in list_indexes(images):
        yield from list_duplicates(index, images)
        yield from list_gaps(index)


def list_contradictions(images: Sequence[InspectedImage]) -> Iterator[str]:
    """Yield a message for each image whose config states another platform than its index."""
    for image in images:
        declared, indexed = Platform.from_document(image.config), image.index_platform
        if _contradict(declared.os, indexed.os) or _contradict(declared.architecture, indexed.architecture):
            yield f"{image.id}: the index states {indexed}, and the config of the image {declared}"


def list_duplicates(index: ImageIndex, images: Sequence[InspectedImage]) -> Iterator[str]:
    """Yield a message for each platform for which an index lists several of ``images``: engines take the first.

    Images for several versions of a system are not for the same platform, nor is one that is stored twice, in two
    compressions.
    """
    ids = {str(image.manifest_digest): image.id for image in images}
    found: defaultdict[str, dict[str, Platform]] = defaultdict(dict)
    for value in _list_entries(index):
        listed, stated = IndexedManifest.parse(value), value.get("platform")
        if listed.digest in ids and not listed.is_attestation and listed.platform.architecture:
            found[json.dumps(stated, sort_keys=True)][ids[listed.digest]] = listed.platform
    for members in found.values():
        if len(members) > 1:
            platform = next(iter(members.values()))
            yield f"{index.name}: the index lists several images for {platform}: {', '.join(members)}"


def list_gaps(index: ImageIndex) -> Iterator[str]:
    """Yield a message if images of an index are missing, and one if it does not state all platforms."""
    listed = [item for item in index.manifests if not item.is_attestation and item.media_type in MANIFESTS | INDEXES]
    missing = [str(item.platform) or item.digest or "no digest" for item in listed if _is_missing(index, item)]
    if missing:
        yield f"{index.name}: the index lists images that are missing: {join_names(missing)}"
    unstated = sum(not item.platform.architecture for item in listed if item.media_type in MANIFESTS)
    if unstated and len(listed) > 1:
        yield f"{index.name}: the index states no platform for {unstated} of {len(listed)} images: engines take any"


def lacks_manifests(index: ImageIndex) -> bool:
    """Return whether a manifest that an index lists is missing, that of an attestation included."""
    return any(_is_missing(index, item) for item in index.manifests)


def check_index(images: Sequence[InspectedImage], subject: object) -> None:
    """Raise `IntegrityError` if an index contradicts an image, or lists several of ``images`` for one platform.

    ``subject`` names the image in the message.
    """
    for contradiction in list_contradictions(images):
        raise IntegrityError(subject, contradiction, "the same platform in both", hint=PLATFORM_HINT)
    for index in list_indexes(images):
        for duplicate in list_duplicates(index, images):
            raise IntegrityError(subject, duplicate.partition(": ")[2], "one for each platform")


def _list_entries(index: ImageIndex) -> Iterator[dict[str, Any]]:
    document = parse_json(index.document, str(index.digest))
    listed = document.get("manifests") if isinstance(document, dict) else None
    return (value for value in listed or () if isinstance(value, dict))


def _is_missing(index: ImageIndex, item: IndexedManifest) -> bool:
    try:
        digest = Digest.parse_oci(item.digest)
    except InvalidArgument:
        return True
    return index.storage.lacks_manifest(Descriptor(item.media_type, digest, item.size))


def _contradict(one: str, other: str) -> bool:
    return bool(one and other) and one != other
