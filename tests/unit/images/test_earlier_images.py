"""Statements of an image in a registry about its layers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.registry import MemoryRegistry, answer_with, connect, digest_of, serve_registry

from lamina.compression.compressors import LayerCompression
from lamina.core.names import Digest
from lamina.errors import AuthError, FormatError
from lamina.formats.layer_annotations import LayerStatement
from lamina.formats.oci import INDEX_TYPE, LAYER_TYPE, MANIFEST_TYPE, Descriptor, dump_manifest
from lamina.images.earlier_images import EarlierImage, read_earlier_image
from lamina.layer_cache.cache import NullLayerCache
from lamina.system.transfer import BlobInfo

KEY, DIFF_ID = (Digest(bytes([number]) * 32) for number in (1, 2))
GZIP = LayerCompression.parse("gzip")


def layer(data: bytes, compression: str = "gzip:2") -> Descriptor:
    statement = LayerStatement(KEY, DIFF_ID, 100, compression)
    return Descriptor(LAYER_TYPE, digest_of(data), len(data), statement.dump())


def dump(*layers: Descriptor) -> bytes:
    return dump_manifest(Descriptor("x", KEY, 1), layers)


@pytest.fixture
def server() -> Iterator[MemoryRegistry]:
    with serve_registry() as server:
        yield server


def read(server: MemoryRegistry) -> EarlierImage | None:
    with connect(server) as connection:
        return read_earlier_image(connection, server.reference())


def add_index(server: MemoryRegistry, **platforms: bytes) -> None:
    """Add an index of manifests by architecture."""
    entries: list[dict[str, Any]] = []
    for architecture, document in platforms.items():
        digest = server.add_manifest("me/app", architecture, document, MANIFEST_TYPE)
        described = {"mediaType": MANIFEST_TYPE, "digest": str(digest), "size": len(document)}
        system = "unknown" if architecture == "unknown" else "linux"
        entries.append(described | {"platform": {"os": system, "architecture": architecture}})
    server.add_manifest("me/app", "1", json.dumps({"manifests": entries}).encode(), INDEX_TYPE)


def test_a_layer_is_stated_to_the_layer_cache_if_it_is_compressed_as_wanted(server: MemoryRegistry) -> None:
    server.add_manifest("me/app", "1", dump(layer(b"one"), Descriptor(LAYER_TYPE, digest_of(b"two"), 3)), MANIFEST_TYPE)
    image = read(server)
    assert image
    assert image.list_blobs("linux/amd64") == (BlobInfo(digest_of(b"one"), 3), BlobInfo(digest_of(b"two"), 3))
    assert image.digests == {digest_of(b"one"), digest_of(b"two")}
    for compression, expected in ((GZIP, BlobInfo(digest_of(b"one"), 3)), (LayerCompression.parse("gzip:9"), None)):
        layer_cache = NullLayerCache()
        image.state_layers(layer_cache, compression)
        assert layer_cache.get_compressed(DIFF_ID, compression.identity) == expected


def test_an_index_has_the_layers_of_all_its_images(server: MemoryRegistry) -> None:
    add_index(server, amd64=dump(layer(b"one")), arm64=dump(layer(b"other")), unknown=dump(layer(b"attestation")))
    image = read(server)
    assert image
    assert image.digests == {digest_of(b"one"), digest_of(b"other")}
    assert image.list_blobs("linux/arm64") == (BlobInfo(digest_of(b"other"), 5),)
    assert image.list_blobs("linux/s390x") is None


def test_a_manifest_of_an_index_that_may_not_be_read_is_left_out_on_demand(server: MemoryRegistry) -> None:
    add_index(server, amd64=dump(layer(b"one")), arm64=dump(layer(b"other")))
    server.fail("GET", f"/manifests/{digest_of(dump(layer(b'one')))}", answer_with(403), times=9)
    with connect(server) as connection:
        image = read_earlier_image(connection, server.reference(), is_optional=True)
        assert image
        assert image.digests == {digest_of(b"other")}
        with pytest.raises(AuthError):
            read_earlier_image(connection, server.reference())


def test_there_may_be_no_image(server: MemoryRegistry) -> None:
    assert read(server) is None


@pytest.mark.parametrize("document", [b"[]", b"{}", b"{", b'{"layers": [{"mediaType": 1}]}'])
@pytest.mark.parametrize("media_type", [MANIFEST_TYPE, INDEX_TYPE])
def test_a_manifest_that_is_not_valid_is_an_error(server: MemoryRegistry, document: bytes, media_type: str) -> None:
    server.add_manifest("me/app", "1", document, media_type)
    with pytest.raises(FormatError):
        read(server)
