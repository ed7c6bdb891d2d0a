"""Parse indexes and manifests of images, in an OCI layout or in a registry.

An index may list more than images: signatures (cosign, DSSE), attestations of BuildKit and in-toto, software bills of
materials, Helm charts and other artifacts. Some of them are image manifests with the config of an image. A manifest is
that of an image if it has no artifact type, its config has the media type of an image, and its layers are tars. All
other manifests are skipped.

The formats are those of OCI image-spec, "Image Index", "Image Manifest". Docker's own media types are also accepted.
Programs in Go write an empty list as ``null``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lamina.core.names import Digest, ImageReference
from lamina.errors import FormatError, InvalidArgument
from lamina.formats.image_names import familiar_name
from lamina.formats.json_toml import name_type
from lamina.formats.media_types import MEDIA_TYPES
from lamina.formats.oci import FULL_NAME, LAYER_TYPE, REF_NAME, Descriptor, blob_path, is_size
from lamina.formats.platform import Platform
from lamina.images.readers.documents import get_field, parse_digest, parse_list, parse_strings
from lamina.messages.redaction import short_repr

MAX_NESTING = 4
"""How many levels of indexes in indexes are read."""
MAX_DESCRIPTORS = 20_000
"""How many manifests an index may list, with those of the indexes in it."""
_MAX_REPORTED = 3

_DOCKER = "application/vnd.docker."
INDEXES = frozenset(types.index for types in MEDIA_TYPES.values())
"""The media types of indexes."""
MANIFESTS = frozenset(types.manifest for types in MEDIA_TYPES.values())
"""The media types of manifests."""
_CONFIGS = {types.config for types in MEDIA_TYPES.values()}
_DOCKER_LAYER = f"{_DOCKER}image.rootfs."
_ENDINGS = [
    (types, ending)
    for types in MEDIA_TYPES.values()
    for ending in ("", *(f"{types.separator}{codec}" for codec in ("gzip", "zstd")))
]
FOREIGN_LAYERS = frozenset(f"{types.foreign_layer}{ending}" for types, ending in _ENDINGS)
"""The media types of layers that a registry or a layout need not have."""
_LAYERS = {*(f"{types.layer}{ending}" for types, ending in _ENDINGS), *FOREIGN_LAYERS}
# Digests with other algorithms than SHA-256 (OCI image-spec, "Digests").
_OTHER_DIGEST = re.compile(r"(?!sha256:)([a-z0-9]+(?:[+._-][a-z0-9]+)*):[A-Za-z0-9=_-]+")
_MAX_DIGEST_LENGTH = 256
_ATTESTATION_PLATFORM = Platform("unknown", "unknown")


@dataclass(frozen=True, slots=True)
class ListedManifest:
    """A manifest that is listed in an index.

    Attributes:
        descriptor: its media type, digest and size.
        repo_tags: the names as NAME:TAG that the index states.
        tags: the other names that the index states.
        platform: the platform that the index states.
        index: the entry of the index that lists it, if that is nested in another one; of several, the outermost.
    """

    descriptor: Descriptor
    repo_tags: tuple[str, ...]
    tags: tuple[str, ...]
    platform: Platform
    index: ListedManifest | None = None


@dataclass(frozen=True, slots=True)
class ImageManifest:
    """The config and the layers that the manifest of an image refers to.

    Attributes:
        config: the descriptor of the config.
        layers: the descriptors of the layers, from the lowest up.
    """

    config: Descriptor
    layers: tuple[Descriptor, ...]


class IndexReader:
    """Walks through an index and the indexes nested in it.

    Args:
        find_index: returns the parsed index of a descriptor, or None if it is missing.

    Attributes:
        skipped: the reason for each manifest that is not read.

    """

    def __init__(self, find_index: Callable[[Descriptor], Any]) -> None:
        self.skipped: list[str] = []
        self._find_index = find_index
        # Prevents a nested index from being read twice under the same names.
        self._seen: set[tuple[Digest, tuple[str, ...]]] = set()
        self._count = 0

    def read_entries(self, index: Any, subject: str, depth: int = 0) -> Iterator[ListedManifest]:
        """Yield the manifests that may be images, in order. Raises `FormatError` and `IntegrityError`."""
        for value in parse_list(f"{subject}: manifests", get_field(index, subject, "manifests")):
            self._count += 1
            if self._count > MAX_DESCRIPTORS:
                raise FormatError(subject, f"more than {MAX_DESCRIPTORS} manifests", "fewer")
            media_type = get_field(value, f"{subject}: manifests", "mediaType")
            if not isinstance(media_type, str) or media_type not in MANIFESTS | INDEXES:
                self.skipped.append(f"media type {short_repr(media_type)}")
                continue
            if is_attestation(value):
                self.skipped.append("an attestation")
            elif other := _find_other_algorithm(value):
                self.skipped.append(f"a manifest with a {other} digest, which is not supported")
            elif media_type in MANIFESTS:
                yield _parse_entry(value, f"{subject}: manifests")
            else:
                yield from self._read_nested(_parse_entry(value, f"{subject}: manifests"), subject, depth)

    def describe_skipped(self) -> str:
        """Return what the index lists instead of images."""
        return "; ".join(self.skipped[:_MAX_REPORTED]) or "no manifest"

    def _read_nested(self, entry: ListedManifest, subject: str, depth: int) -> Iterator[ListedManifest]:
        names = (*entry.repo_tags, *entry.tags)
        if depth >= MAX_NESTING:
            raise FormatError(subject, "indexes in indexes", f"at most {MAX_NESTING} levels")
        if (entry.descriptor.digest, names) in self._seen:
            return
        self._seen.add((entry.descriptor.digest, names))
        name = blob_path(entry.descriptor.digest)
        index = self._find_index(entry.descriptor)
        if index is None:
            self.skipped.append(f"no {name}")
            return
        for nested in self.read_entries(index, name, depth + 1):
            is_named = nested.repo_tags or nested.tags
            named = nested if is_named else replace(nested, repo_tags=entry.repo_tags, tags=entry.tags)
            yield replace(named, index=entry)


def find_mismatch(manifest: Any, subject: str) -> str:
    """Return the property that shows that a manifest is not that of an image, or an empty string if it is."""
    if not isinstance(manifest, dict):
        raise FormatError(subject, name_type(manifest), "an object with config and layers")
    if manifest.get("artifactType") not in (None, "", *_CONFIGS):
        return f"the artifact type {short_repr(manifest['artifactType'])}"
    if manifest.get("config") is None:
        return "no config"
    config_type = get_field(manifest["config"], f"{subject}: config", "mediaType")
    if not isinstance(config_type, str) or config_type not in _CONFIGS:
        return f"a config of media type {short_repr(config_type)}"
    listed = parse_list(f"{subject}: layers", manifest.get("layers"))
    types = [get_field(value, f"{subject}: layers", "mediaType") for value in listed]
    others = [kind for kind in types if not _is_layer_type(kind)]
    if others:
        return f"a layer of media type {short_repr(others[0])}"
    parts = [("config", manifest["config"]), *(("layer", value) for value in listed)]
    found = ((part, _find_other_algorithm(value)) for part, value in parts)
    return next((f"a {part} with a {other} digest, which is not supported" for part, other in found if other), "")


def parse_image_manifest(manifest: Mapping[str, Any], subject: str) -> ImageManifest:
    """Parse the manifest of an image, for which `find_mismatch` found nothing. Raises `FormatError`."""
    config = parse_descriptor(manifest["config"], f"{subject}: config")
    listed = parse_list(f"{subject}: layers", manifest.get("layers"))
    layers = tuple(parse_descriptor(value, f"{subject}: layers") for value in listed)
    for layer in layers:
        if layer.media_type not in _LAYERS:
            raise FormatError(
                subject, f"a layer of media type {short_repr(layer.media_type)}", "the media type of a tar"
            )
    return ImageManifest(config, layers)


def _find_other_algorithm(descriptor: Any) -> str:
    """Return the algorithm of a valid digest that lamina cannot check, or "" for SHA-256 and for an invalid digest."""
    text = descriptor.get("digest") if isinstance(descriptor, dict) else None
    match = _OTHER_DIGEST.fullmatch(text) if isinstance(text, str) and len(text) <= _MAX_DIGEST_LENGTH else None
    return match[1] if match else ""


def _is_layer_type(kind: Any) -> bool:
    """Return whether ``kind`` is a media type of image layers, in any compression, supported or not."""
    return isinstance(kind, str) and (kind in _LAYERS or kind.startswith((LAYER_TYPE, _DOCKER_LAYER)))


def parse_descriptor(value: Any, subject: str) -> Descriptor:
    """Parse a descriptor, without its annotations. Raises `FormatError`, which names ``subject``."""
    (media_type, text) = parse_strings(
        subject, [get_field(value, subject, "mediaType"), get_field(value, subject, "digest")]
    )
    size = get_field(value, subject, "size")
    if not is_size(size):
        raise FormatError(subject, f"size {short_repr(size)}", "a number of bytes")
    return Descriptor(media_type, parse_digest(text, subject), size)


def _parse_entry(value: Mapping[str, Any], subject: str) -> ListedManifest:
    repo_tags, tags = _parse_names(_get_object(value, "annotations"))
    platform = Platform.from_document(_get_object(value, "platform"))
    return ListedManifest(parse_descriptor(value, subject), repo_tags, tags, platform)


def is_attestation(value: Mapping[str, Any]) -> bool:
    """Return whether an entry of an index is that of an attestation by BuildKit, and not that of an image."""
    if Platform.from_document(_get_object(value, "platform")) == _ATTESTATION_PLATFORM:
        return True
    return _get_object(value, "annotations").get("vnd.docker.reference.type") == "attestation-manifest"


def _get_object(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    field_value = value.get(key)
    return field_value if isinstance(field_value, dict) else {}


def _parse_names(annotations: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the image's names as docker shows them, and its other names, which do not have the form NAME:TAG.

    containerd's annotation contains the full name. OCI's may contain the full name, a bare tag, or any other text.
    """
    full, name = annotations.get(FULL_NAME), annotations.get(REF_NAME)
    familiar = _parse_familiar_name(full) or _parse_familiar_name(name)
    is_bare = isinstance(name, str) and name and not _parse_familiar_name(name)
    return (familiar,) if familiar else (), (str(name),) if is_bare else ()


def _parse_familiar_name(text: Any) -> str:
    """Return the reference ``text`` as docker shows it, or an empty string if it is not an image reference."""
    if not isinstance(text, str):
        return ""
    try:
        return str(familiar_name(ImageReference.parse(text)))
    except InvalidArgument:
        return ""
