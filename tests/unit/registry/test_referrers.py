"""Documents are attached to images and listed, by the referrers API or by a tag."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.support.registry import (
    QUICK,
    Fault,
    MemoryRegistry,
    RegistryHandler,
    answer_with,
    config_document,
    connect,
    digest_of,
    manifest_document,
)

from lamina.errors import AuthError, Error, RegistryError
from lamina.formats.oci import INDEX_TYPE, MANIFEST_TYPE, Descriptor
from lamina.formats.referrers import AttachedDocument, Referrer, add_referrer, make_referrers_tag
from lamina.registry.credentials import Credentials
from lamina.registry.manifests import put_manifest
from lamina.registry.referrers import attach_documents, list_referrers

CONFIG = config_document()
MANIFEST = manifest_document(CONFIG, b"layer")
IMAGE = Descriptor(MANIFEST_TYPE, digest_of(MANIFEST), len(MANIFEST))
TAG = make_referrers_tag(IMAGE.digest)
SBOM = AttachedDocument("sbom", "application/spdx+json", b"{}\n", "sbom.spdx.json", (("org.example.a", "b"),))
PROVENANCE = AttachedDocument("provenance", "application/vnd.in-toto+json", b"[]\n", "provenance.json")
TYPES = ("application/spdx+json", "application/vnd.in-toto+json")


def attach(server: MemoryRegistry, *documents: AttachedDocument) -> tuple[Referrer, ...]:
    with connect(server) as connection:
        return attach_documents(connection, IMAGE, documents)


def read(server: MemoryRegistry, artifact_type: str = "") -> tuple[Referrer, ...]:
    with connect(server, is_writer=False) as connection:
        return list_referrers(connection, IMAGE.digest, artifact_type)


@pytest.fixture(params=[True, False], ids=["api", "tag"])
def server(registry: MemoryRegistry, request: pytest.FixtureRequest) -> MemoryRegistry:
    registry.has_referrers = request.param
    return registry


def test_a_document_is_stored_with_its_manifest_and_listed(server: MemoryRegistry) -> None:
    attached = attach(server, SBOM, PROVENANCE)
    assert [referrer.artifact_type for referrer in attached] == list(TYPES)
    assert read(server) == attached
    media_type, manifest = server.manifests["me/app"][str(attached[0].digest)]
    assert (media_type, json.loads(manifest)["subject"]["digest"]) == (MANIFEST_TYPE, str(IMAGE.digest))
    assert server.blobs["me/app"][str(SBOM.descriptor.digest)] == SBOM.content
    assert (TAG in server.manifests["me/app"]) == (not server.has_referrers)


def test_attaching_again_sends_no_blob_and_changes_no_list(server: MemoryRegistry) -> None:
    first = attach(server, SBOM)
    before = dict(server.manifests["me/app"])
    server.seen.clear()
    assert attach(server, SBOM) == first
    assert server.manifests["me/app"] == before
    assert [seen.path for seen in server.seen if seen.method == "PUT"] == [f"/v2/me/app/manifests/{first[0].digest}"]
    assert len(read(server)) == 1


def test_documents_are_listed_by_their_type_over_several_pages(server: MemoryRegistry) -> None:
    versions = [replace(PROVENANCE, media_type=f"application/x{number}+json") for number in range(5)]
    (sbom, *_) = attach(server, SBOM, *versions)
    assert len(read(server)) == 6
    assert read(server, SBOM.media_type) == (sbom,)
    server.filters_referrers = False
    assert read(server, SBOM.media_type) == (sbom,)


def test_an_image_without_documents_has_an_empty_list(server: MemoryRegistry) -> None:
    assert read(server) == ()


@pytest.mark.parametrize("status", [400, 405, 406, 501])
def test_a_registry_that_refuses_the_api_has_a_tag(registry: MemoryRegistry, status: int) -> None:
    registry.has_referrers = False
    attached = attach(registry, SBOM)
    registry.fail("GET", "/referrers/", answer_with(status))
    assert read(registry) == attached


def test_two_pushes_at_once_both_stay_in_the_list(registry: MemoryRegistry) -> None:
    """This holds also if the other one overwrites the list after each of the first three times that it is written."""
    registry.has_referrers = False
    (other,) = attach(registry, PROVENANCE)
    old = registry.manifests["me/app"][TAG]

    def overwrite(handler: RegistryHandler) -> bool:
        handler._route(handler.path, {}, handler.read_body())
        registry.manifests["me/app"][TAG] = old
        return True

    registry.fail("PUT", f"/manifests/{TAG}", overwrite, times=3)
    (sbom,) = attach(registry, SBOM)
    assert read(registry) == (other, sbom)


def test_several_documents_change_the_list_once(registry: MemoryRegistry) -> None:
    registry.has_referrers = False
    attach(registry, SBOM, PROVENANCE)
    requests = [seen.method for seen in registry.seen if TAG in seen.path]
    assert requests == ["GET", "PUT", "GET"]


def test_the_list_is_read_again_after_a_pause(registry: MemoryRegistry) -> None:
    registry.has_referrers = False
    pauses: list[float] = []
    policy = replace(QUICK, sleep=pauses.append, jitter=lambda: 1.0)
    with connect(registry, policy=policy) as connection:
        attach_documents(connection, IMAGE, (SBOM,))
        attach_documents(connection, IMAGE, (SBOM,))
    assert pauses == [policy.initial_delay / 2]


def test_a_list_that_others_overwrite_all_the_time_is_an_error(registry: MemoryRegistry) -> None:
    registry.has_referrers = False
    registry.fail("PUT", f"/manifests/{TAG}", answer_with(201), times=100)
    with pytest.raises(RegistryError, match="got a list without the new referrers, 10 times, expected the list"):
        attach(registry, SBOM)


def test_the_list_keeps_the_entries_of_others(registry: MemoryRegistry) -> None:
    registry.has_referrers = False
    registry.add_manifest("me/app", f"sha256:{'5' * 64}", MANIFEST, MANIFEST_TYPE)
    other = {"mediaType": MANIFEST_TYPE, "digest": f"sha256:{'5' * 64}", "size": 1, "artifactType": TYPES[0], "x": 1}
    index = json.dumps({"schemaVersion": 2, "manifests": [other], "annotations": {"a": "b"}}).encode()
    registry.add_manifest("me/app", TAG, index, INDEX_TYPE)
    (sbom,) = attach(registry, SBOM)
    stored = json.loads(registry.manifests["me/app"][TAG][1])
    assert (stored["manifests"], stored["annotations"]) == ([other, sbom.dump()], {"a": "b"})


@pytest.mark.parametrize(
    ("media_type", "document", "message"),
    [
        (
            MANIFEST_TYPE,
            MANIFEST,
            f"{TAG}: got application/vnd.*, expected an image index of referrers",
        ),
        (INDEX_TYPE, b'{"manifests": 1}', f"{TAG}: got an object that is no image index"),
    ],
)
def test_a_tag_that_is_no_list_is_an_error_and_stays(
    registry: MemoryRegistry, media_type: str, document: bytes, message: str
) -> None:
    registry.has_referrers = False
    registry.add_manifest("me/app", TAG, document, media_type)
    with pytest.raises(RegistryError, match=message):
        attach(registry, SBOM)
    with pytest.raises(RegistryError, match=message):
        read(registry)
    assert registry.manifests["me/app"][TAG] == (media_type, document)


def test_a_list_with_a_referrer_that_is_gone_is_an_error_with_a_hint(registry: MemoryRegistry) -> None:
    registry.has_referrers = False
    (gone,) = attach(registry, PROVENANCE)
    del registry.manifests["me/app"][str(gone.digest)]
    with pytest.raises(RegistryError, match="MANIFEST_BLOB_UNKNOWN") as caught:
        attach(registry, SBOM)
    assert "delete its tag" in caught.value.hint


def test_a_blob_that_the_registry_only_seems_to_have_is_sent(registry: MemoryRegistry) -> None:
    registry.fail("HEAD", "/blobs/", answer_with(200), times=2)
    attach(registry, SBOM)
    assert registry.blobs["me/app"][str(SBOM.descriptor.digest)] == SBOM.content


@pytest.mark.parametrize("after", range(9))
def test_each_request_is_repeated_if_it_fails_for_a_moment(server: MemoryRegistry, after: int) -> None:
    expected = [document.refer_to(IMAGE)[1] for document in (SBOM, PROVENANCE)]
    count = 0

    def fail_one(handler: RegistryHandler) -> bool:
        nonlocal count
        count += 1
        return count == after + 1 and answer_with(503)(handler)

    server.faults.append(fail_one)
    assert list(attach(server, SBOM, PROVENANCE)) == expected
    assert list(read(server)) == expected
    assert count > after


def _refuse(status: int, code: str) -> Fault:
    return answer_with(status, {}, json.dumps({"errors": [{"code": code, "message": "no"}]}).encode())


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "MANIFEST_INVALID", RegistryError),
        (403, "DENIED", AuthError),
        (404, "MANIFEST_BLOB_UNKNOWN", RegistryError),
    ],
)
def test_a_registry_that_refuses_the_document_is_an_error(
    server: MemoryRegistry, status: int, code: str, error: type[Error]
) -> None:
    server.fail("PUT", "/manifests/", _refuse(status, code), times=9)
    with pytest.raises(error, match=code) as caught:
        attach(server, SBOM)
    assert ("push without --sbom and --provenance" in caught.value.hint) == (error is RegistryError)


def test_an_answer_that_is_no_list_is_an_error(registry: MemoryRegistry) -> None:
    registry.fail("GET", "/referrers/", answer_with(200, {"Content-Type": INDEX_TYPE}, b"<html>"))
    with pytest.raises(RegistryError, match="referrers of 127"):
        read(registry)


def test_the_next_page_is_asked_of_the_registry_only(registry: MemoryRegistry) -> None:
    elsewhere = {"Content-Type": INDEX_TYPE, "Link": '<https://elsewhere.example/steal?last=5>; rel="next"'}
    registry.fail(
        "GET", "/referrers/", answer_with(200, elsewhere, add_referrer(None, PROVENANCE.refer_to(IMAGE)[1], ""))
    )
    assert [referrer.kind for referrer in read(registry)] == ["provenance"]
    assert registry.seen[-1].path == f"/v2/me/app/referrers/{IMAGE.digest}?last=5"


def test_a_repository_with_a_login_is_read_and_written(server: MemoryRegistry) -> None:
    server.authentication = "token"
    account = Credentials(server.account.user, server.account.password)
    with connect(server, credentials=account) as connection:
        digest = put_manifest(connection, "1", b'{"schemaVersion": 2}', MANIFEST_TYPE)
        image = Descriptor(MANIFEST_TYPE, digest, 20)
        attached = attach_documents(connection, image, (SBOM,))
        assert list_referrers(connection, image.digest) == attached


def test_a_page_that_is_no_index_does_not_hide_the_list_under_the_tag(registry: MemoryRegistry) -> None:
    registry.has_referrers = False
    (sbom,) = attach(registry, SBOM)
    registry.fail("GET", "/referrers/", answer_with(200, {"Content-Type": "text/html"}, b"<html>"), times=1)
    assert read(registry) == (sbom,)


def test_a_list_without_end_is_an_error(registry: MemoryRegistry) -> None:
    index = b'{"schemaVersion": 2, "manifests": []}'
    headers = {"Content-Type": INDEX_TYPE, "Link": '</v2/me/app/referrers/x?more=1>; rel="next"'}
    registry.fail("GET", "/referrers/", answer_with(200, headers, index), times=2000)
    with pytest.raises(RegistryError, match="got more than 1000 pages, expected the end of the list"):
        read(registry)
