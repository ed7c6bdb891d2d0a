"""Paths are parsed as the specification spells them, and nothing else gets through, however it is encoded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core.names import Digest
from lamina.server.error_documents import RequestRefused
from lamina.server.routes import (
    BlobRoute,
    ManifestRoute,
    ReferrersRoute,
    TagsRoute,
    VersionRoute,
    parse_route,
)

HEX = "ab" * 32
DIGEST = Digest.from_hex(HEX)


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v2/", VersionRoute()),
        ("/v2/hello/manifests/latest", ManifestRoute("hello", "latest")),
        ("/v2/a/b-c/d_e/manifests/V1.0", ManifestRoute("a/b-c/d_e", "V1.0")),
        (f"/v2/hello/manifests/sha256:{HEX}", ManifestRoute("hello", DIGEST)),
        (f"/v2/hello/manifests/sha256%3A{HEX}", ManifestRoute("hello", DIGEST)),
        (f"/v2/hello/blobs/sha256:{HEX}", BlobRoute("hello", DIGEST)),
        (f"/v2/hello/blobs/sha512:{HEX}", BlobRoute("hello", None)),
        (f"/v2/hello/referrers/sha256:{HEX}", ReferrersRoute("hello", DIGEST)),
        ("/v2/hello/tags/list", TagsRoute("hello")),
        ("/v2/manifests/tags/list", TagsRoute("manifests")),
        ("/v2/a/blobs/manifests/latest", ManifestRoute("a/blobs", "latest")),
    ],
)
def test_a_path_of_the_protocol_is_parsed(path: str, route: object) -> None:
    assert parse_route(path) == route


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/",
        "/v2/hello",
        "/v2/hello/manifests/",
        "/v2//manifests/latest",
        "/v2/../manifests/latest",
        "/v2/hello/../secret/manifests/latest",
        "/v2/hello/%2e%2e/secret/manifests/latest",
        "/v2/hello%2F..%2Fsecret/manifests/latest",
        "/v2/hello%2fworld/manifests/latest",
        "/v2/hello/%252e%252e/manifests/latest",
        "/v2/hello/manifests/..",
        "/v2/hello/manifests/%2e%2e",
        "/v2/hello/manifests/..%2f..%2fetc%2fpasswd",
        "/v2/hello/blobs/../../etc/passwd",
        "/v2/hello/blobs/sha256:../../etc/passwd",
        "/v2/hello/blobs/sha256:%2e%2e%2f%2e%2e",
        "/v2/../../etc/passwd/tags/list",
        "/v2/%2e%2e/tags/list",
        "/v2/hello/tags/../list",
        "/v2/hello/tags/%2e%2e/list",
        "/v2/hello/tags%2flist",
        "/v2/hello/tags/list/../../../../etc/passwd",
        "/v2/hello/referrers/../../etc/passwd",
        "/v2/hello/referrers/..%2f..%2fetc",
        "/v2/hello/%2e%2e%5c%2e%2e/manifests/latest",
        "/v2/..\\..\\etc/manifests/latest",
        "/v2/%c0%ae%c0%ae/manifests/latest",
        "/v2/%u002e%u002e/manifests/latest",
        f"/v2/hello/blobs/sha256:{HEX.upper()}",
        f"/v2/hello/blobs/sha256:{HEX}0",
        f"/v2/hello/blobs/sha256:{HEX}%00",
        f"/v2/hello/blobs/sha256:{HEX}%0a",
        "/v2/hello%00/manifests/latest",
        "/v2/hello%0d%0aX: y/manifests/latest",
        "/v2/hello/manifests/latest%0a",
        "/v2/host:5000/hello/manifests/latest",
        "/v2/[::1]/hello/manifests/latest",
        "/v2/-hello/manifests/latest",
        "/v2/hel..lo/manifests/latest",
        "/v2/h%C3%A9llo/manifests/latest",
        "/v2/%ff/manifests/latest",
        "/v2/hello/manifests/" + "a" * 129,
        "/v2/" + "a" * 300 + "/manifests/latest",
        "//v2/hello/manifests/latest",
    ],
)
def test_all_else_is_not_found(path: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        parse_route(path)
    assert refused.value.status == 404
    assert len(str(refused.value)) < 400


@given(st.text(), st.text())
def test_any_path_is_a_route_or_refused(start: str, end: str) -> None:
    for path in (start, f"/v2/{start}/manifests/{end}", f"/v2/{start}/blobs/{end}", f"/v2/{start}/tags/list"):
        try:
            route = parse_route(path)
        except RequestRefused:
            continue
        assert ".." not in getattr(route, "repository", "")
