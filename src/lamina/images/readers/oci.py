"""Read the images of an OCI layout, as listed in its ``index.json`` (OCI image-spec, "Image Layout").

`lamina.images.readers.oci_manifests` says which of the manifests there are images.

Invariant: every blob of an image has the size and the digest of its descriptor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from lamina.core.names import Digest
from lamina.errors import FormatError, IntegrityError
from lamina.formats.image_names import canonical_name
from lamina.formats.oci import INDEX, Descriptor, blob_path
from lamina.images.readers.blobs import Blobs, read_checked
from lamina.images.readers.documents import JsonDocument
from lamina.images.readers.image_index import ImageIndex
from lamina.images.readers.oci_manifests import (
    FOREIGN_LAYERS,
    IndexReader,
    ListedManifest,
    find_mismatch,
    parse_image_manifest,
)
from lamina.images.readers.source_image import SourceImage
from lamina.layers.layer import StoredBlob
from lamina.messages.redaction import short_repr
from lamina.system.transfer import BlobInfo

_MAX_MANIFESTS = 1000


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
    nested = _NestedIndexes(blobs)
    reader = IndexReader(nested.read)
    images_by_digest: dict[Digest, SourceImage | None] = {}
    repo_tags: dict[Digest, dict[str, None]] = {}
    tags: dict[Digest, dict[str, None]] = {}
    entries = reader.read_entries(blobs.read_document(INDEX).value, INDEX)
    for entry in entries if name is None else _select_entries(list(entries), name):
        key = entry.descriptor.digest
        if key not in images_by_digest:
            if len(images_by_digest) >= _MAX_MANIFESTS:
                raise FormatError(INDEX, f"more than {_MAX_MANIFESTS} manifests", "fewer")
            images_by_digest[key] = _read_image(blobs, reader, entry)
        repo_tags.setdefault(key, {}).update(dict.fromkeys(entry.repo_tags))
        tags.setdefault(key, {}).update(dict.fromkeys(entry.tags))
        nested.add(entry)
    indexes = nested.group()
    images = tuple(
        replace(image, repo_tags=tuple(repo_tags[key]), tags=tuple(tags[key]), indexes=indexes.get(key, ()))
        for key, image in images_by_digest.items()
        if image
    )
    if not images and not allow_empty:
        raise FormatError(INDEX, reader.describe_skipped(), "the manifest of an image")
    return images


class _NestedIndexes:
    """The indexes nested in that of a layout, with all their names."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._documents: dict[Digest, bytes] = {}
        self._listed: dict[Digest, ListedManifest] = {}
        self._repo_tags: dict[Digest, dict[str, None]] = {}
        self._tags: dict[Digest, dict[str, None]] = {}
        self._by_manifest: dict[Digest, dict[Digest, None]] = {}

    def read(self, index: Descriptor) -> Any:
        """Return the parsed index of a descriptor, or None if it is missing."""
        if not self._blobs.has(blob_path(index.digest)):
            return None
        document = _read_document(self._blobs, index)
        self._documents[index.digest] = document.text
        return document.value

    def add(self, entry: ListedManifest) -> None:
        """Remember the index that lists a manifest, if there is one."""
        if listed := entry.index:
            digest = listed.descriptor.digest
            self._listed[digest] = listed
            self._repo_tags.setdefault(digest, {}).update(dict.fromkeys(listed.repo_tags))
            self._tags.setdefault(digest, {}).update(dict.fromkeys(listed.tags))
            self._by_manifest.setdefault(entry.descriptor.digest, {})[digest] = None

    def group(self) -> dict[Digest, tuple[ImageIndex, ...]]:
        """Return the indexes that list each manifest."""
        found = {
            digest: ImageIndex(
                listed.descriptor,
                self._documents[digest],
                _LayoutStorage(self._blobs),
                tuple(self._repo_tags[digest]),
                tuple(self._tags[digest]),
            )
            for digest, listed in self._listed.items()
        }
        return {key: tuple(found[digest] for digest in digests) for key, digests in self._by_manifest.items()}


class _LayoutStorage:
    """The manifests and the blobs of a layout, for an index in it."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def read_manifest(self, descriptor: Descriptor) -> bytes | None:
        """Return a manifest or an index; None if it is missing. Raises `FormatError` and `IntegrityError`."""
        return _read_document(self._blobs, descriptor).text if self._blobs.has(blob_path(descriptor.digest)) else None

    def lacks_manifest(self, descriptor: Descriptor) -> bool:
        """Return whether a manifest or an index is missing."""
        return not self._blobs.has(blob_path(descriptor.digest))

    def find_blob(self, descriptor: Descriptor) -> StoredBlob | None:
        """Return a blob; None if it is missing. Raises `IntegrityError` if its size is wrong."""
        name = blob_path(descriptor.digest)
        if not self._blobs.has(name):
            return None
        _check_size(self._blobs, descriptor)
        read = partial(read_checked, self._blobs.find(name), descriptor.digest, name)
        return StoredBlob(descriptor, BlobInfo(descriptor.digest, descriptor.size), read)


def _select_entries(entries: Sequence[ListedManifest], name: str) -> Sequence[ListedManifest]:
    """Return the entries of the images that have ``name``, in any spelling; all entries if there is none."""
    wanted = canonical_name(name)
    found = {
        entry.descriptor.digest
        for entry in entries
        if name in entry.tags or wanted in map(canonical_name, entry.repo_tags)
    }
    return [entry for entry in entries if entry.descriptor.digest in found] if found else entries


def _read_image(blobs: Blobs, reader: IndexReader, entry: ListedManifest) -> SourceImage | None:
    """Return the image of a manifest; None if the manifest is missing, or describes a signature or other artifact."""
    subject = blob_path(entry.descriptor.digest)
    if not blobs.has(subject):
        reader.skipped.append(f"no {subject}")
        return None
    document = _read_document(blobs, entry.descriptor)
    if other := find_mismatch(document.value, subject):
        reader.skipped.append(f"{subject}, which is not an image because it has {other}")
        return None
    manifest = parse_image_manifest(document.value, subject)
    config = _read_document(blobs, manifest.config).value
    if not isinstance(config, dict) or "rootfs" not in config:
        reader.skipped.append(f"{subject}, which is not an image: got config {short_repr(config)}, without rootfs")
        return None
    for layer in manifest.layers:
        if layer.media_type in FOREIGN_LAYERS and not blobs.has(blob_path(layer.digest)):
            raise FormatError(blob_path(layer.digest), "a non-distributable layer that is missing", "its bytes")
        _check_size(blobs, layer)
    names = [blob_path(layer.digest) for layer in manifest.layers]
    image = blobs.read_image(blob_path(manifest.config.digest), names, index_platform=entry.platform)
    return replace(image, manifest_json=document.text)


def _read_document(blobs: Blobs, descriptor: Descriptor) -> JsonDocument:
    _check_size(blobs, descriptor)
    name = blob_path(descriptor.digest)
    document = blobs.read_document(name)
    if document.digest != descriptor.digest:
        raise IntegrityError(name, document.digest, "the digest in its name")
    return document


def _check_size(blobs: Blobs, descriptor: Descriptor) -> None:
    name = blob_path(descriptor.digest)
    length = blobs.find(name).length
    if length != descriptor.size:
        raise IntegrityError(name, f"{length} bytes", descriptor.size)
