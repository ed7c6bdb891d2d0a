"""Clients of registries get what the distribution specification 1.1 promises, for images that are made on demand."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import example
from tests.support.served_images import LocalClient, StoreCatalog, layers_of, open_files

from lamina.core.names import Digest
from lamina.formats.oci import MANIFEST_TYPE, Descriptor
from lamina.formats.referrers import AttachedDocument, Referrer
from lamina.server.http_messages import ServerRequest
from lamina.server.images_on_demand import ImagesOnDemand
from lamina.server.respond import respond

TAGS = ("v10", "v9", "Alpha", "beta", "latest")
UNKNOWN = "sha256:" + "0" * 64


@pytest.fixture
def client(tmp_path: Path) -> Iterator[LocalClient]:
    store, _ = example(tmp_path / "root")
    contents = {("hello", tag): ["hello"] for tag in TAGS} | {("tools/net/curl", "latest"): ["hello"]}
    with open_files() as files:
        yield LocalClient(ImagesOnDemand(StoreCatalog(store.root, contents, files), 2))


def manifest(client: LocalClient, name: str = "hello", tag: str = "latest") -> dict[str, Any]:
    document: dict[str, Any] = json.loads(client.get(f"/v2/{name}/manifests/{tag}").body)
    return document


def error_code(body: bytes) -> str:
    (error,) = json.loads(body)["errors"]
    assert error["message"]
    return str(error["code"])


@pytest.mark.parametrize("path", ["/v2/", "/v2"])
def test_a_client_learns_that_this_is_a_registry(client: LocalClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status, answer.body) == (200, b"{}")
    assert answer.headers["docker-distribution-api-version"] == "registry/2.0"


def test_a_whole_image_is_pulled_and_its_digests_are_right(client: LocalClient) -> None:
    answer = client.get("/v2/hello/manifests/latest")
    assert answer.status == 200
    assert answer.headers["content-type"] == MANIFEST_TYPE
    assert answer.headers["docker-content-digest"] == "sha256:" + hashlib.sha256(answer.body).hexdigest()
    document = json.loads(answer.body)
    config = client.get(f"/v2/hello/blobs/{document['config']['digest']}")
    diff_ids = json.loads(config.body)["rootfs"]["diff_ids"]
    assert len(diff_ids) == len(document["layers"]) > 1
    for layer, diff_id in zip(document["layers"], diff_ids, strict=True):
        blob = client.get(f"/v2/hello/blobs/{layer['digest']}")
        assert blob.status == 200
        assert "sha256:" + hashlib.sha256(blob.body).hexdigest() == layer["digest"]
        assert len(blob.body) == layer["size"] == int(blob.headers["content-length"])
        assert "sha256:" + hashlib.sha256(gzip.decompress(blob.body)).hexdigest() == diff_id


def test_a_manifest_is_found_by_its_digest(client: LocalClient) -> None:
    by_tag = client.get("/v2/hello/manifests/latest")
    by_digest = client.get(f"/v2/hello/manifests/{by_tag.headers['docker-content-digest']}")
    assert (by_digest.status, by_digest.body) == (200, by_tag.body)


@pytest.mark.parametrize("kind", ["manifest", "blob", "tags", "referrers"])
def test_head_has_the_headers_of_get_and_no_body(client: LocalClient, kind: str) -> None:
    layer = layers_of(manifest(client))[0]
    paths = {"manifest": "manifests/latest", "blob": f"blobs/{layer}", "tags": "tags/list"}
    path = f"/v2/hello/{paths.get(kind, f'referrers/{UNKNOWN}')}"
    full, head = client.get(path), client.get(path, "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers == full.headers
    assert int(head.headers["content-length"]) == len(full.body)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v2/hello/manifests/none", "MANIFEST_UNKNOWN"),
        ("/v2/hello/manifests/.INVALID", "MANIFEST_UNKNOWN"),
        (f"/v2/hello/manifests/{UNKNOWN}", "MANIFEST_UNKNOWN"),
        ("/v2/none/manifests/latest", "MANIFEST_UNKNOWN"),
        (f"/v2/hello/blobs/{UNKNOWN}", "BLOB_UNKNOWN"),
        ("/v2/hello/blobs/sha512:" + "0" * 128, "BLOB_UNKNOWN"),
        (f"/v2/none/blobs/{UNKNOWN}", "BLOB_UNKNOWN"),
        ("/v2/none/tags/list", "NAME_UNKNOWN"),
        ("/v2/hello/blobs/sha256:ff", "DIGEST_INVALID"),
        ("/v2/Hello/manifests/latest", "NAME_INVALID"),
    ],
)
def test_what_does_not_exist_is_not_found(client: LocalClient, path: str, code: str) -> None:
    answer, head = client.get(path), client.get(path, "HEAD")
    assert (answer.status, head.status, head.body) == (404, 404, b"")
    assert answer.headers["content-type"] == "application/json"
    assert error_code(answer.body) == code


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "nonsense"])
def test_only_reading_is_allowed(client: LocalClient, method: str) -> None:
    answer = client.get("/v2/hello/manifests/latest", method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert error_code(answer.body) == "UNSUPPORTED"
    upload = client.get("/v2/hello/blobs/uploads/", method)
    assert (upload.status, error_code(upload.body)) == (405, "UNSUPPORTED")


@pytest.mark.parametrize(
    ("header", "status", "start", "end"),
    [
        ("bytes=0-9", 206, 0, 10),
        ("bytes=5-", 206, 5, None),
        ("bytes=-7", 206, -7, None),
        ("bytes=3-99999999", 206, 3, None),
        ("bytes=-99999999", 206, 0, None),
        ("bytes=0-0,5-6", 200, 0, None),
        ("bytes=9-3", 200, 0, None),
        ("bytes=-", 200, 0, None),
        ("lines=1-2", 200, 0, None),
        ("bytes=a-b", 200, 0, None),
    ],
)
def test_a_part_of_a_blob_is_sent(client: LocalClient, header: str, status: int, start: int, end: int | None) -> None:
    path = f"/v2/hello/blobs/{layers_of(manifest(client))[0]}"
    whole = client.get(path).body
    part = client.get(path, range=header)
    assert (part.status, part.body) == (status, whole[start:end])
    assert int(part.headers["content-length"]) == len(part.body)
    if status == 206:
        first = start % len(whole)
        assert part.headers["content-range"] == f"bytes {first}-{first + len(part.body) - 1}/{len(whole)}"


@pytest.mark.parametrize("header", ["bytes=9999999-", "bytes=9999999-99999999", "bytes=-0"])
def test_a_range_outside_of_a_blob_is_refused(client: LocalClient, header: str) -> None:
    path = f"/v2/hello/blobs/{layers_of(manifest(client))[0]}"
    answer = client.get(path, range=header)
    assert answer.status == 416
    assert answer.headers["content-range"] == f"bytes */{len(client.get(path).body)}"
    assert error_code(answer.body) == "SIZE_INVALID"


def test_a_range_of_another_version_gives_the_whole_blob(client: LocalClient) -> None:
    digest = layers_of(manifest(client))[0]
    path = f"/v2/hello/blobs/{digest}"
    assert client.get(path, range="bytes=0-3", if_range='"other"').status == 200
    assert client.get(path, range="bytes=0-3", if_range=f'"{digest}"').status == 206


@pytest.mark.parametrize("header", ["{0}", "W/{0}", '"other", {0}', "*"])
def test_a_client_that_has_the_content_is_told_so(client: LocalClient, header: str) -> None:
    for path in ("manifests/latest", f"blobs/{layers_of(manifest(client))[0]}"):
        tag = client.get(f"/v2/hello/{path}").headers["etag"]
        answer = client.get(f"/v2/hello/{path}", if_none_match=header.format(tag))
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", tag)
    assert client.get("/v2/hello/manifests/latest", if_none_match='"other"').status == 200


def test_tags_are_listed_in_the_order_of_the_alphabet(client: LocalClient) -> None:
    answer = client.get("/v2/hello/tags/list")
    assert json.loads(answer.body) == {"name": "hello", "tags": ["Alpha", "beta", "latest", "v10", "v9"]}
    assert "link" not in answer.headers


def test_tags_are_listed_in_pages(client: LocalClient) -> None:
    path, pages = "/v2/hello/tags/list?n=2", []
    while path:
        answer = client.get(path)
        pages.append(json.loads(answer.body)["tags"])
        path = answer.headers.get("link", "").partition(">")[0].removeprefix("<")
    assert pages == [["Alpha", "beta"], ["latest", "v10"], ["v9"]]


def test_a_page_may_begin_after_a_tag_that_does_not_exist(client: LocalClient) -> None:
    assert json.loads(client.get("/v2/hello/tags/list?last=c").body)["tags"] == ["latest", "v10", "v9"]
    assert json.loads(client.get("/v2/hello/tags/list?n=1&last=zzz").body)["tags"] == []


def test_a_page_of_no_tags_is_empty_and_has_no_next_page(client: LocalClient) -> None:
    answer = client.get("/v2/hello/tags/list?n=0")
    assert json.loads(answer.body)["tags"] == []
    assert "link" not in answer.headers


@pytest.mark.parametrize("number", ["-1", "x", "1.5", "9" * 30, "٣"])
def test_a_page_of_an_impossible_size_is_a_bad_request(client: LocalClient, number: str) -> None:
    answer = client.get(f"/v2/hello/tags/list?n={number}")
    assert (answer.status, error_code(answer.body)) == (400, "PAGINATION_NUMBER_INVALID")


def test_an_image_without_referrers_has_an_empty_list_of_them(client: LocalClient) -> None:
    for name in ("hello", "none"):
        answer = client.get(f"/v2/{name}/referrers/{UNKNOWN}")
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/vnd.oci.image.index.v1+json"
        assert json.loads(answer.body)["manifests"] == []
    invalid = client.get("/v2/hello/referrers/sha256:1")
    assert (invalid.status, error_code(invalid.body)) == (400, "DIGEST_INVALID")


class AttachedRepositories(ImagesOnDemand):
    """Repositories in which two documents are attached to every manifest."""

    def list_referrers(self, repository: str, digest: Digest) -> list[Referrer]:
        subject = Descriptor(MANIFEST_TYPE, digest, 5)
        documents = [AttachedDocument("sbom", f"application/{name}", b"{}", "x.json") for name in ("spdx", "cyclone")]
        return [document.refer_to(subject)[1] for document in documents]


def test_referrers_are_selected_by_the_type_of_their_artifact(client: LocalClient) -> None:
    images = AttachedRepositories(client.images._catalog, 1)

    def ask(query: str) -> tuple[list[str], str | None]:
        answer = respond(ServerRequest("GET", f"/v2/hello/referrers/{UNKNOWN}", query), images)
        entries = json.loads(b"".join(map(bytes, answer.body)))["manifests"]
        return [entry["artifactType"] for entry in entries], dict(answer.headers).get("OCI-Filters-Applied")

    assert ask("") == (["application/spdx", "application/cyclone"], None)
    assert ask("artifactType=application%2Fspdx") == (["application/spdx"], "artifactType")
    assert ask("artifactType=none") == ([], "artifactType")


def test_a_blob_of_another_repository_is_not_found(client: LocalClient, tmp_path: Path) -> None:
    other = manifest(client, "tools/net/curl")
    assert other["config"]["digest"] == manifest(client)["config"]["digest"]  # the same image
    store, _ = example(tmp_path / "other")
    store.add("secret-1", {"data": b"secret"})
    with open_files() as files:
        contents = {("public", "latest"): ["hello"], ("private", "latest"): ["secret"]}
        both = LocalClient(ImagesOnDemand(StoreCatalog(store.root, contents, files), 2))
        (secret, *_) = layers_of(manifest(both, "private"))
        assert both.get(f"/v2/private/blobs/{secret}").status == 200
        assert both.get(f"/v2/public/blobs/{secret}").status == 404


def test_an_image_that_cannot_be_made_is_explained(client: LocalClient, tmp_path: Path) -> None:
    store, _ = example(tmp_path / "broken")
    contents = {("gone", "latest"): ["no-such-package"], ("damaged", "latest"): ["hello"]}
    with open_files() as files:
        broken = LocalClient(ImagesOnDemand(StoreCatalog(store.root, contents, files), 1))
        answer = broken.get("/v2/gone/manifests/latest")
        assert (answer.status, error_code(answer.body)) == (404, "MANIFEST_UNKNOWN")
        assert "no-such-package" in json.loads(answer.body)["errors"][0]["message"]
