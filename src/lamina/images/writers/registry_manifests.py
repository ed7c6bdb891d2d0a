"""Store manifests and indexes in the repositories of a push (OCI distribution-spec 1.1, "Pushing Manifests").

The manifests of an image index are stored by digest first, in all repositories. The index is stored last, under the
tags, so a reader of a tag sees the old index or the new one, whose images are all there.
"""

from __future__ import annotations

import hashlib

from lamina.core.names import Digest
from lamina.images.registry_destination import RegistryDestination
from lamina.registry.manifests import UnknownBlobError, put_manifest

UNKNOWN_BLOB_HINT = "the registry said that it has all blobs; its storage or its cache is damaged, ask its operator"


def put_under_digest(destination: RegistryDestination, document: bytes, media_type: str) -> tuple[str, ...]:
    """Store a manifest in all repositories without a tag, and return its references, one for each repository.

    Raises:
        UnknownBlobError: a registry lacks something that the manifest names.
        IntegrityError: a registry stored something else.
        RegistryError: a registry refuses the manifest, or failed.
        AuthError: a registry refuses the credentials, or wants some.

    """
    digest = Digest(hashlib.sha256(document).digest())
    for repository in destination.repositories:
        put_manifest(repository.connection, str(digest), document, media_type)
    return tuple(str(repository.references[0].with_digest(digest)) for repository in destination.repositories)


def put_under_tags(destination: RegistryDestination, document: bytes, media_type: str) -> tuple[str, ...]:
    """Store a manifest or an index under all tags that do not name it yet, and return its references, one for each tag.

    Raises what `put_under_digest` raises.
    """
    digest = Digest(hashlib.sha256(document).digest())
    for repository in destination.repositories:
        for reference in repository.references:
            earlier = repository.earlier.get(reference.tag)
            if earlier is None or earlier.digest != digest:
                put_manifest(repository.connection, reference.tag, document, media_type)
    return tuple(f"{reference}@{digest}" for reference in destination.references)


def publish_index(destination: RegistryDestination, document: bytes, media_type: str) -> tuple[str, ...]:
    """Store an index under all tags, after its manifests; return its references as ``HOST/NAME:TAG@sha256:HEX``.

    Args:
        destination: the repositories and their tags. Each repository has all manifests that the index names.
        document: the index as JSON.
        media_type: its media type.

    Raises:
        IntegrityError: a registry stored something else.
        RegistryError: a registry refuses the index, or failed.
        AuthError: a registry refuses the credentials, or wants some.

    """
    try:
        return put_under_tags(destination, document, media_type)
    except UnknownBlobError as error:
        raise error.error.add_hint(UNKNOWN_BLOB_HINT) from None
