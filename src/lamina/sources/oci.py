"""The images of an OCI layout, by its ``index.json``.

Invariant: every blob is as long as its descriptor says and has the digest that it says.

OCI image-spec, "Image Layout", "Image Index", "Image Manifest". Docker's own media types are taken too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lamina.errors import FormatError, IntegrityError, InvalidName, shown
from lamina.formats.oci import (
    CONFIG_TYPE,
    FULL_NAME,
    INDEX,
    INDEX_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    REF_NAME,
    blob_name,
    familiar_name,
)
from lamina.names import Digest, Reference
from lamina.sources.blobs import Blobs, digest, item, texts
from lamina.sources.image import SourceImage

_MOST_NESTED = 4
_MOST_MANIFESTS = 1000

_OCI, _DOCKER = "application/vnd.oci.image.", "application/vnd.docker."
_INDEXES = {INDEX_TYPE, f"{_DOCKER}distribution.manifest.list.v2+json"}
_MANIFESTS = {MANIFEST_TYPE, f"{_DOCKER}distribution.manifest.v2+json"}
_CONFIGS = {CONFIG_TYPE, f"{_DOCKER}container.image.v1+json"}
_ABSENT = {
    *(f"{_OCI}layer.nondistributable.v1.tar{ending}" for ending in ("", "+gzip", "+zstd")),
    *(f"{_DOCKER}image.rootfs.foreign.diff.tar{ending}" for ending in ("", ".gzip", ".zstd")),
}
_LAYERS = {
    *(f"{LAYER_TYPE}{ending}" for ending in ("", "+gzip", "+zstd")),
    *(f"{_DOCKER}image.rootfs.diff.tar{ending}" for ending in ("", ".gzip", ".zstd")),
    *_ABSENT,
}


@dataclass(frozen=True, slots=True)
class _Descriptor:
    media_type: str
    digest: Digest
    size: int
    tags: tuple[str, ...]
    is_attestation: bool

    @property
    def blob(self) -> str:
        return blob_name(self.digest)


def oci_images(blobs: Blobs) -> tuple[SourceImage, ...]:
    """The images that the index leads to, in its order, each once with all its names; attestations are left out.

    A manifest of another platform may be missing, as where an engine saved what it had. Raises `FormatError`,
    `IntegrityError`.
    """
    found: dict[Digest, SourceImage] = {}
    skipped: list[str] = []
    for manifest in _manifests(blobs, blobs.document(INDEX).value, INDEX, 0):
        tags = manifest.tags
        known = found.get(manifest.digest)
        if known:
            tags = tuple(dict.fromkeys((*known.repo_tags, *tags)))
            found[manifest.digest] = replace(known, repo_tags=tags)
        elif len(found) + len(skipped) >= _MOST_MANIFESTS:
            raise FormatError(f"{INDEX}: got more than {_MOST_MANIFESTS} manifests, expected fewer")
        elif not blobs.has(manifest.blob):
            skipped.append(f"no {manifest.blob}")
        else:
            image = _image(blobs, manifest)
            if image:
                found[manifest.digest] = image
            else:
                skipped.append(f"{manifest.blob}, which is no image's")
    if not found:
        raise FormatError(f"{INDEX}: got {', '.join(skipped[:3]) or 'no manifest'}, expected an image's manifest")
    return tuple(found.values())


def _manifests(blobs: Blobs, index: Any, where: str, depth: int) -> Iterator[_Descriptor]:
    manifests = item(index, where, "manifests")
    if not isinstance(manifests, list):
        raise FormatError(f"{where}: manifests: got {shown(manifests)}, expected a list of descriptors")
    for value in manifests:
        descriptor = _descriptor(value, f"{where}: manifests")
        if descriptor.is_attestation:
            continue
        if descriptor.media_type in _MANIFESTS:
            yield descriptor
        elif descriptor.media_type not in _INDEXES:
            raise FormatError(
                f"{where}: got media type {shown(descriptor.media_type)}, expected an image's manifest or an index"
            )
        elif depth >= _MOST_NESTED:
            raise FormatError(f"{where}: got indexes in indexes, expected at most {_MOST_NESTED} levels")
        elif blobs.has(descriptor.blob):
            nested = _document(blobs, descriptor)
            for manifest in _manifests(blobs, nested, descriptor.blob, depth + 1):
                yield replace(manifest, tags=manifest.tags or descriptor.tags)


def _image(blobs: Blobs, descriptor: _Descriptor) -> SourceImage | None:
    """The image of a manifest, None where the manifest is that of something else, a signature for instance."""
    manifest = _document(blobs, descriptor)
    config = _descriptor(item(manifest, descriptor.blob, "config"), f"{descriptor.blob}: config")
    if config.media_type not in _CONFIGS:
        return None
    listed = item(manifest, descriptor.blob, "layers")
    if not isinstance(listed, list):
        raise FormatError(f"{descriptor.blob}: layers: got {shown(listed)}, expected a list of descriptors")
    layers = [_descriptor(value, f"{descriptor.blob}: layers") for value in listed]
    for layer in layers:
        if layer.media_type not in _LAYERS:
            raise FormatError(
                f"{descriptor.blob}: got a layer of media type {shown(layer.media_type)}, expected a tar's"
            )
        if layer.media_type in _ABSENT and not blobs.has(layer.blob):
            raise FormatError(
                f"{layer.blob}: got a layer that may not be distributed and is not there, expected its bytes"
            )
        _check_size(blobs, layer)
    _check_size(blobs, config)
    return blobs.image(config.blob, descriptor.tags, [layer.blob for layer in layers])


def _document(blobs: Blobs, descriptor: _Descriptor) -> Any:
    _check_size(blobs, descriptor)
    document = blobs.document(descriptor.blob)
    if document.digest != descriptor.digest:
        raise IntegrityError(f"{descriptor.blob}: got {document.digest}, expected the digest in its name")
    return document.value


def _check_size(blobs: Blobs, descriptor: _Descriptor) -> None:
    length = blobs.find(descriptor.blob).length
    if length != descriptor.size:
        raise IntegrityError(f"{descriptor.blob}: got {length} bytes, expected {descriptor.size}")


def _descriptor(value: Any, where: str) -> _Descriptor:
    (media_type, text) = texts(where, [item(value, where, "mediaType"), item(value, where, "digest")])
    size = item(value, where, "size")
    if not isinstance(size, int) or isinstance(size, bool):
        raise FormatError(f"{where}: got size {shown(size)}, expected a number of bytes")
    annotations, platform = _object(value, "annotations"), _object(value, "platform")
    unknown = (platform.get("os"), platform.get("architecture")) == ("unknown", "unknown")
    is_attestation = unknown or annotations.get("vnd.docker.reference.type") == "attestation-manifest"
    return _Descriptor(media_type, digest(text), size, _tags(annotations), is_attestation)


def _object(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _tags(annotations: Mapping[str, Any]) -> tuple[str, ...]:
    """The image's name as docker shows it: containerd's full one, or else OCI's; that may be a tag alone, then none."""
    for key in (FULL_NAME, REF_NAME):
        text = annotations.get(key)
        if isinstance(text, str):
            try:
                return (str(familiar_name(Reference.parse(text))),)
            except InvalidName:
                continue
    return ()
