"""The paths of the OCI distribution protocol (distribution-spec 1.1, "Endpoints"), parsed and checked.

Invariant: what a route names follows the grammar of the specification, however the client encoded it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from lamina.core.names import Digest, is_repository_path, parse_tag
from lamina.errors import InvalidArgument
from lamina.messages.redaction import short_repr
from lamina.server.error_documents import RequestRefused

_ROOT = re.compile("/v2/?")
_ROUTE = re.compile(r"/v2/(?P<name>.+)/(?:(?P<kind>manifests|blobs|referrers)/(?P<target>[^/]+)|tags/list)", re.DOTALL)
_UPLOAD = re.compile(r"/v2/.+/blobs/uploads/.*", re.DOTALL)
_ENCODED_SLASH = re.compile("%2f", re.IGNORECASE)
# A digest: an algorithm, and its digits (distribution-spec 1.1, "Pulling manifests"; image-spec 1.1, "Digests").
_DIGEST = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")
_SHA256 = "sha256:"


@dataclass(frozen=True, slots=True)
class VersionRoute:
    """The question whether this is a registry: ``/v2/``."""


@dataclass(frozen=True, slots=True)
class ManifestRoute:
    """A manifest by its tag or its digest; the digest is None if it is of an algorithm that is not served."""

    repository: str
    target: str | Digest | None


@dataclass(frozen=True, slots=True)
class BlobRoute:
    """A blob by its digest, which is None if it is of an algorithm that is not served."""

    repository: str
    digest: Digest | None


@dataclass(frozen=True, slots=True)
class TagsRoute:
    """The list of the tags of a repository."""

    repository: str


@dataclass(frozen=True, slots=True)
class ReferrersRoute:
    """The list of the referrers of a manifest, whose digest is None if it is of an algorithm that is not served."""

    repository: str
    digest: Digest | None


Route = VersionRoute | ManifestRoute | BlobRoute | TagsRoute | ReferrersRoute


def parse_route(path: str) -> Route:
    """Parse the path of a request, percent-encoded as the client sent it. Raises `RequestRefused`."""
    text = unquote(path, errors="strict") if _is_utf8(path) else path
    if _ROOT.fullmatch(text):
        return VersionRoute()
    if _UPLOAD.fullmatch(text):
        raise RequestRefused(405, "UNSUPPORTED", "this registry takes no uploads", headers=(("Allow", ""),))
    found = _ROUTE.fullmatch(text)
    if not found or _ENCODED_SLASH.search(path):
        raise RequestRefused(404, "UNSUPPORTED", f"{short_repr(path)} is no path of the distribution protocol")
    # An invalid name or digest is a bad request only here (distribution-spec 1.1, "Listing Referrers").
    invalid = 400 if found["kind"] == "referrers" else 404
    repository, target = _parse_name(found["name"], invalid), found["target"]
    match found["kind"]:
        case "manifests":
            return ManifestRoute(repository, _parse_reference(target))
        case "blobs":
            return BlobRoute(repository, _parse_digest(target, invalid))
        case "referrers":
            return ReferrersRoute(repository, _parse_digest(target, invalid))
    return TagsRoute(repository)


def _is_utf8(path: str) -> bool:
    try:
        unquote(path, errors="strict")
    except UnicodeDecodeError:
        return False
    return True


def _parse_name(text: str, status: int) -> str:
    """Return the name of a repository, which has no host and no capitals. Raises `RequestRefused`."""
    if is_repository_path(text):
        return text
    raise RequestRefused(status, "NAME_INVALID", f"{short_repr(text)} is not the name of a repository")


def _parse_reference(text: str) -> str | Digest | None:
    if ":" in text:
        return _parse_digest(text, 404)
    try:
        return parse_tag(text)
    except InvalidArgument as error:
        raise RequestRefused(404, "MANIFEST_UNKNOWN", str(error)) from error


def _parse_digest(text: str, status: int) -> Digest | None:
    try:
        if not text.startswith(_SHA256) and _DIGEST.fullmatch(text):
            return None
        return Digest.parse_oci(text)
    except InvalidArgument as error:
        raise RequestRefused(status, "DIGEST_INVALID", str(error)) from error
