"""Select which entries of an OCI layout's index are kept, and find the blobs that a document refers to.

The formats are those of OCI image-spec 1.1, "Image Index", "Image Manifest" and "Annotations", and cosign's tags for
the artifacts that it attaches to an image.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from lamina.core.names import ImageReference
from lamina.errors import FormatError, InvalidArgument, NotFound
from lamina.formats.image_names import canonical_name, familiar_name
from lamina.formats.oci import FULL_NAME, INDEX, REF_NAME
from lamina.messages.redaction import join_names, short_repr

_DIGEST = re.compile(r"(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})")
# A signature, attestation or SBOM that cosign attaches: the digest of the image with "-" in place of ":", and a suffix.
_ATTACHED_TAG = re.compile(r"(sha256)-([0-9a-f]{64})(?:\.\w+)?")


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """An entry of an index.

    Attributes:
        digest: the digest of the manifest, as ``sha256:HEX``.
        repository: the name of the image; empty if only a tag is known, or nothing.
        tag: the tag of the image; empty if it has none.
        item: the entry as JSON.

    """

    digest: str
    repository: str
    tag: str
    item: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, item: object) -> IndexEntry:
        """Parse an entry; raise `FormatError` if it has no digest."""
        if not isinstance(item, Mapping):
            raise FormatError(INDEX, short_repr(item), "an object for each manifest")
        annotations = item.get("annotations")
        annotations = annotations if isinstance(annotations, Mapping) else {}
        full, tag = (str(annotations.get(name) or "") for name in (FULL_NAME, REF_NAME))
        for text in filter(None, (full, tag if ":" in tag else "")):
            try:
                name = familiar_name(ImageReference.parse(text))
            except InvalidArgument:
                continue
            return cls(parse_digest(item), name.repository, name.tag, item)
        return cls(parse_digest(item), "", tag or full, item)

    @property
    def name(self) -> str:
        """``NAME:TAG``, or only the tag, or the digest of an image without a name."""
        return ":".join(filter(None, (self.repository, self.tag))) or self.digest

    def matches(self, pattern: str) -> bool:
        """Return whether ``pattern`` is the tag, ``NAME:TAG`` or the digest, or matches one as a shell would."""
        names = (self.tag, self.name, self.digest)
        same_name = bool(self.repository) and ":" in pattern and canonical_name(pattern) == canonical_name(self.name)
        return same_name or any(name and fnmatchcase(name, pattern) for name in names)


def parse_digest(descriptor: object) -> str:
    """Return the digest of a descriptor; raise `FormatError` if it has none."""
    digest = descriptor.get("digest") if isinstance(descriptor, Mapping) else None
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise FormatError("descriptor", short_repr(digest), "a digest such as sha256:HEX")
    return digest


def select_entries(
    entries: Sequence[IndexEntry], patterns: Collection[str], keep_last: int | None
) -> frozenset[IndexEntry]:
    """Return the entries that are kept: those that a pattern matches, and the last ones of each name.

    Without patterns and without ``keep_last``, all entries are kept.

    Args:
        entries: the entries of an index, in its order, in which the image written last is the last.
        patterns: tags, names and digests, with the wildcards of a shell.
        keep_last: how many of the last written tags of each name are kept.

    Raises:
        NotFound: a pattern matches no entry.

    """
    if not patterns and keep_last is None:
        return frozenset(entries)
    kept: set[IndexEntry] = set()
    for pattern in patterns:
        matching = {entry for entry in entries if entry.matches(pattern)}
        if not matching:
            names = join_names(list(dict.fromkeys(entry.name for entry in entries)))
            raise NotFound(short_repr(pattern), "no image that it matches", f"one of {names}")
        kept |= matching
    tags: dict[str, list[str]] = {}
    for entry in reversed(entries):
        tag = entry.tag or entry.digest
        found = tags.setdefault(entry.repository, [])
        if tag not in found and not _ATTACHED_TAG.fullmatch(tag):
            found.append(tag)
    last = {(name, tag) for name, newest in tags.items() for tag in newest[: keep_last or 0]}
    return frozenset(kept | {entry for entry in entries if (entry.repository, entry.tag or entry.digest) in last})


def find_attached(entry: IndexEntry, manifest: Mapping[str, Any]) -> str | None:
    """Return the digest of the manifest that ``entry`` is attached to, such as a signature, or None.

    Args:
        entry: an entry of the index.
        manifest: the document that it refers to.

    """
    subject = manifest.get("subject")
    if isinstance(subject, Mapping):
        return parse_digest(subject)
    attached = _ATTACHED_TAG.fullmatch(entry.tag)
    return f"{attached[1]}:{attached[2]}" if attached else None


def list_blobs(document: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yield the digest of each blob that a manifest or index refers to, and whether the blob refers to others."""
    for key in ("manifests", "layers", "blobs"):
        value = document.get(key) or ()
        if not isinstance(value, Iterable) or isinstance(value, str | Mapping):
            raise FormatError(key, short_repr(value), "a list of descriptors")
        yield from ((parse_digest(item), key == "manifests") for item in value)
    if document.get("config") is not None:
        yield parse_digest(document["config"]), False
