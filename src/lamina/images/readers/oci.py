"""Read the images of an OCI layout, as listed in its ``index.json``.

A layout may contain more than images: signatures (cosign, DSSE), attestations of BuildKit and in-toto, software bills
of materials, Helm charts and other artifacts. Some of them are image manifests with the config of an image. A manifest
is read as an image if it has no artifact type, its config has the media type of an image, and its layers are tars. All
other manifests are skipped.

The formats are those of OCI image-spec, "Image Layout", "Image Index", "Image Manifest". Docker's own media types are
also accepted. Programs in Go write an empty list as ``null``.

Invariant: every blob of an image has the size and the digest of its descriptor.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lamina.core.names import Digest, ImageReference
from lamina.errors import FormatError, IntegrityError, InvalidArgument
from lamina.formats.image_names import canonical_name, familiar_name
from lamina.formats.oci import (
    CONFIG_TYPE,
    FULL_NAME,
    INDEX,
    INDEX_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    REF_NAME,
    blob_path,
)
from lamina.formats.platform import Platform
from lamina.images.readers.blobs import Blobs, get_field, parse_digest, parse_list, parse_strings
from lamina.images.readers.source_image import SourceImage
from lamina.messages.redaction import short_repr

_MAX_NESTING = 4
_MAX_MANIFESTS = 1000
_MAX_DESCRIPTORS = 20_000
_MAX_REPORTED = 3

_OCI, _DOCKER = "application/vnd.oci.image.", "application/vnd.docker."
_INDEXES = {INDEX_TYPE, f"{_DOCKER}distribution.manifest.list.v2+json"}
_MANIFESTS = {MANIFEST_TYPE, f"{_DOCKER}distribution.manifest.v2+json"}
_CONFIGS = {CONFIG_TYPE, f"{_DOCKER}container.image.v1+json"}
_DOCKER_LAYER = f"{_DOCKER}image.rootfs."
_FOREIGN_LAYERS = {
    *(f"{_OCI}layer.nondistributable.v1.tar{ending}" for ending in ("", "+gzip", "+zstd")),
    *(f"{_DOCKER_LAYER}foreign.diff.tar{ending}" for ending in ("", ".gzip", ".zstd")),
}
_LAYERS = {
    *(f"{LAYER_TYPE}{ending}" for ending in ("", "+gzip", "+zstd")),
    *(f"{_DOCKER_LAYER}diff.tar{ending}" for ending in ("", ".gzip", ".zstd")),
    *_FOREIGN_LAYERS,
}
# Digests with other algorithms than SHA-256 (OCI image-spec, "Digests").
_OTHER_DIGEST = re.compile(r"(?!sha256:)([a-z0-9]+(?:[+._-][a-z0-9]+)*):[A-Za-z0-9=_-]+")
_MAX_DIGEST_LENGTH = 256
_NO_PLATFORM = Platform("unknown", "unknown")


@dataclass(frozen=True, slots=True)
class _BlobDescriptor:
    media_type: str
    digest: Digest
    size: int

    @property
    def blob(self) -> str:
        return blob_path(self.digest)


@dataclass(frozen=True, slots=True)
class _IndexEntry:
    """A manifest that is listed in an index, with the names and the platform that the index states."""

    descriptor: _BlobDescriptor
    repo_tags: tuple[str, ...]
    tags: tuple[str, ...]
    platform: Platform


@dataclass(slots=True)
class _IndexReader:
    """Walks through an index and the indexes nested in it.

    ``skipped`` is the reason for each manifest that is not read. ``seen`` prevents a nested index from being read twice
    under the same names. ``count`` is the number of descriptors.
    """

    blobs: Blobs
    skipped: list[str] = field(default_factory=list)
    seen: set[tuple[Digest, tuple[str, ...]]] = field(default_factory=set)
    count: int = 0

    def read_entries(self, index: Any, subject: str, depth: int = 0) -> Iterator[_IndexEntry]:
        """Yield the manifests that may be images, in order. Raises `FormatError` and `IntegrityError`."""
        for value in parse_list(f"{subject}: manifests", get_field(index, subject, "manifests")):
            self.count += 1
            if self.count > _MAX_DESCRIPTORS:
                raise FormatError(subject, f"more than {_MAX_DESCRIPTORS} manifests", "fewer")
            media_type = get_field(value, f"{subject}: manifests", "mediaType")
            if not isinstance(media_type, str) or media_type not in _MANIFESTS | _INDEXES:
                self.skipped.append(f"media type {short_repr(media_type)}")
                continue
            if _is_attestation(value):
                self.skipped.append("an attestation")
            elif other := _find_other_algorithm(value):
                self.skipped.append(f"a digest of {other}")
            elif media_type in _MANIFESTS:
                yield _parse_entry(value, f"{subject}: manifests")
            else:
                yield from self._read_nested(_parse_entry(value, f"{subject}: manifests"), subject, depth)

    def _read_nested(self, entry: _IndexEntry, subject: str, depth: int) -> Iterator[_IndexEntry]:
        names = (*entry.repo_tags, *entry.tags)
        if depth >= _MAX_NESTING:
            raise FormatError(subject, "indexes in indexes", f"at most {_MAX_NESTING} levels")
        if (entry.descriptor.digest, names) in self.seen:
            return
        self.seen.add((entry.descriptor.digest, names))
        if not self.blobs.has(entry.descriptor.blob):
            self.skipped.append(f"no {entry.descriptor.blob}")
            return
        for nested in self.read_entries(_read_document(self.blobs, entry.descriptor), entry.descriptor.blob, depth + 1):
            is_named = nested.repo_tags or nested.tags
            yield nested if is_named else replace(nested, repo_tags=entry.repo_tags, tags=entry.tags)


def read_oci_images(blobs: Blobs, *, allow_empty: bool = False, name: str | None = None) -> tuple[SourceImage, ...]:
    """Return the images of the index, in its order, each once with all its names.

    Manifests that the index lists may be missing: an engine that pulled one platform saves the index of all platforms.

    Args:
        blobs: the blobs of the layout.
        allow_empty: return no image if there is none.
        name: read only the images of this name; all images if the index has no such name, which may then be an ID.

    Raises:
        FormatError: a document is invalid, or there is no image and ``allow_empty`` is false.
        IntegrityError: a blob does not match its descriptor.

    """
    reader = _IndexReader(blobs)
    images_by_digest: dict[Digest, SourceImage | None] = {}
    repo_tags: dict[Digest, dict[str, None]] = {}
    tags: dict[Digest, dict[str, None]] = {}
    entries = reader.read_entries(blobs.read_document(INDEX).value, INDEX)
    for entry in entries if name is None else _select_entries(list(entries), name):
        key = entry.descriptor.digest
        if key not in images_by_digest:
            if len(images_by_digest) >= _MAX_MANIFESTS:
                raise FormatError(INDEX, f"more than {_MAX_MANIFESTS} manifests", "fewer")
            images_by_digest[key] = _read_image(reader, entry)
        repo_tags.setdefault(key, {}).update(dict.fromkeys(entry.repo_tags))
        tags.setdefault(key, {}).update(dict.fromkeys(entry.tags))
    images = tuple(
        replace(image, repo_tags=tuple(repo_tags[key]), tags=tuple(tags[key]))
        for key, image in images_by_digest.items()
        if image
    )
    if not images and not allow_empty:
        got = "; ".join(reader.skipped[:_MAX_REPORTED]) or "no manifest"
        raise FormatError(INDEX, got, "the manifest of an image")
    return images


def _select_entries(entries: Sequence[_IndexEntry], name: str) -> Sequence[_IndexEntry]:
    """Return the entries of the images that have ``name``, in any spelling; all entries if there is none."""
    wanted = canonical_name(name)
    found = {
        entry.descriptor.digest
        for entry in entries
        if name in entry.tags or wanted in map(canonical_name, entry.repo_tags)
    }
    return [entry for entry in entries if entry.descriptor.digest in found] if found else entries


def _read_image(reader: _IndexReader, entry: _IndexEntry) -> SourceImage | None:
    """Return the image of a manifest; None if the manifest is missing, or describes a signature or other artifact."""
    blobs, descriptor = reader.blobs, entry.descriptor
    if not blobs.has(descriptor.blob):
        reader.skipped.append(f"no {descriptor.blob}")
        return None
    manifest = _read_document(blobs, descriptor)
    if not isinstance(manifest, dict):
        raise FormatError(descriptor.blob, short_repr(manifest), "an object with config and layers")
    other = _find_mismatch(manifest, descriptor.blob)
    if other:
        reader.skipped.append(f"{descriptor.blob}, which is not an image because it has {other}")
        return None
    config = _parse_descriptor(manifest["config"], f"{descriptor.blob}: config")
    document = _read_document(blobs, config)
    if not isinstance(document, dict) or "rootfs" not in document:
        reader.skipped.append(
            f"{descriptor.blob}, which is not an image: got config {short_repr(document)}, without rootfs"
        )
        return None
    listed = parse_list(f"{descriptor.blob}: layers", manifest.get("layers"))
    layers = [_parse_descriptor(value, f"{descriptor.blob}: layers") for value in listed]
    for layer in layers:
        _check_layer(blobs, layer, descriptor.blob)
    return blobs.read_image(config.blob, [layer.blob for layer in layers], index_platform=entry.platform)


def _find_mismatch(manifest: Mapping[str, Any], subject: str) -> str:
    """Return the property that shows that a manifest is not that of an image, or an empty string if it is."""
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
    algorithm = next(filter(None, map(_find_other_algorithm, (manifest["config"], *listed))), "")
    return f"a digest of {algorithm}" if algorithm else ""


def _find_other_algorithm(descriptor: Any) -> str:
    """Return the algorithm of a valid digest that lamina cannot check, or "" for SHA-256 and for an invalid digest."""
    text = descriptor.get("digest") if isinstance(descriptor, dict) else None
    match = _OTHER_DIGEST.fullmatch(text) if isinstance(text, str) and len(text) <= _MAX_DIGEST_LENGTH else None
    return match[1] if match else ""


def _is_layer_type(kind: Any) -> bool:
    """Return whether ``kind`` is a media type of image layers, in any compression, supported or not."""
    return isinstance(kind, str) and (kind in _LAYERS or kind.startswith((LAYER_TYPE, _DOCKER_LAYER)))


def _check_layer(blobs: Blobs, layer: _BlobDescriptor, subject: str) -> None:
    if layer.media_type not in _LAYERS:
        raise FormatError(subject, f"a layer of media type {short_repr(layer.media_type)}", "the media type of a tar")
    if layer.media_type in _FOREIGN_LAYERS and not blobs.has(layer.blob):
        raise FormatError(layer.blob, "a non-distributable layer that is missing", "its bytes")
    _check_size(blobs, layer)


def _read_document(blobs: Blobs, descriptor: _BlobDescriptor) -> Any:
    _check_size(blobs, descriptor)
    document = blobs.read_document(descriptor.blob)
    if document.digest != descriptor.digest:
        raise IntegrityError(descriptor.blob, document.digest, "the digest in its name")
    return document.value


def _check_size(blobs: Blobs, descriptor: _BlobDescriptor) -> None:
    length = blobs.find(descriptor.blob).length
    if length != descriptor.size:
        raise IntegrityError(descriptor.blob, f"{length} bytes", descriptor.size)


def _parse_descriptor(value: Any, subject: str) -> _BlobDescriptor:
    (media_type, text) = parse_strings(
        subject, [get_field(value, subject, "mediaType"), get_field(value, subject, "digest")]
    )
    size = get_field(value, subject, "size")
    if not isinstance(size, int) or isinstance(size, bool):
        raise FormatError(subject, f"size {short_repr(size)}", "a number of bytes")
    return _BlobDescriptor(media_type, parse_digest(text), size)


def _parse_entry(value: Mapping[str, Any], subject: str) -> _IndexEntry:
    repo_tags, tags = _parse_names(_get_object(value, "annotations"))
    return _IndexEntry(
        _parse_descriptor(value, subject), repo_tags, tags, Platform.from_document(_get_object(value, "platform"))
    )


def _is_attestation(value: Mapping[str, Any]) -> bool:
    if Platform.from_document(_get_object(value, "platform")) == _NO_PLATFORM:
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
