"""Blobs of a push are asked for once, and mounted from wherever the registry has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.support.registry import (
    MemoryRegistry,
    config_document,
    connect,
    digest_of,
    manifest_document,
    serve_registry,
)

from lamina.formats.oci import LAYER_TYPE, MANIFEST_TYPE, Descriptor
from lamina.images.registry_destination import open_destination
from lamina.images.writers.blob_locations import BlobLocations
from lamina.layers.layer import StoredBlob
from lamina.system.transfer import BlobInfo

DATA = b"layer"
DIGEST = digest_of(DATA)


@pytest.fixture
def server() -> Iterator[MemoryRegistry]:
    with serve_registry() as server:
        server.add_blob("base/image", DATA)
        yield server


@contextmanager
def opened(server: MemoryRegistry, *names: str) -> Iterator[BlobLocations]:
    def open_repository(reference: Any, is_writer: bool) -> Any:
        return connect(server, f"{reference.repository}:{reference.tag}", is_writer=is_writer)

    with open_destination([server.reference(name) for name in names], (), open_repository) as destination:
        server.seen.clear()
        yield BlobLocations(destination)


def stored(server: MemoryRegistry) -> StoredBlob:
    descriptor = Descriptor(LAYER_TYPE, DIGEST, len(DATA))
    plain = BlobInfo(DIGEST, len(DATA))
    return StoredBlob(descriptor, plain, lambda start: (DATA[start:],), f"{server.host}/base/image")


def test_a_blob_of_a_known_owner_is_mounted_into_all_repositories_and_asked_for_once(server: MemoryRegistry) -> None:
    with opened(server, "me/app:1", "you/app:1") as locations:
        locations.add_owners([stored(server)])
        found = locations.find(DIGEST)
        count = len(server.seen)
        assert ([target.name for target in found.present], found.missing) == (["me/app", "you/app"], ())
        assert (found.outcome, locations.find(DIGEST)) == ("mounted", found)
        assert [request.method for request in server.seen] == ["POST", "POST"], "no repository has such an image yet"
        assert count == 2


def test_a_repository_with_an_earlier_image_is_asked_before_a_blob_is_mounted(server: MemoryRegistry) -> None:
    server.add_blob("me/app", DATA)
    server.add_manifest("me/app", "1", manifest_document(config_document(), DATA), MANIFEST_TYPE)
    with opened(server, "me/app:1") as locations:
        locations.add_owners([stored(server)])
        found = locations.find(DIGEST)
        assert (len(found.present), found.outcome) == (1, "reused")
        assert [request.method for request in server.seen] == ["HEAD"]


def test_a_blob_that_is_there_is_found_although_nothing_can_be_mounted(server: MemoryRegistry) -> None:
    server.can_mount = False
    server.add_blob("me/app", DATA)
    with opened(server, "me/app:1") as locations:
        locations.add_owners([stored(server)])
        found = locations.find(DIGEST)
        assert (len(found.present), found.missing, found.outcome) == (1, (), "reused")


def test_a_blob_without_a_known_owner_is_missing_until_a_neighbour_has_it(server: MemoryRegistry) -> None:
    with opened(server, "me/app:1", "you/app:1") as locations:
        found = locations.find(DIGEST)
        assert [(target.name, session) for target, session in found.missing] == [("me/app", None), ("you/app", None)]
        (first, _), (second, _) = found.missing
        assert locations.mount(first, DIGEST, []) == (False, None)
        server.add_blob("me/app", DATA)
        assert locations.mount(second, DIGEST, [first]) == (True, None)
        locations.put(DIGEST)
        assert (locations.find(DIGEST).missing, locations.find(DIGEST).outcome) == ((), "reused")


def test_a_registry_that_mounts_nothing_opens_a_session(server: MemoryRegistry) -> None:
    server.can_mount = False
    with opened(server, "me/app:1") as locations:
        locations.add_owners([stored(server)])
        ((_, session),) = locations.find(DIGEST).missing
        assert session is not None


def test_after_forget_all_is_asked_again_and_nothing_is_mounted(server: MemoryRegistry) -> None:
    with opened(server, "me/app:1") as locations:
        locations.add_owners([stored(server)])
        locations.find(DIGEST)
        server.blobs["me/app"].clear()
        locations.forget()
        server.seen.clear()
        ((_, session),) = locations.find(DIGEST).missing
        assert session is None
        assert [request.method for request in server.seen] == ["HEAD"]
