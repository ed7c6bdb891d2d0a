"""Manifests are read and written with their digests checked, and in bounded memory."""

import pytest
from tests.support.registry import (
    MemoryRegistry,
    answer_with,
    config_document,
    connect,
    digest_of,
    forget_answer,
    manifest_document,
)

from lamina.errors import AuthError, IntegrityError, RegistryError
from lamina.formats.oci import INDEX_TYPE, MANIFEST_TYPE, Descriptor
from lamina.registry.manifests import UnknownBlobError, find_manifest, get_manifest, list_tags, put_manifest

CONFIG = config_document()
DOCUMENT = manifest_document(CONFIG, b"layer")
DIGEST = digest_of(DOCUMENT)
DESCRIPTOR = Descriptor(MANIFEST_TYPE, DIGEST, len(DOCUMENT))


@pytest.mark.parametrize("target", ["1", str(DIGEST)])
def test_a_manifest_is_found_and_read_by_tag_and_by_digest(registry: MemoryRegistry, target: str) -> None:
    registry.add_manifest("me/app", "1", DOCUMENT, MANIFEST_TYPE)
    with connect(registry) as connection:
        assert find_manifest(connection, target) == DESCRIPTOR
        manifest = get_manifest(connection, target)
    assert manifest is not None
    assert (manifest.descriptor, manifest.document) == (DESCRIPTOR, DOCUMENT)
    assert registry.methods() == ["GET", "HEAD", "GET"]


def test_a_missing_manifest_is_none(registry: MemoryRegistry) -> None:
    with connect(registry) as connection:
        assert find_manifest(connection, "1") is None
        assert get_manifest(connection, "1") is None


def test_a_registry_that_states_no_digest_is_asked_for_the_manifest(registry: MemoryRegistry) -> None:
    registry.add_manifest("me/app", "1", DOCUMENT, MANIFEST_TYPE)
    registry.fail("HEAD", "/manifests/", answer_with(200, {"Content-Length": str(len(DOCUMENT))}))
    with connect(registry) as connection:
        assert find_manifest(connection, "1") == DESCRIPTOR


def test_the_type_of_an_answer_without_one_is_that_of_the_document(registry: MemoryRegistry) -> None:
    index = b'{"schemaVersion": 2, "mediaType": "%s", "manifests": []}' % INDEX_TYPE.encode()
    registry.fail("GET", "/manifests/", answer_with(200, {}, index))
    with connect(registry) as connection:
        manifest = get_manifest(connection, "1")
    assert manifest is not None
    assert manifest.descriptor.media_type == INDEX_TYPE


def test_a_manifest_with_another_digest_is_an_integrity_error(registry: MemoryRegistry) -> None:
    registry.fail("GET", "/manifests/", answer_with(200, {}, DOCUMENT + b" "))
    with connect(registry) as connection, pytest.raises(IntegrityError, match=f"expected {DIGEST}"):
        get_manifest(connection, str(DIGEST))


def test_a_registry_that_states_another_digest_is_an_integrity_error(registry: MemoryRegistry) -> None:
    registry.add_manifest("me/app", "1", DOCUMENT, MANIFEST_TYPE)
    registry.states_wrong_digests = True
    with connect(registry) as connection, pytest.raises(IntegrityError, match=r"got the digest sha256:000"):
        get_manifest(connection, "1")


@pytest.mark.parametrize("headers", [{}, {"Content-Length": str(20 << 20)}, {"Transfer-Encoding": "chunked"}])
def test_a_manifest_of_20_mib_is_refused(registry: MemoryRegistry, headers: dict[str, str]) -> None:
    body = b"x" * (20 << 20)
    if "Transfer-Encoding" in headers:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        headers = headers | {"Content-Length": ""}
    registry.fail("GET", "/manifests/", answer_with(200, headers, body))
    with connect(registry) as connection, pytest.raises(RegistryError, match="bytes, expected at most 4194304"):
        get_manifest(connection, "1")


def test_a_manifest_is_written_after_its_blobs(registry: MemoryRegistry) -> None:
    with connect(registry) as connection:
        with pytest.raises(UnknownBlobError, match=r"HTTP 404 \(MANIFEST_BLOB_UNKNOWN: blob unknown: sha256"):
            put_manifest(connection, "1", DOCUMENT, MANIFEST_TYPE)
        registry.add_blob("me/app", CONFIG)
        registry.add_blob("me/app", b"layer")
        assert put_manifest(connection, "1", DOCUMENT, MANIFEST_TYPE) == DIGEST
    assert registry.manifests["me/app"]["1"] == (MANIFEST_TYPE, DOCUMENT)


def test_a_manifest_is_written_again_if_the_answer_is_lost(registry: MemoryRegistry) -> None:
    registry.add_blob("me/app", CONFIG)
    registry.add_blob("me/app", b"layer")
    registry.fail("PUT", "/manifests/", forget_answer)
    with connect(registry) as connection:
        assert put_manifest(connection, "1", DOCUMENT, MANIFEST_TYPE) == DIGEST
    assert registry.methods().count("PUT") == 2


def test_a_registry_that_stores_another_manifest_is_an_integrity_error(registry: MemoryRegistry) -> None:
    registry.fail("PUT", "/manifests/", answer_with(201, {"Docker-Content-Digest": f"sha256:{'0' * 64}"}))
    with connect(registry) as connection, pytest.raises(IntegrityError, match="from the registry"):
        put_manifest(connection, "1", DOCUMENT, MANIFEST_TYPE)


def test_a_forbidden_manifest_is_an_error_of_authentication(registry: MemoryRegistry) -> None:
    registry.fail("PUT", "/manifests/", answer_with(403, {}, b'{"errors": [{"code": "DENIED", "message": "no"}]}'))
    with connect(registry) as connection, pytest.raises(AuthError, match=r"HTTP 403 \(DENIED: no\)"):
        put_manifest(connection, "1", DOCUMENT, MANIFEST_TYPE)


def test_tags_are_listed_over_all_pages(registry: MemoryRegistry) -> None:
    for tag in "abcde":
        registry.add_manifest("me/app", tag, DOCUMENT, MANIFEST_TYPE)
    with connect(registry) as connection:
        assert list_tags(connection) == tuple("abcde")
    with connect(registry, "me/none") as connection:
        assert list_tags(connection) == ()


@pytest.mark.parametrize("body", [b"<html>", b'{"tags": 5}', b'{"tags": [5]}'])
def test_a_list_of_tags_that_is_none_is_an_error(registry: MemoryRegistry, body: bytes) -> None:
    registry.fail("GET", "/tags/", answer_with(200, {}, body))
    with connect(registry) as connection, pytest.raises(RegistryError, match=r"tags of 127\.0\.0\.1"):
        list_tags(connection)
