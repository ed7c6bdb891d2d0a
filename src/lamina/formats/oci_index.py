"""The image index: one document for the images of several platforms (OCI image-spec 1.1, "Image Index").

Docker's manifest list has the same form without annotations (distribution, "Image Manifest Version 2, Schema 2").
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lamina.errors import InvalidArgument
from lamina.formats.annotations import Annotations
from lamina.formats.media_types import OCI, MediaTypes
from lamina.formats.oci import Descriptor, dump_platform
from lamina.formats.platform import Platform


@dataclass(frozen=True, slots=True)
class PlatformManifest:
    """The manifest of an image, and the platform that the image is for.

    Attributes:
        descriptor: the descriptor of the manifest.
        platform: the platform; an index states none if its architecture is unknown.
    """

    descriptor: Descriptor
    platform: Platform


def dump_index(manifests: Sequence[PlatformManifest], annotations: Annotations = (), types: MediaTypes = OCI) -> bytes:
    """Return an image index as JSON; equal arguments give equal bytes.

    Args:
        manifests: the images in the order of the index. An engine that finds several for its platform takes the first.
        annotations: names and values that say more about all images; left out if ``types`` has none.
        types: the media types of the index.

    Raises:
        InvalidArgument: there is no image, or two images are for the same platform.

    """
    _check_platforms([manifest.platform for manifest in manifests])
    kept = annotations if types.has_annotations else ()
    document = {
        "schemaVersion": 2,
        "mediaType": types.index,
        "manifests": [_dump_entry(manifest, types) for manifest in manifests],
        **({"annotations": dict(kept)} if kept else {}),
    }
    return json.dumps(document, indent=2).encode()


def _check_platforms(platforms: Sequence[Platform]) -> None:
    if not platforms:
        raise InvalidArgument("image index", "no image", "at least one")
    known = [platform for platform in platforms if platform.architecture]
    for number, platform in enumerate(known):
        if platform in known[:number]:
            raise InvalidArgument("image index", f"two images for {platform}", "one for each platform")


def _dump_entry(manifest: PlatformManifest, types: MediaTypes) -> dict[str, object]:
    """Return the entry of a manifest: its descriptor with the platform."""
    descriptor = manifest.descriptor if types.has_annotations else replace(manifest.descriptor, annotations=())
    platform = dump_platform(manifest.platform)
    return descriptor.dump() | ({"platform": platform} if platform else {})
