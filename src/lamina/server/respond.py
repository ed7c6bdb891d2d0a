"""Answer the requests of registries' clients (OCI distribution-spec 1.1: "Pull" and "Content Discovery").

The endpoints are those that only read: end-1, end-2, end-3, end-8a, end-8b, end-12a and end-12b of the specification.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import parse_qs, quote

from lamina.core.names import Digest
from lamina.errors import Error, InvalidArgument, NotFound
from lamina.formats.oci import INDEX_TYPE
from lamina.messages.redaction import short_repr
from lamina.server.error_documents import JSON_TYPE, RequestRefused, explain_failure
from lamina.server.http_messages import Content, Headers, ServerRequest, ServerResponse
from lamina.server.ranges import UnsatisfiableRange, matches_tag, parse_range
from lamina.server.repositories import Repositories
from lamina.server.routes import BlobRoute, ManifestRoute, ReferrersRoute, TagsRoute, VersionRoute, parse_route

_ALLOWED = ("GET", "HEAD")
_BLOB_TYPE = "application/octet-stream"
# Old versions of docker look for it (distribution, "HTTP API V2", "API Version Check").
_API_VERSION = ("Docker-Distribution-Api-Version", "registry/2.0")


def respond(request: ServerRequest, repositories: Repositories) -> ServerResponse:
    """Return the answer to a request.

    Whatever the request asks for, there is an answer: errors become a document with the codes of the specification.

    Args:
        request: the request, whose sender is allowed to send it.
        repositories: the images that are served.

    """
    try:
        response = _answer(request, repositories)
    except RequestRefused as refused:
        response = refused.make_response()
    except Error as error:
        response = explain_failure(error).make_response()
    body = () if request.method == "HEAD" else response.body
    return replace(response, headers=(*response.headers, _API_VERSION), body=body)


def check_method(request: ServerRequest) -> None:
    """Raise `RequestRefused` if a request asks for more than reading."""
    if request.method not in _ALLOWED:
        allowed = ", ".join(_ALLOWED)
        raise RequestRefused(405, "UNSUPPORTED", f"only {allowed} are allowed here", headers=(("Allow", allowed),))


def _answer(request: ServerRequest, repositories: Repositories) -> ServerResponse:
    route = parse_route(request.path)
    check_method(request)
    match route:
        case VersionRoute():
            return _send_document(b"{}", JSON_TYPE)
        case ManifestRoute():
            return _send_manifest(request, route, repositories)
        case BlobRoute():
            return _send_blob(request, route, repositories)
        case TagsRoute():
            return _send_tags(request, route.repository, repositories)
        case ReferrersRoute():
            return _send_referrers(request, route, repositories)


def _send_manifest(request: ServerRequest, route: ManifestRoute, repositories: Repositories) -> ServerResponse:
    found = None if route.target is None else repositories.find_manifest(route.repository, route.target)
    if found is None:
        wanted = "such manifest" if route.target is None else f"manifest {route.target}"
        raise RequestRefused(404, "MANIFEST_UNKNOWN", f"{route.repository} has no {wanted}")
    headers = (("Content-Type", found.media_type), *_describe_digest(found.digest))
    if _is_known(request, found.digest):
        return ServerResponse(304, headers)
    return ServerResponse(200, (*headers, ("Content-Length", str(len(found.document)))), (found.document,))


def _send_blob(request: ServerRequest, route: BlobRoute, repositories: Repositories) -> ServerResponse:
    digest = route.digest
    try:
        content = None if digest is None else repositories.find_blob(route.repository, digest)
    except (NotFound, InvalidArgument) as error:  # there is no image that could have it
        raise RequestRefused(404, "BLOB_UNKNOWN", str(error)) from error
    if content is None or digest is None:
        raise RequestRefused(404, "BLOB_UNKNOWN", f"{route.repository} has no such blob")
    headers = (("Content-Type", _BLOB_TYPE), ("Accept-Ranges", "bytes"), *_describe_digest(digest))
    if _is_known(request, digest):
        return ServerResponse(304, headers)
    return _send_part(request, content, headers, _tag_entity(digest))


def _send_part(request: ServerRequest, content: Content, headers: Headers, entity_tag: str) -> ServerResponse:
    """Return the part of a blob that the request asks for (RFC 9110, 14)."""
    size = content.size
    # A range is defined for GET only, and must not be applied if another version of the content is meant.
    is_meant = request.method == "GET" and request.headers.get("if-range", entity_tag) == entity_tag
    try:
        part = parse_range(request.headers.get("range", ""), size) if is_meant else None
    except UnsatisfiableRange:
        more = (("Content-Range", f"bytes */{size}"),)
        raise RequestRefused(416, "SIZE_INVALID", f"no such range in {size} bytes", headers=more) from None
    if part is None:
        return ServerResponse(200, (*headers, ("Content-Length", str(size))), content.read(0, size))
    start, end = part
    described = (("Content-Range", f"bytes {start}-{end - 1}/{size}"), ("Content-Length", str(end - start)))
    return ServerResponse(206, (*headers, *described), content.read(start, end))


def _send_tags(request: ServerRequest, repository: str, repositories: Repositories) -> ServerResponse:
    """Return a page of the tags, in the order of the alphabet (distribution-spec 1.1, "Listing Tags")."""
    query = parse_qs(request.query, keep_blank_values=True)
    limit, last = _parse_limit(query.get("n", [""])[-1]), query.get("last", [""])[-1]
    known = repositories.list_tags(repository)
    if known is None:
        raise RequestRefused(404, "NAME_UNKNOWN", f"there is no repository {repository}")
    tags = sorted((tag for tag in known if _order_tag(tag) > _order_tag(last)), key=_order_tag)
    page = tags if limit is None else tags[:limit]
    document = json.dumps({"name": repository, "tags": page}).encode()
    return _send_document(document, JSON_TYPE, _link_next(repository, page, len(tags)))


def _parse_limit(text: str) -> int | None:
    """Return the number of tags of a page; None for no limit."""
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise RequestRefused(400, "PAGINATION_NUMBER_INVALID", f"n is {short_repr(text)}, and not a number of tags")
    return int(text)


def _order_tag(tag: str) -> tuple[str, str]:
    return tag.lower(), tag


def _link_next(repository: str, page: Sequence[str], count: int) -> Headers:
    """Return the header with the link to the page after ``page``, if there is one and the page is not empty."""
    if not page or len(page) == count:
        return ()
    return (("Link", f'</v2/{repository}/tags/list?n={len(page)}&last={quote(page[-1])}>; rel="next"'),)


def _send_referrers(request: ServerRequest, route: ReferrersRoute, repositories: Repositories) -> ServerResponse:
    """Return the index of the referrers; it is empty if there are none (distribution-spec 1.1, "Listing Referrers")."""
    found = () if route.digest is None else repositories.list_referrers(route.repository, route.digest)
    wanted = parse_qs(request.query).get("artifactType", [])
    if wanted:
        found = [referrer for referrer in found if referrer.artifact_type in wanted]
    entries = [referrer.dump() for referrer in found]
    document = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries}).encode()
    applied = (("OCI-Filters-Applied", "artifactType"),) if wanted else ()
    return _send_document(document, INDEX_TYPE, applied)


def _send_document(document: bytes, media_type: str, headers: Headers = ()) -> ServerResponse:
    described = (("Content-Type", media_type), ("Content-Length", str(len(document))))
    return ServerResponse(200, (*described, *headers), (document,))


def _describe_digest(digest: Digest) -> Headers:
    return ("Docker-Content-Digest", str(digest)), ("ETag", _tag_entity(digest))


def _tag_entity(digest: Digest) -> str:
    return f'"{digest}"'


def _is_known(request: ServerRequest, digest: Digest) -> bool:
    return matches_tag(request.headers.get("if-none-match", ""), _tag_entity(digest))
