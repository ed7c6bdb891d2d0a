"""The model of an index of images that exists, in a file, a folder or a registry (OCI image-spec, "Image Index").

The ``index.json`` of an OCI layout is the layout's table of contents, and no such index.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lamina.core.labels import shorten_digest
from lamina.core.names import Digest
from lamina.formats.annotations import read_annotations
from lamina.formats.json_toml import parse_json
from lamina.formats.oci import Descriptor
from lamina.formats.platform import Platform
from lamina.images.readers.oci_manifests import is_attestation
from lamina.layers.layer import StoredBlob


class IndexStorage(Protocol):
    """The place that an index was read from: a layout, an archive, or a repository of a registry."""

    def read_manifest(self, descriptor: Descriptor) -> bytes | None:
        """Return a manifest or an index that is listed; None if it is missing. Raises `Error` if it is damaged."""

    def lacks_manifest(self, descriptor: Descriptor) -> bool:
        """Return whether a manifest or an index that is listed is known to be missing, without reading it."""

    def find_blob(self, descriptor: Descriptor) -> StoredBlob | None:
        """Return a blob that a manifest refers to; None if it is missing. Raises `Error` if its size is wrong."""


@dataclass(frozen=True, slots=True)
class IndexedManifest:
    """An entry of an index: a manifest, or an index in it. Only the media type is sure to be there.

    Attributes:
        media_type: its type.
        digest: its digest; an empty text if none is stated.
        size: its size in bytes.
        platform: the platform that the index states for it, which may be empty.
        annotations: names and values that say more about it.
        is_attestation: whether it is an attestation of another manifest, as BuildKit writes them.
    """

    media_type: str
    digest: str
    size: int
    platform: Platform
    annotations: Mapping[str, str] = field(hash=False)
    is_attestation: bool

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> IndexedManifest:
        """Return what an entry of an index states; values of another type than the specification's are left out."""
        media_type, digest, size = (value.get(key) for key in ("mediaType", "digest", "size"))
        platform, annotations = (_get_object(value, key) for key in ("platform", "annotations"))
        return cls(
            media_type if isinstance(media_type, str) else "",
            digest if isinstance(digest, str) else "",
            size if isinstance(size, int) else 0,
            Platform.from_document(platform),
            {key: text for key, text in annotations.items() if isinstance(text, str)},
            is_attestation(value),
        )


@dataclass(frozen=True, slots=True)
class ImageIndex:
    """An index of images, as it is stored.

    Attributes:
        descriptor: its media type, digest and size.
        document: its bytes.
        storage: the place that it was read from, where the manifests are that it lists.
        repo_tags: the names as NAME:TAG.
        tags: the names in an OCI layout that are not NAME:TAG.
    """

    descriptor: Descriptor
    document: bytes = field(repr=False)
    storage: IndexStorage = field(repr=False, compare=False)
    repo_tags: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def __repr__(self) -> str:
        names = " ".join((*self.repo_tags[:1], shorten_digest(self.digest)))
        return f"<ImageIndex {names}: {', '.join(map(str, self.platforms))}>"

    @property
    def name(self) -> str:
        """Its first name; its digest if it has none."""
        return next(iter((*self.repo_tags, *self.tags)), str(self.digest))

    @property
    def digest(self) -> Digest:
        """The digest of its bytes."""
        return self.descriptor.digest

    @property
    def annotations(self) -> dict[str, str]:
        """Its annotations."""
        return read_annotations(self.document)

    @property
    def manifests(self) -> tuple[IndexedManifest, ...]:
        """All that it lists, in its order: images, attestations, indexes in it, and others."""
        listed = _get_list(parse_json(self.document, str(self.digest)), "manifests")
        return tuple(IndexedManifest.parse(value) for value in listed if isinstance(value, dict))

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """The platforms that it states for its images, each once."""
        stated = (listed.platform for listed in self.manifests if not listed.is_attestation)
        return tuple(dict.fromkeys(platform for platform in stated if platform.architecture))


def _get_object(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _get_list(document: Any, key: str) -> list[Any]:
    found = document.get(key) if isinstance(document, dict) else None
    return found if isinstance(found, list) else []
