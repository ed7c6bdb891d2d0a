"""Store manifests and indexes in the repositories of a push (OCI distribution-spec 1.1, "Pushing Manifests").

The manifests of an image index are stored by digest first, in all repositories. The index is stored last, under the
tags, so a reader of a tag sees the old index or the new one, whose images are all there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from lamina.core.names import Digest
from lamina.formats.oci import Descriptor
from lamina.formats.referrers import AttachedDocument, Referrer
from lamina.images.registry_destination import RegistryDestination
from lamina.registry.manifests import UnknownBlobError, put_manifest
from lamina.registry.referrers import attach_documents

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


def attach_to_image(
    destination: RegistryDestination, document: bytes, subject: Descriptor, attached: Sequence[AttachedDocument]
) -> tuple[Referrer, ...]:
    """Store the manifest of an image by its digest, and attach documents to it; return those of the first repository.

    Call it before a tag names the image, so that no tag names an image without its documents. Some registries refuse a
    document about an image that they do not have.

    Args:
        destination: the repositories.
        document: the manifest.
        subject: its descriptor.
        attached: the documents.

    Raises:
        Error: what `put_under_digest` and `attach_documents` raise.

    """
    put_under_digest(destination, document, subject.media_type)
    listed = [attach_documents(repository.connection, subject, attached) for repository in destination.repositories]
    return listed[0]


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
