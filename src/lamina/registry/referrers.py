"""Attach documents to images, and list what is attached (OCI distribution-spec 1.1, "Listing Referrers").

A registry with the referrers API lists each manifest that has a subject. For any other, the list is an image index
under a tag that follows from the image's digest ("Referrers Tag Schema"), and a client that attaches something updates
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from lamina.core.names import Digest
from lamina.errors import FormatError, RegistryError, default_hint
from lamina.formats.oci import INDEX_TYPE, Descriptor
from lamina.formats.referrers import (
    EMPTY,
    EMPTY_JSON,
    AttachedDocument,
    Referrer,
    add_referrer,
    make_referrers_tag,
    parse_referrers,
)
from lamina.registry.blobs import find_blob
from lamina.registry.connection import RegistryConnection
from lamina.registry.manifests import (
    MAX_MANIFEST_SIZE,
    UnknownBlobError,
    get_manifest,
    put_manifest,
    put_referrer,
)
from lamina.registry.requests import RegistryRequest, RegistryResponse
from lamina.registry.uploads import BlobContent, upload_blob

# Several pushes that change a list at once overwrite one another's lists. Each round leaves fewer of them.
_MAX_UPDATES = 10
_MAX_PAGES = 1000
_REFUSED_HINT = (
    "no tag names the image yet; if the registry takes nothing but images, push without --sbom and --provenance"
)
# The answers of registries that do not have the referrers API.
_UNKNOWN_API = (400, 404, 405, 406, 501)


def attach_documents(
    connection: RegistryConnection, subject: Descriptor, documents: Sequence[AttachedDocument]
) -> tuple[Referrer, ...]:
    """Attach ``documents`` to the image whose manifest is ``subject``, which the repository should have already.

    An earlier document of the same kind and type gives way in a list under a tag. A registry with the referrers API
    keeps both, unless they are equal.

    Args:
        connection: the repository, which must allow to write.
        subject: the manifest of the image.
        documents: the documents.

    Returns:
        The referrers, in the order of ``documents``.

    Raises:
        RegistryError: the registry refuses a document, or failed; or the list of referrers is something else, or is
            changed by others all the time.
        IntegrityError: the registry stored something else.
        AuthError: the registry refuses the credentials, or wants some.

    """
    referrers, unlisted = [], []
    with default_hint(_REFUSED_HINT, RegistryError):
        for document in documents:
            manifest, referrer = document.refer_to(subject)
            referrers.append(referrer)
            if not _put_document(connection, document, manifest):
                unlisted.append(referrer)
        if unlisted:
            _update_list(connection, subject.digest, unlisted)
    return tuple(referrers)


def _put_document(connection: RegistryConnection, document: AttachedDocument, manifest: bytes) -> bool:
    """Store a document and the manifest that attaches it, and return whether the registry lists it."""
    blobs = ((EMPTY, EMPTY_JSON), (document.descriptor, document.content))
    for described, content in blobs:
        if not find_blob(connection, described.digest):
            _upload(connection, described, content)
    try:
        return put_referrer(connection, manifest)
    except UnknownBlobError:  # the registry removed a blob, or said that it has one which it lacks
        for described, content in blobs:
            _upload(connection, described, content)
    try:
        return put_referrer(connection, manifest)
    except UnknownBlobError as error:
        raise error.error from None


def _upload(connection: RegistryConnection, described: Descriptor, content: bytes) -> None:
    upload_blob(connection, BlobContent(described.digest, described.size, lambda start: (content[start:],)))


def _update_list(connection: RegistryConnection, digest: Digest, referrers: Sequence[Referrer]) -> None:
    """Add ``referrers`` to the list under the tag, until a list is read that has them.

    A registry has no way to change a tag only if nobody else did. So another push that read the list before may
    overwrite it, a moment later, and the list is read again after a pause.
    """
    tag, policy = make_referrers_tag(digest), connection.policy
    name = _name_list(connection, tag)
    for _ in range(_MAX_UPDATES):
        existing = updated = _read_list(connection, digest)
        try:
            for referrer in referrers:
                updated = add_referrer(updated, referrer, name)
        except FormatError as error:
            raise error.convert(RegistryError) from None
        if updated is None or updated == existing:
            return
        try:
            put_manifest(connection, tag, updated, INDEX_TYPE)
        except UnknownBlobError as error:
            raise error.error.add_hint("the list has referrers that the registry removed; delete its tag") from None
        policy.sleep(policy.compute_delay(2))
    got = f"a list without the new referrers, {_MAX_UPDATES} times"
    raise RegistryError(name, got, "the list that was written", hint="push again later", is_transient=True)


def list_referrers(connection: RegistryConnection, digest: Digest, artifact_type: str = "") -> tuple[Referrer, ...]:
    """Return the referrers of the image whose manifest has ``digest``, in the registry's order.

    Args:
        connection: the repository.
        digest: the digest of the image's manifest or index.
        artifact_type: list only those of this type; empty for all.

    Raises:
        RegistryError: the registry failed, or answers with something else than a list of referrers.
        AuthError: the registry refuses the credentials, or wants some.

    """
    found = _list_by_api(connection, digest, artifact_type)
    if found is None:
        existing = _read_list(connection, digest)
        found = () if existing is None else _parse(existing, _name_list(connection, make_referrers_tag(digest)))
    # A registry need not filter.
    return tuple(referrer for referrer in found if artifact_type in ("", referrer.artifact_type))


def _list_by_api(connection: RegistryConnection, digest: Digest, artifact_type: str) -> tuple[Referrer, ...] | None:
    """Return what the registry lists, or None if it does not have the referrers API."""
    path = f"/v2/{connection.repository}/referrers/{digest}"
    subject = f"referrers of {connection.name}@{digest}"
    query = urlencode({"artifactType": artifact_type}) if artifact_type else ""
    found: list[Referrer] = []

    def read(response: RegistryResponse) -> tuple[bytes, str] | None:
        if response.status in _UNKNOWN_API:
            return None
        if response.status != 200:
            raise connection.make_error(response, "a list of referrers")
        if response.media_type != INDEX_TYPE:  # a proxy or a web page answers, and no referrers API
            return None
        return response.read(MAX_MANIFEST_SIZE), response.next_query

    for _ in range(_MAX_PAGES):
        url = f"{path}?{query}" if query else path
        page = connection.perform(RegistryRequest("GET", url, subject, connection.scopes, {"Accept": INDEX_TYPE}), read)
        if page is None:
            return None
        document, query = page
        found += _parse(document, subject)
        if not query:
            return tuple(found)
    raise RegistryError(subject, f"more than {_MAX_PAGES} pages", "the end of the list")


def _read_list(connection: RegistryConnection, digest: Digest) -> bytes | None:
    """Return the list under the tag, or None if there is none. Raises `RegistryError` if the tag is something else."""
    tag = make_referrers_tag(digest)
    stored = get_manifest(connection, tag)
    if stored is None:
        return None
    if stored.descriptor.media_type != INDEX_TYPE:
        raise RegistryError(_name_list(connection, tag), stored.descriptor.media_type, "an image index of referrers")
    return stored.document


def _parse(index: bytes, subject: str) -> tuple[Referrer, ...]:
    try:
        return parse_referrers(index, subject)
    except FormatError as error:
        raise error.convert(RegistryError) from None


def _name_list(connection: RegistryConnection, tag: str) -> str:
    return f"{connection.name}:{tag}"
