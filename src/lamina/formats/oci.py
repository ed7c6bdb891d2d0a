"""The JSON documents of an OCI image: the manifest, the index and the ``oci-layout`` file.

The formats are specified in the OCI image-spec 1.1, "Image Manifest", "Image Index", "Image Layout" and "Annotations".
The annotation for the full name of an image is the one that containerd and docker write.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lamina.core.names import Digest, ImageReference
from lamina.errors import FormatError, InvalidArgument
from lamina.formats.image_names import canonical_name, familiar_name, full_name
from lamina.formats.json_toml import name_type, parse_json
from lamina.formats.platform import LINUX, Platform
from lamina.messages.redaction import short_repr

INDEX = "index.json"
LAYOUT = "oci-layout"
LAYOUT_JSON = b'{"imageLayoutVersion": "1.0.0"}'
_IMAGE = "application/vnd.oci.image."
MANIFEST_TYPE = f"{_IMAGE}manifest.v1+json"
INDEX_TYPE = f"{_IMAGE}index.v1+json"
CONFIG_TYPE = f"{_IMAGE}config.v1+json"
LAYER_TYPE = f"{_IMAGE}layer.v1.tar"
FULL_NAME = "io.containerd.image.name"
REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference to a blob by digest (OCI image-spec, "Descriptor").

    Attributes:
        media_type: the type of the blob.
        digest: the digest of its bytes.
        size: their number.
        annotations: names and values that say more about it.
    """

    media_type: str
    digest: Digest
    size: int
    annotations: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, media_type: str, document: bytes, annotations: tuple[tuple[str, str], ...] = ()) -> Descriptor:
        """Return the descriptor of the bytes of a document."""
        return cls(media_type, Digest(hashlib.sha256(document).digest()), len(document), annotations)

    def dump(self) -> dict[str, Any]:
        """Return the descriptor as a JSON object."""
        described = {"annotations": dict(self.annotations)} if self.annotations else {}
        return {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size, **described}


def blob_path(digest: Digest) -> str:
    """Return the path of a blob in a layout."""
    return f"blobs/sha256/{digest.hex}"


def dump_manifest(
    config: Descriptor,
    layers: Sequence[Descriptor],
    annotations: Sequence[tuple[str, str]] = (),
    media_type: str = MANIFEST_TYPE,
) -> bytes:
    """Return the manifest of an image as JSON.

    Args:
        config: the descriptor of the config.
        layers: the descriptors of the layers, from the lowest up.
        annotations: names and values that say more about the image.
        media_type: the type of the manifest.

    """
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": config.dump(),
        "layers": [layer.dump() for layer in layers],
        **({"annotations": dict(annotations)} if annotations else {}),
    }
    return json.dumps(document, indent=2).encode()


def parse_layers(manifest: bytes, subject: str) -> tuple[Descriptor, ...]:
    """Return the layers of an image's manifest, from the lowest up.

    Args:
        manifest: the manifest as JSON.
        subject: the start of an error message.

    Raises:
        FormatError: the manifest is invalid.

    """
    document = parse_json(manifest, subject, "JSON, as in an OCI layout")
    match document:
        case {"layers": [*layers]} if all(map(_is_descriptor, layers)):
            return tuple(_parse_layer(item, subject) for item in layers)
    got = "an object without valid layers" if isinstance(document, dict) else name_type(document)
    raise FormatError(subject, got, "the manifest of an image, with layers")


def read_media_type(manifest: bytes) -> str:
    """Return the media type that a valid manifest states, or that of OCI: its manifests need not state it."""
    document = parse_json(manifest, "manifest")
    stated = document.get("mediaType") if isinstance(document, dict) else None
    return stated if isinstance(stated, str) else MANIFEST_TYPE


def _parse_layer(item: Mapping[str, Any], subject: str) -> Descriptor:
    """Return a layer's descriptor, with the annotations that are strings."""
    annotations = [
        (name, value)
        for name, value in _get_annotations(item).items()
        if isinstance(name, str) and isinstance(value, str)
    ]
    return Descriptor(item["mediaType"], _parse_digest(item, subject), item["size"], tuple(annotations))


def _is_descriptor(item: object) -> bool:
    match item:
        case {"mediaType": str(), "digest": str(), "size": size}:
            return is_size(size)
    return False


def is_size(value: object) -> bool:
    """Return whether ``value`` is a number of bytes, as in a descriptor."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _parse_digest(descriptor: Mapping[str, Any], subject: str) -> Digest:
    try:
        return Digest.parse_oci(descriptor["digest"])
    except InvalidArgument as error:
        raise error.convert(FormatError).add_context(subject) from error


@dataclass(frozen=True, slots=True)
class UpdatedIndex:
    """An index to which an image was added.

    Attributes:
        document: the index as JSON.
        renamed: the new names (NAME:TAG) of images that lost their tag to the new image.
        replaced: the digest of the manifest that had the same name and platform before; None if there was none.
    """

    document: bytes
    renamed: tuple[str, ...]
    replaced: Digest | None


def update_index(
    existing: bytes | None,
    manifest: Descriptor,
    reference: ImageReference,
    platform: Platform,
    *,
    keeps_platforms: bool = False,
) -> UpdatedIndex:
    """Add an image to an index, and replace the entry that has the same name.

    skopeo and podman select an image only by the annotation ``org.opencontainers.image.ref.name``, and take the first
    entry that has it. The image that is written last gets the bare tag. The annotation of an older image with the same
    tag is changed to NAME:TAG; other entries do not change.

    Args:
        existing: the index as JSON, or None to create one.
        manifest: the descriptor of the image's manifest; its annotations are kept beside those of the name.
        reference: the name of the image.
        platform: the platform of the image; it is left out of the entry if its architecture is unknown.
        keeps_platforms: whether entries of the same name for other platforms stay.

    Raises:
        FormatError: ``existing`` is not an index.

    """
    index = _parse_index(existing)
    dumped = dump_platform(platform)
    entry = manifest.dump() | {
        **({"platform": dumped} if dumped else {}),
        "annotations": {**dict(manifest.annotations), FULL_NAME: full_name(reference), REF_NAME: reference.tag},
    }
    listed = index["manifests"] or ()
    named = [item for item in listed if _is_named(item, reference)]
    siblings = [item for item in named if keeps_platforms and item.get("platform", dumped) != dumped]
    others = [item for item in listed if item not in named or item in siblings]
    renamed = [None if item in siblings else _without_tag(item, reference.tag) for item in others]
    kept = [new or item for new, item in zip(renamed, others, strict=True)]
    document = json.dumps({**index, "manifests": [*kept, entry]}, indent=2).encode()
    return UpdatedIndex(
        document,
        tuple(item["annotations"][REF_NAME] for item in renamed if item),
        _find_replaced(named, dumped),
    )


def dump_platform(platform: Platform) -> dict[str, str]:
    """Return the platform of an entry (OCI image-spec, "Image Index"), which is empty if it is not known."""
    if not platform.architecture:
        return {}
    variant = {"variant": platform.variant} if platform.variant else {}
    return {"architecture": platform.architecture, "os": platform.os or LINUX, **variant}


def _parse_index(existing: bytes | None) -> dict[str, Any]:
    if existing is None:
        return {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}
    index = parse_json(existing, INDEX, "JSON, as in an OCI layout")
    if not isinstance(index, dict) or not isinstance(index.get("manifests", 0), list | None):
        raise FormatError(INDEX, short_repr(index), "an object with manifests, as in an OCI layout")
    return index


def _is_named(item: object, reference: ImageReference) -> bool:
    annotations = _get_annotations(item)
    full, name = annotations.get(FULL_NAME), annotations.get(REF_NAME)
    if full is not None:
        return isinstance(full, str) and canonical_name(full) == full_name(reference)
    return isinstance(name, str) and (
        name == reference.tag or (":" in name and canonical_name(name) == full_name(reference))
    )


def _find_replaced(items: Sequence[Mapping[str, Any]], platform: Mapping[str, Any]) -> Digest | None:
    """Return the digest of the last of ``items`` for ``platform``. Some programs write no platform."""
    digests = [item.get("digest") for item in items if item.get("platform", platform) == platform]
    with contextlib.suppress(InvalidArgument):
        return Digest.parse_oci(str(digests[-1])) if digests else None
    return None


def _without_tag(item: object, tag: str) -> dict[str, Any] | None:
    """Return the entry with its NAME:TAG in place of ``tag``, or None if it is not annotated with the bare tag."""
    annotations = _get_annotations(item)
    full = annotations.get(FULL_NAME)
    if not isinstance(item, dict) or annotations.get(REF_NAME) != tag or not isinstance(full, str):
        return None
    try:
        name = str(familiar_name(ImageReference.parse(full)))
    except InvalidArgument:
        name = full
    return {**item, "annotations": {**annotations, REF_NAME: name}}


def _get_annotations(item: object) -> Mapping[str, Any]:
    annotations = item.get("annotations") if isinstance(item, dict) else None
    return annotations if isinstance(annotations, dict) else {}
