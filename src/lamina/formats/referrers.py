"""Documents about an image that a registry keeps beside it, and lists of them.

A document is a layer of a manifest that names the image as its ``subject``: a referrer of the image (OCI image-spec
1.1, "Image Manifest" and "Guidelines for Artifact Usage"). An image index lists the referrers of an image: as the
answer of a registry, or under a tag that follows from the image's digest (OCI distribution-spec 1.1, "Listing
Referrers" and "Referrers Tag Schema").

Referrers that lamina makes have an annotation, ``lamina.document``, with the kind of the document.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from lamina.core.names import Digest
from lamina.errors import FormatError, InvalidArgument
from lamina.formats.annotations import TITLE, Annotations
from lamina.formats.json_toml import name_type, parse_json
from lamina.formats.oci import INDEX_TYPE, MANIFEST_TYPE, Descriptor, is_size

DocumentKind = Literal["sbom", "provenance"]
KIND = "lamina.document"
"""The annotation with the kind of the document."""
EMPTY_JSON = b"{}"
EMPTY = Descriptor.of("application/vnd.oci.empty.v1+json", EMPTY_JSON)
"""The descriptor of `EMPTY_JSON`, which is the config of a manifest that needs none."""


@dataclass(frozen=True, slots=True, repr=False)
class AttachedDocument:
    """A document about an image.

    Attributes:
        kind: what the document is.
        media_type: its media type, which is also the type of the artifact.
        content: its bytes.
        file_name: the name that a program gives it that fetches it, such as oras.
        annotations: what its manifest says about it, sorted.
    """

    kind: DocumentKind
    media_type: str
    content: bytes
    file_name: str
    annotations: Annotations = ()

    def __repr__(self) -> str:
        return f"<AttachedDocument {self.kind}: {self.media_type}, {len(self.content)} bytes>"

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of its bytes."""
        return Descriptor.of(self.media_type, self.content, ((TITLE, self.file_name),))

    def refer_to(self, subject: Descriptor) -> tuple[bytes, Referrer]:
        """Return the manifest that attaches the document to an image, and the entry that lists it.

        Equal documents give equal manifests.

        Args:
            subject: the manifest of the image.

        """
        annotations = tuple(sorted({**dict(self.annotations), KIND: self.kind}.items()))
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": self.media_type,
            "config": EMPTY.dump(),
            "layers": [self.descriptor.dump()],
            "subject": Descriptor(subject.media_type, subject.digest, subject.size).dump(),
            "annotations": dict(annotations),
        }
        document = json.dumps(manifest, indent=2).encode()
        # The list repeats the annotations of the manifest (distribution-spec 1.1, "Pushing Manifests with Subject").
        return document, Referrer(Descriptor.of(MANIFEST_TYPE, document, annotations), self.media_type)


@dataclass(frozen=True, slots=True)
class Referrer:
    """A manifest that names an image as its subject.

    Attributes:
        descriptor: the manifest, with its annotations.
        artifact_type: the type of what it holds, such as ``application/spdx+json``; empty if it is not stated.
    """

    descriptor: Descriptor
    artifact_type: str

    @property
    def digest(self) -> Digest:
        """The digest of the manifest."""
        return self.descriptor.digest

    @property
    def kind(self) -> str:
        """The kind of a document that lamina attached; empty for all others."""
        return dict(self.descriptor.annotations).get(KIND, "")

    def dump(self) -> dict[str, Any]:
        """Return the entry that lists it, as a JSON object."""
        return {**self.descriptor.dump(), **({"artifactType": self.artifact_type} if self.artifact_type else {})}


def make_referrers_tag(digest: Digest) -> str:
    """Return the tag under which a registry without the referrers API has the list for an image."""
    return f"sha256-{digest.hex}"


def parse_referrers(index: bytes, subject: str) -> tuple[Referrer, ...]:
    """Return the referrers that an image index lists, in its order. Entries without a digest in SHA-256 are left out.

    Args:
        index: the image index.
        subject: the start of an error message.

    Raises:
        FormatError: ``index`` is not an image index.

    """
    found = (_parse_referrer(entry) for entry in _parse_index(index, subject)["manifests"])
    return tuple(referrer for referrer in found if referrer)


def add_referrer(existing: bytes | None, referrer: Referrer, subject: str) -> bytes:
    """Return a list of referrers that has ``referrer``.

    It takes the place of an entry for the same manifest, or for a document of lamina of the same kind and type. All
    other entries stay as they are. A list that has the entry already is returned unchanged.

    Args:
        existing: the list, an image index; None for an empty one.
        referrer: the new entry.
        subject: the start of an error message.

    Raises:
        FormatError: ``existing`` is not an image index.

    """
    empty: dict[str, Any] = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": []}
    index = empty if existing is None else _parse_index(existing, subject)
    entry, listed = referrer.dump(), index["manifests"]
    replaced = [number for number, item in enumerate(listed) if _is_replaced(item, referrer)]
    if existing is not None and [listed[number] for number in replaced] == [entry]:
        return existing
    position = replaced[0] if replaced else len(listed)
    kept = [item for number, item in enumerate(listed) if number not in replaced]
    return json.dumps({**index, "manifests": [*kept[:position], entry, *kept[position:]]}, indent=2).encode()


def _is_replaced(item: object, new: Referrer) -> bool:
    old = _parse_referrer(item)
    if old is None:
        return False
    return old.digest == new.digest or bool(new.kind and (old.kind, old.artifact_type) == (new.kind, new.artifact_type))


def _parse_index(index: bytes, subject: str) -> dict[str, Any]:
    document = parse_json(index, subject)
    if not isinstance(document, dict):
        raise FormatError(subject, name_type(document), "an image index")
    if document.get("mediaType", INDEX_TYPE) != INDEX_TYPE or not isinstance(document.get("manifests"), list):
        raise FormatError(subject, "an object that is no image index", "an image index of referrers")
    return document


def _parse_referrer(entry: object) -> Referrer | None:
    match entry:
        case {"mediaType": str(media_type), "digest": str(digest), "size": size, **more} if is_size(size):
            try:
                parsed = Digest.parse_oci(digest)
            except InvalidArgument:
                return None
            described = Descriptor(media_type, parsed, size, _parse_annotations(more.get("annotations")))
            artifact_type = more.get("artifactType")
            return Referrer(described, artifact_type if isinstance(artifact_type, str) else "")
    return None


def _parse_annotations(found: object) -> Annotations:
    items = found.items() if isinstance(found, dict) else ()
    return tuple(sorted((key, value) for key, value in items if isinstance(value, str)))
