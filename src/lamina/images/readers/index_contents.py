"""Find all that an index lists, so that it can be copied as a whole: images, attestations, artifacts, other indexes.

An index may list less than a copy of it needs: an engine that pulled one platform keeps the index of all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lamina.core.names import Digest
from lamina.errors import FormatError
from lamina.formats.image_names import canonical_name
from lamina.formats.json_toml import parse_json
from lamina.formats.oci import Descriptor
from lamina.formats.platform import Platform
from lamina.images.readers.documents import get_field, parse_list
from lamina.images.readers.image_index import ImageIndex
from lamina.images.readers.index_checks import lacks_manifests
from lamina.images.readers.oci_manifests import (
    FOREIGN_LAYERS,
    INDEXES,
    MANIFESTS,
    MAX_DESCRIPTORS,
    MAX_NESTING,
    find_mismatch,
    is_attestation,
    parse_descriptor,
)
from lamina.images.readers.platforms import list_indexes
from lamina.images.readers.select import PLATFORM_HINT
from lamina.images.readers.source_image import InspectedImage
from lamina.layers.layer import StoredBlob
from lamina.messages.redaction import short_repr

_BLOB_LISTS = ("layers", "blobs")


@dataclass(frozen=True, slots=True)
class ListedDocument:
    """A manifest or an index that is listed in an index, and the blobs that it needs.

    Attributes:
        descriptor: its media type, digest and size.
        document: its bytes.
        blobs: its config and its layers; none for an index.
        is_image: whether it is the manifest of an image.
    """

    descriptor: Descriptor
    document: bytes = field(repr=False)
    blobs: tuple[StoredBlob, ...] = ()
    is_image: bool = False


@dataclass(frozen=True, slots=True)
class WholeIndex:
    """An index all of whose images are known.

    Attributes:
        index: the index.
        others: what it lists besides their manifests, such as attestations, in the order of `read_contents`.
    """

    index: ImageIndex
    others: tuple[ListedDocument, ...]


def find_whole_index(images: Sequence[InspectedImage], subject: object, name: str | None = None) -> WholeIndex | None:
    """Return the index whose images are ``images``; None if there is none, or if it lists images that they lack.

    Args:
        images: the images.
        subject: the name of the image in messages.
        name: the name by which the images were chosen; the index has to have it. None if there was none.

    Raises:
        FormatError: it lists something that is missing, and there are several images. An engine that pulled only one
            platform keeps the index of all, so that is no error if there is one image.
        Error: what else `read_contents` raises.

    """
    indexes = [index for index in list_indexes(images) if name is None or _is_called(index, name)]
    shared = [index for index in indexes if all(index in image.indexes for image in images)]
    if not shared:
        return None
    if len(images) == 1 and lacks_manifests(shared[0]):
        return None
    known = {digest for image in images if (digest := image.manifest_digest)}
    others = read_contents(shared[0], subject, known)
    configs = {image.digest for image in images}
    lacks_some = any(item.is_image and item.blobs[0].descriptor.digest not in configs for item in others)
    return None if lacks_some else WholeIndex(shared[0], others)


def _is_called(index: ImageIndex, name: str) -> bool:
    return name in index.tags or canonical_name(name) in map(canonical_name, index.repo_tags)


def read_contents(index: ImageIndex, subject: object, known: Collection[Digest] = ()) -> tuple[ListedDocument, ...]:
    """Return all that an index lists, each once, and whatever an index in it lists before that index.

    Args:
        index: the index.
        subject: the name of the image in messages.
        known: the digests of manifests that are left out.

    Raises:
        FormatError: a document is invalid or missing, or a manifest refers to a blob that is missing.
        IntegrityError: a document or a blob does not match its descriptor.
        RegistryError: the registry failed.
        AuthError: the registry refuses the credentials, or wants some.

    """
    reader = _ContentsReader(index, subject, known)
    return tuple(reader.read(parse_json(index.document, str(subject))))


class _ContentsReader:
    def __init__(self, index: ImageIndex, subject: object, known: Collection[Digest]) -> None:
        self._storage = index.storage
        self._subject = str(subject)
        self._seen = {index.digest, *known}
        self._count = 0

    def read(self, index: Any, depth: int = 0) -> Iterator[ListedDocument]:
        if depth >= MAX_NESTING:
            raise FormatError(self._subject, "indexes in indexes", f"at most {MAX_NESTING} levels")
        subject = f"{self._subject}: manifests"
        for value in parse_list(subject, get_field(index, self._subject, "manifests")):
            self._count += 1
            if self._count > MAX_DESCRIPTORS:
                raise FormatError(self._subject, f"more than {MAX_DESCRIPTORS} manifests", "fewer")
            descriptor = parse_descriptor(value, subject)
            if descriptor.digest not in self._seen:
                self._seen.add(descriptor.digest)
                yield from self._read_entry(descriptor, value, depth)

    def _read_entry(self, descriptor: Descriptor, value: dict[str, Any], depth: int) -> Iterator[ListedDocument]:
        subject = f"{self._subject}: manifest {descriptor.digest}"
        if descriptor.media_type not in INDEXES | MANIFESTS:
            got = f"the media type {short_repr(descriptor.media_type)}"
            raise FormatError(subject, got, "that of a manifest or an index", hint=PLATFORM_HINT)
        text = self._storage.read_manifest(descriptor)
        if text is None:
            stated = value.get("platform")
            listed = str(Platform.from_document(stated)) if isinstance(stated, dict) else ""
            got = f"an index that lists {listed or 'an image without a platform'}, but no manifest {descriptor.digest}"
            raise FormatError(self._subject, got, "both", hint="choose a platform that is there with --platform")
        document = parse_json(text, subject)
        if descriptor.media_type in INDEXES:
            yield from self.read(document, depth + 1)
            yield ListedDocument(descriptor, text)
        else:
            blobs = tuple(self._find_blobs(document, subject))
            is_image = not is_attestation(value) and not find_mismatch(document, subject)
            yield ListedDocument(descriptor, text, blobs, is_image)

    def _find_blobs(self, manifest: Any, subject: str) -> Iterator[StoredBlob]:
        if not isinstance(manifest, dict):
            raise FormatError(subject, short_repr(manifest), "the manifest of an image or an artifact")
        listed = [value for key in _BLOB_LISTS for value in parse_list(f"{subject}: {key}", manifest.get(key))]
        config = [manifest["config"]] if manifest.get("config") is not None else []
        for descriptor in dict.fromkeys(parse_descriptor(value, subject) for value in (*config, *listed)):
            if blob := self._storage.find_blob(descriptor):
                yield blob
            elif descriptor.media_type not in FOREIGN_LAYERS:
                raise FormatError(subject, f"no blob {descriptor.digest}", "all blobs of the manifest")
