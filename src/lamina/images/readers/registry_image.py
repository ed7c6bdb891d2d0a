"""Read what a registry says of an image: its manifest and its config. No layer is read.

The store paths of a layer are those in the image's history, where lamina and nixpkgs' dockerTools list them.

Invariant: every document has the size and the digest of its descriptor. What it says of the layers is not checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lamina.core.callbacks import ignore
from lamina.core.names import Digest, ImageReference
from lamina.errors import FormatError, IntegrityError, PlanError, RegistryError, error_context
from lamina.formats.docker import list_layer_paths
from lamina.formats.image_names import familiar_name
from lamina.formats.oci import Descriptor
from lamina.formats.platform import NO_PLATFORM, Platform
from lamina.formats.registry_references import RegistryReference
from lamina.images.readers.documents import MAX_DOCUMENT_SIZE, DocumentParser, parse_diff_ids
from lamina.images.readers.image_index import ImageIndex
from lamina.images.readers.oci_manifests import (
    INDEXES,
    MANIFESTS,
    IndexReader,
    ListedManifest,
    find_mismatch,
    parse_image_manifest,
)
from lamina.images.readers.select import PLATFORM_HINT, select_by_platform
from lamina.images.readers.source_image import InspectedImage, InspectedLayer
from lamina.layers.layer import StoredBlob
from lamina.messages.redaction import short_repr
from lamina.registry.blobs import find_blob, read_blob
from lamina.registry.connection import RegistryConnection
from lamina.registry.manifests import StoredManifest, get_manifest
from lamina.system.threads import ThreadPool
from lamina.system.transfer import BlobInfo

_MAX_IMAGES = 200
_THREADS = 4
_EXPECTED = "an image, or an index of images"


@dataclass(frozen=True, slots=True, repr=False)
class RegistryLayer(InspectedLayer):
    """A layer of an image in a registry.

    Attributes:
        descriptor: the media type, digest and size of its blob.
    """

    descriptor: Descriptor


@dataclass(frozen=True, slots=True, repr=False)
class RegistryImage(InspectedImage):
    """An image in a registry, of which only the manifest and the config were read.

    Attributes:
        layers: the layers, from the lowest up.
        reference: the reference that it was found by.
        manifest: the manifest as the registry has it.
        config_descriptor: the media type, digest and size of the config.
    """

    layers: tuple[RegistryLayer, ...]
    reference: RegistryReference = field(kw_only=True)
    manifest: StoredManifest = field(kw_only=True, repr=False)
    config_descriptor: Descriptor = field(kw_only=True)

    @property
    def full_name(self) -> str:
        """The name that it was found by, with its registry; the digest only if there is no tag."""
        reference = self.reference
        return str(replace(reference, digest=None) if reference.tag else reference)

    @property
    def manifest_bytes(self) -> bytes:
        """The manifest as the registry has it."""
        return self.manifest.document


def name_image(reference: RegistryReference, image_id: Digest) -> ImageReference:
    """Return the name of a fetched image, as docker shows it: without a tag, the beginning of the image ID is one."""
    return _name_tag(reference, reference.tag or image_id.hex[:32])


def _list_names(reference: RegistryReference) -> tuple[str, ...]:
    """Return the name of what ``reference`` names, as docker shows it; none without a tag."""
    return (str(_name_tag(reference, reference.tag)),) if reference.tag else ()


def _name_tag(reference: RegistryReference, tag: str) -> ImageReference:
    return familiar_name(ImageReference.parse(f"{reference.name}:{tag}"))


def read_registry_images(
    connection: RegistryConnection,
    reference: RegistryReference,
    platform: Platform | None = None,
    choose_platform: Callable[[Sequence[Platform]], Platform | None] = ignore,
    platform_hint: str = PLATFORM_HINT,
    warn: Callable[[str], object] | None = None,
) -> tuple[RegistryImage, ...]:
    """Return the images of a reference: one, or one for each platform of an index, in its order.

    Args:
        connection: the repository of ``reference``.
        reference: the reference.
        platform: return only the best match for this platform.
        choose_platform: takes the platforms that an index lists, and returns one of them, or None for all; it is called
            if ``platform`` is None and the reference is that of an index.
        platform_hint: the hint of the error if no image is for the platform.
        warn: is called with a message for each image that the index lists and the registry lacks; None if that is an
            error.

    Raises:
        RegistryError: the registry has no such image, lacks one that the index lists, or failed.
        AuthError: the registry refuses the credentials, or wants some.
        FormatError: a document is not valid, or describes no image.
        IntegrityError: a document does not match its digest.
        PlanError: no image is for ``platform``.

    """
    stored = get_manifest(connection, reference.target)
    if stored is None:
        raise make_missing_error(reference)
    # The documents are named by their digests in messages, which say nothing to the user.
    with error_context(reference, FormatError, IntegrityError):
        return _read_images(connection, reference, stored, platform, choose_platform, platform_hint, warn)


def _read_images(
    connection: RegistryConnection,
    reference: RegistryReference,
    stored: StoredManifest,
    platform: Platform | None,
    choose_platform: Callable[[Sequence[Platform]], Platform | None],
    platform_hint: str,
    warn: Callable[[str], object] | None,
) -> tuple[RegistryImage, ...]:
    reader = _RegistryReader(connection, reference, platform_hint)
    if stored.descriptor.media_type in INDEXES:
        return reader.read_index(stored, platform, choose_platform, warn)
    if stored.descriptor.media_type not in MANIFESTS:
        raise FormatError(reference, f"a manifest of media type {short_repr(stored.descriptor.media_type)}", _EXPECTED)
    image = reader.read_image(stored, NO_PLATFORM)
    if image is None:
        raise FormatError(reference, reader.index.describe_skipped(), _EXPECTED)
    return select_by_platform([image], platform, reference, platform_hint) if platform else (image,)


def make_missing_error(reference: RegistryReference) -> RegistryError:
    """Return the error for an image that its registry lacks."""
    hint = "check the name and the tag; some registries say this of images that need a login"
    return RegistryError(reference, "no such image", "one in the registry", hint=hint)


class _RegistryReader:
    """Reads the documents of images over one connection; safe for many threads but for `read_index`."""

    def __init__(self, connection: RegistryConnection, reference: RegistryReference, platform_hint: str) -> None:
        self.index = IndexReader(self._find_index)
        self._connection = connection
        self._reference = reference
        self._platform_hint = platform_hint
        self._parser = DocumentParser()
        self._indexes: tuple[ImageIndex, ...] = ()

    def read_index(
        self,
        stored: StoredManifest,
        platform: Platform | None,
        choose_platform: Callable[[Sequence[Platform]], Platform | None],
        warn: Callable[[str], object] | None,
    ) -> tuple[RegistryImage, ...]:
        document = self._parse(str(self._reference), stored.document)
        self._indexes = (ImageIndex(stored.descriptor, stored.document, self, _list_names(self._reference)),)
        listed = {entry.descriptor.digest: entry for entry in self.index.read_entries(document, str(self._reference))}
        entries = list(listed.values())
        platform = platform or choose_platform(list(dict.fromkeys(entry.platform for entry in entries)))
        if platform and all(entry.platform.architecture for entry in entries):
            entries = self._select(entries, platform)
        if len(entries) > _MAX_IMAGES:
            raise FormatError(self._reference, f"{len(entries)} images", f"at most {_MAX_IMAGES}")
        with ThreadPool(_THREADS, "lamina-inspect") as pool:
            read = pool.map(self._read_entry, entries)
        images = tuple(image for image in read if isinstance(image, RegistryImage))
        for error in (error for error in read if isinstance(error, RegistryError)):
            if warn is None or not images:
                raise error
            warn(str(error))
        if not images:
            raise FormatError(self._reference, self.index.describe_skipped(), _EXPECTED)
        return select_by_platform(images, platform, self._reference, self._platform_hint) if platform else images

    def _select(self, entries: Sequence[ListedManifest], platform: Platform) -> list[ListedManifest]:
        """Return the best match for ``platform``, so that no other manifest has to be read."""
        ranked = [(rank, entry) for entry in entries if (rank := entry.platform.match_rank(platform)) is not None]
        if not ranked:
            offered = ", ".join(dict.fromkeys(str(entry.platform) for entry in entries)) or "no platform"
            raise PlanError(self._reference, f"images for {offered}", f"one for {platform}", hint=self._platform_hint)
        return [min(ranked, key=lambda pair: pair[0])[1]]

    def _read_entry(self, entry: ListedManifest) -> RegistryImage | RegistryError | None:
        """Return the image of an entry; an error if the registry lacks it; None for an artifact."""
        stored = self._find(entry.descriptor)
        if stored is None:
            listed = str(entry.platform) or "an image without a platform"
            got = f"an index that lists {listed}, but no manifest {entry.descriptor.digest}"
            hint = "push the image again, with all its platforms, or choose another one with --platform"
            return RegistryError(self._reference, got, "both in the registry", hint=hint)
        return self.read_image(stored, entry.platform)

    def read_image(self, stored: StoredManifest, index_platform: Platform) -> RegistryImage | None:
        """Return the image of a manifest; None if it describes a signature or another artifact."""
        subject = f"manifest {stored.descriptor.digest}"
        document = self._parse(subject, stored.document)
        if other := find_mismatch(document, subject):
            self.index.skipped.append(f"a manifest with {other}")
            return None
        manifest = parse_image_manifest(document, subject)
        self._parser.check_layer_count(subject, len(manifest.layers))
        text = self._read_config(manifest.config)
        config = self._parse(f"config {manifest.config.digest}", text)
        if not isinstance(config, dict) or "rootfs" not in config:
            self.index.skipped.append(f"a manifest whose config is {short_repr(config)}, without rootfs")
            return None
        digest = manifest.config.digest
        return RegistryImage(
            digest,
            _list_names(self._reference),
            text,
            config,
            self._make_layers(config, manifest.layers),
            index_platform=index_platform,
            indexes=self._indexes,
            reference=self._reference,
            manifest=stored,
            config_descriptor=manifest.config,
        )

    def _make_layers(self, config: dict[str, Any], layers: Sequence[Descriptor]) -> tuple[RegistryLayer, ...]:
        diff_ids = parse_diff_ids(config, "config", len(layers))
        paths = list_layer_paths(config, len(layers))
        return tuple(
            RegistryLayer(
                str(layer.digest),
                diff_id,
                layer.digest,
                layer.size,
                listed,
                (),
                layer,
            )
            for layer, diff_id, listed in zip(layers, diff_ids, paths, strict=True)
        )

    def _read_config(self, config: Descriptor) -> bytes:
        if not 0 <= config.size <= MAX_DOCUMENT_SIZE:
            raise FormatError(self._reference, f"a config of {config.size} bytes", f"at most {MAX_DOCUMENT_SIZE}")
        return b"".join(read_blob(self._connection, config.digest, config.size))

    def read_manifest(self, descriptor: Descriptor) -> bytes | None:
        """Return a manifest or an index; None if the registry lacks it."""
        self._parser.check_size(f"manifest {descriptor.digest}", descriptor.size)
        stored = self._find(descriptor)
        return stored.document if stored else None

    def lacks_manifest(self, descriptor: Descriptor) -> bool:
        """Return false: an image that the registry lacks is an error or a warning when it is read."""
        return False

    def find_blob(self, descriptor: Descriptor) -> StoredBlob | None:
        """Return a blob; None if the registry lacks it."""
        if not find_blob(self._connection, descriptor.digest):
            return None
        return _store_blob(
            descriptor, BlobInfo(descriptor.digest, descriptor.size), self._connection, self._reference.name
        )

    def _find_index(self, descriptor: Descriptor) -> Any:
        stored = self._find(descriptor)
        return self._parse(f"index {descriptor.digest}", stored.document) if stored else None

    def _find(self, descriptor: Descriptor) -> StoredManifest | None:
        stored = get_manifest(self._connection, str(descriptor.digest))
        if stored and stored.descriptor.size != descriptor.size:
            subject = f"manifest {descriptor.digest}"
            raise IntegrityError(subject, f"{stored.descriptor.size} bytes", descriptor.size)
        return stored

    def _parse(self, name: str, text: bytes) -> Any:
        self._parser.check_size(name, len(text))
        return self._parser.parse(name, text).value


def describe_registry_blob(layer: RegistryLayer, connection: RegistryConnection, repository: str) -> StoredBlob:
    """Return the blob of a layer, which ``connection`` reads from the repository ``HOST[:PORT]/NAME``.

    The size of the uncompressed tar is not known, so it is that of the blob.
    """
    return _store_blob(layer.descriptor, BlobInfo(layer.diff_id, layer.size), connection, repository)


def _store_blob(descriptor: Descriptor, plain: BlobInfo, connection: RegistryConnection, repository: str) -> StoredBlob:
    def read(start: int) -> Iterator[bytes]:
        return skip_bytes(read_blob(connection, descriptor.digest, descriptor.size), start)

    return StoredBlob(descriptor, plain, read, repository)


def skip_bytes(pieces: Iterable[bytes], count: int) -> Iterator[bytes]:
    """Yield what ``pieces`` have after the first ``count`` bytes."""
    for piece in pieces:
        if count < len(piece):
            yield piece[count:]
        count = max(0, count - len(piece))
