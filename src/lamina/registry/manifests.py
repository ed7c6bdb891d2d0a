"""Read and write manifests (OCI distribution-spec 1.1, "Pulling manifests", "Pushing manifests").

A manifest is small: a registry need not accept more than 4 MiB, and no more is read.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import urlencode

from lamina.core.names import Digest
from lamina.errors import FormatError, IntegrityError, InvalidArgument, RegistryError
from lamina.formats.json_toml import parse_json
from lamina.formats.oci import INDEX_TYPE, MANIFEST_TYPE, Descriptor
from lamina.registry.connection import RegistryConnection
from lamina.registry.requests import RegistryRequest, RegistryResponse, RequestBody
from lamina.registry.uploads import COMMIT_TIMEOUT, check_digest

MAX_MANIFEST_SIZE = 4 << 20
_DOCKER = "application/vnd.docker.distribution.manifest."
MEDIA_TYPES = (MANIFEST_TYPE, INDEX_TYPE, f"{_DOCKER}v2+json", f"{_DOCKER}list.v2+json")
"""The media types of manifests that the client asks for."""
# Harbor and distribution have the first one, which the specification names; some registries use that of a blob.
_UNKNOWN_BLOB = ("MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN")
_TAGS_LIMIT = 1 << 22
_MAX_PAGES = 1000


class UnknownBlobError(Exception):
    """A registry refuses a manifest because it lacks a blob; ``error`` is what it says."""

    def __init__(self, error: RegistryError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest or an index as a registry has it: its bytes are those of its digest.

    Attributes:
        descriptor: its media type, digest and size.
        document: its bytes.
    """

    descriptor: Descriptor
    document: bytes


def find_manifest(connection: RegistryConnection, target: str) -> Descriptor | None:
    """Return the descriptor of the manifest with the tag or digest ``target``, or None if the repository lacks it.

    One HEAD, or a GET for a registry that does not state the digest. Raises `RegistryError` and `AuthError`.
    """

    def read(response: RegistryResponse) -> Descriptor | None:
        if response.status == 404:
            return None
        if response.status != 200:
            raise connection.make_error(response, "the manifest or HTTP 404")
        digest, size = _parse_stated_digest(response), response.response.length
        if digest is None or size is None:
            manifest = get_manifest(connection, target)
            return manifest.descriptor if manifest else None
        return Descriptor(response.media_type, digest, size)

    return connection.perform(_make_request(connection, "HEAD", target), read)


def get_manifest(connection: RegistryConnection, target: str, *, is_optional: bool = False) -> StoredManifest | None:
    """Return the manifest with the tag or digest ``target``, or None if the repository lacks it.

    With ``is_optional``, a manifest that is too long, or may not be read (HTTP 403), counts as missing.

    Raises:
        IntegrityError: it has another digest than ``target``, or than the registry states.
        RegistryError: it has more than `MAX_MANIFEST_SIZE` bytes, or the registry failed.
        AuthError: the registry refuses the credentials, or wants some.

    """

    def read(response: RegistryResponse) -> StoredManifest | None:
        if response.status == 404:
            return None
        if is_optional and response.status == 403:
            return None
        if response.status != 200:
            raise connection.make_error(response, "the manifest")
        try:
            document = response.read(MAX_MANIFEST_SIZE)
        except RegistryError:
            if is_optional:
                return None
            raise
        digest = Digest(hashlib.sha256(document).digest())
        subject = response.response.subject
        if target.startswith("sha256:") and target != str(digest):
            raise IntegrityError(subject, f"a manifest with the digest {digest}", target)
        check_digest(response, digest)
        media_type = response.media_type or _read_media_type(document, subject)
        return StoredManifest(Descriptor(media_type, digest, len(document)), document)

    return connection.perform(_make_request(connection, "GET", target, may_be_forbidden=is_optional), read)


def put_manifest(connection: RegistryConnection, target: str, document: bytes, media_type: str) -> Digest:
    """Store a manifest or an index under the tag or digest ``target``, and return its digest.

    All that it refers to must be in the repository already. A tag moves in one step.

    Raises:
        UnknownBlobError: the registry says that it lacks a blob.
        IntegrityError: the registry stored something else.
        RegistryError: the registry refuses the manifest, or failed.
        AuthError: the registry refuses the credentials, or wants some.

    """
    digest, _ = _put(connection, target, document, media_type)
    return digest


def put_referrer(connection: RegistryConnection, document: bytes) -> bool:
    """Store a manifest with a subject under its digest, and return whether the registry lists it for that subject.

    A registry that does answers with a header (distribution-spec 1.1, "Pushing Manifests with Subject"). For any other,
    the caller has to list the manifest. Raises what `put_manifest` raises.
    """
    target = str(Digest(hashlib.sha256(document).digest()))
    _, subject = _put(connection, target, document, MANIFEST_TYPE)
    return bool(subject)


def _put(connection: RegistryConnection, target: str, document: bytes, media_type: str) -> tuple[Digest, str]:
    """Store a manifest, and return its digest and the subject that the registry states."""
    digest = Digest(hashlib.sha256(document).digest())
    request = RegistryRequest(
        "PUT",
        f"/v2/{connection.repository}/manifests/{target}",
        _subject(connection, target),
        connection.scopes,
        {"Content-Type": media_type},
        RequestBody.of(document),
        COMMIT_TIMEOUT,
    )

    def read(response: RegistryResponse) -> str:
        if response.status not in (200, 201, 202):
            error = connection.make_error(response, "the manifest to be stored")
            raise UnknownBlobError(error) if response.error_code in _UNKNOWN_BLOB else error
        check_digest(response, digest)
        return response.header("OCI-Subject")

    return digest, connection.perform(request, read)


def list_tags(connection: RegistryConnection) -> tuple[str, ...]:
    """Return the tags of the repository, in the registry's order; none for a repository that does not exist.

    Raises `RegistryError` and `AuthError`.
    """
    tags: list[str] = []
    url = f"/v2/{connection.repository}/tags/list"
    for _ in range(_MAX_PAGES):
        request = RegistryRequest("GET", url, f"tags of {connection.name}", connection.scopes)
        page, last = connection.perform(request, lambda response: _read_tags(connection, response))
        tags += page
        if not last:
            break
        url = f"/v2/{connection.repository}/tags/list?{urlencode({'last': last})}"
    return tuple(tags)


def _read_tags(connection: RegistryConnection, response: RegistryResponse) -> tuple[list[str], str]:
    """Return the tags of one page, and the last of them if there is another page, else ``""``."""
    if response.status == 404:
        return [], ""
    if response.status != 200:
        raise connection.make_error(response, "a list of tags")
    subject = response.response.subject
    document = _parse_document(response.read(_TAGS_LIMIT), subject)
    tags = document.get("tags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise RegistryError(subject, "no list of tags", "one in JSON")
    has_more = re.search(r'rel="?next"?', response.header("Link"))
    return tags, tags[-1] if has_more and tags else ""


def _make_request(
    connection: RegistryConnection, method: str, target: str, *, may_be_forbidden: bool = False
) -> RegistryRequest:
    return RegistryRequest(
        method,
        f"/v2/{connection.repository}/manifests/{target}",
        _subject(connection, target),
        connection.scopes,
        {"Accept": ", ".join(MEDIA_TYPES)},
        may_be_forbidden=may_be_forbidden,
    )


def _subject(connection: RegistryConnection, target: str) -> str:
    return f"{connection.name}{'@' if target.startswith('sha256:') else ':'}{target}"


def _read_media_type(document: bytes, subject: str) -> str:
    media_type = _parse_document(document, subject).get("mediaType")
    return media_type if isinstance(media_type, str) else MANIFEST_TYPE


def _parse_document(document: bytes, subject: str) -> dict[str, object]:
    try:
        parsed = parse_json(document, subject)
    except FormatError as error:
        raise error.convert(RegistryError) from None
    return parsed if isinstance(parsed, dict) else {}


def _parse_stated_digest(response: RegistryResponse) -> Digest | None:
    stated = response.header("Docker-Content-Digest")
    try:
        return Digest.from_hex(stated.removeprefix("sha256:")) if stated.startswith("sha256:") else None
    except InvalidArgument:
        return None
