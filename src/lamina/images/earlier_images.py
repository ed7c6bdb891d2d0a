"""Read from its manifest alone how an image in a registry describes its layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from lamina.compression.compressors import LayerCompression
from lamina.core.names import Digest
from lamina.errors import FormatError, IntegrityError, error_context
from lamina.formats.json_toml import parse_json
from lamina.formats.layer_annotations import LayerStatement
from lamina.formats.oci import Descriptor, parse_layers
from lamina.formats.registry_references import RegistryReference
from lamina.images.readers.oci_manifests import INDEXES, IndexReader
from lamina.layer_cache.cache import LayerCache
from lamina.registry.connection import RegistryConnection
from lamina.registry.manifests import StoredManifest, get_manifest
from lamina.system.threads import ThreadPool
from lamina.system.transfer import BlobInfo

# The most images of an index that are read, and how many of them at a time.
_MAX_PLATFORMS = 16
_THREADS = 4


@dataclass(frozen=True, slots=True)
class PlatformLayers:
    """The layers of the image for one platform, which is empty if the manifest is not listed in an index."""

    platform: str
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class EarlierImage:
    """An image that a registry has.

    Attributes:
        reference: its name.
        digest: the digest of its manifest or index.
        platforms: the layers of its images.
        digests: the digests of all layers.
    """

    reference: RegistryReference
    digest: Digest
    platforms: tuple[PlatformLayers, ...]
    digests: frozenset[Digest]

    def list_blobs(self, platform: str) -> tuple[BlobInfo, ...] | None:
        """Return the blobs of the layers for ``platform``, or None if it has no image for that."""
        for found in self.platforms:
            if found.platform in ("", platform):
                return tuple(BlobInfo(layer.digest, layer.size) for layer in found.layers)
        return None

    def state_layers(self, layer_cache: LayerCache, compression: LayerCompression) -> None:
        """Tell the layer cache what the image states about layers that are compressed as ``compression`` says."""
        for found in self.platforms:
            for layer in found.layers:
                statement = LayerStatement.find(layer)
                if statement and statement.compression == str(compression):
                    plain = BlobInfo(statement.diff_id, statement.size)
                    blob = BlobInfo(layer.digest, layer.size)
                    layer_cache.add_statement(statement.key, plain, compression.identity, blob)


def read_earlier_image(
    connection: RegistryConnection, reference: RegistryReference, *, is_optional: bool = False
) -> EarlierImage | None:
    """Return the image that ``reference`` names, or None if there is none.

    With ``is_optional``, a manifest that is too long, or may not be read (HTTP 403), counts as missing.

    Raises:
        FormatError: a manifest is invalid.
        IntegrityError: a manifest has another digest than the registry states.
        RegistryError: the registry failed.
        AuthError: the registry refuses the credentials, or wants some.

    """
    stored = get_manifest(connection, reference.target, is_optional=is_optional)
    if stored is None:
        return None
    if stored.descriptor.media_type in INDEXES:
        platforms = tuple(_read_index(connection, stored, str(reference), is_optional=is_optional))
    else:
        platforms = (PlatformLayers("", parse_layers(stored.document, str(reference))),)
    digests = frozenset(layer.digest for found in platforms for layer in found.layers)
    return EarlierImage(reference, stored.descriptor.digest, platforms, digests)


def _read_index(
    connection: RegistryConnection, stored: StoredManifest, subject: str, *, is_optional: bool
) -> Iterator[PlatformLayers]:
    """Yield the images of an index; others of its manifests are left out, such as attestations."""

    def find(descriptor: Descriptor) -> StoredManifest | None:
        return get_manifest(connection, str(descriptor.digest), is_optional=is_optional)

    def find_index(descriptor: Descriptor) -> Any:
        nested = find(descriptor)
        return parse_json(nested.document, subject) if nested else None

    listed = IndexReader(find_index).read_entries(parse_json(stored.document, subject), subject)
    with error_context(subject, FormatError, IntegrityError):
        entries = list(islice(listed, _MAX_PLATFORMS))
    with ThreadPool(_THREADS, "lamina-earlier") as pool:
        manifests = pool.map(find, [entry.descriptor for entry in entries])
    for entry, manifest in zip(entries, manifests, strict=True):
        if manifest:
            yield PlatformLayers(str(entry.platform), parse_layers(manifest.document, subject))
