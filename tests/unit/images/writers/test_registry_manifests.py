"""Manifests of an index are stored by digest; the index is stored last, under the tags."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.support.registry import QUICK, MemoryRegistry, digest_of, serve_registry

from lamina.errors import RegistryError
from lamina.formats.media_types import OCI
from lamina.formats.oci import Descriptor, dump_manifest
from lamina.formats.oci_index import PlatformManifest, dump_index
from lamina.formats.platform import Platform
from lamina.images.registry_destination import RegistryDestination, open_destination
from lamina.images.writers.registry_manifests import publish_index, put_under_digest
from lamina.registry.open import open_repository
from lamina.transports.retry import use_policy

CONFIG = b'{"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}'


@pytest.fixture
def server() -> Iterator[MemoryRegistry]:
    with serve_registry() as server, use_policy(QUICK):
        yield server


@contextmanager
def destination(server: MemoryRegistry, *names: str) -> Iterator[RegistryDestination]:
    references = [server.reference(name) for name in names]
    with open_destination(references, (), lambda name, is_writer: open_repository(name, is_writer=is_writer)) as opened:
        yield opened


def make_manifest(server: MemoryRegistry, *repositories: str) -> bytes:
    for repository in repositories:
        server.add_blob(repository, CONFIG)
    return dump_manifest(Descriptor(OCI.config, digest_of(CONFIG), len(CONFIG)), [])


def make_index(manifest: bytes) -> bytes:
    descriptor = Descriptor(OCI.manifest, digest_of(manifest), len(manifest))
    return dump_index([PlatformManifest(descriptor, Platform.parse("amd64"))])


def test_an_index_is_under_all_tags_and_its_manifests_have_none(server: MemoryRegistry) -> None:
    names = ("me/app:1", "me/app:2", "other/app:1")
    manifest = make_manifest(server, "me/app", "other/app")
    index = make_index(manifest)
    with destination(server, *names) as opened:
        stored = put_under_digest(opened, manifest, OCI.manifest)
        published = publish_index(opened, index, OCI.index)
    assert stored == tuple(f"{server.host}/{name}@{digest_of(manifest)}" for name in ("me/app", "other/app"))
    assert published == tuple(f"{server.host}/{name}@{digest_of(index)}" for name in names)
    for repository, tags in (("me/app", {"1", "2"}), ("other/app", {"1"})):
        found = server.manifests[repository]
        assert {target for target in found if ":" not in target} == tags
        assert all(found[tag] == (OCI.index, index) for tag in tags)


def test_a_tag_that_names_the_index_already_is_not_written(server: MemoryRegistry) -> None:
    manifest = make_manifest(server, "me/app")
    server.add_manifest("me/app", str(digest_of(manifest)), manifest, OCI.manifest)
    server.add_manifest("me/app", "1", make_index(manifest), OCI.index)
    with destination(server, "me/app:1", "me/app:2") as opened:
        publish_index(opened, make_index(manifest), OCI.index)
    assert [request.path for request in server.seen if request.method == "PUT"] == ["/v2/me/app/manifests/2"]


def test_an_index_whose_manifest_is_missing_is_refused_with_a_hint(server: MemoryRegistry) -> None:
    with (
        destination(server, "me/app:1") as opened,
        pytest.raises(RegistryError, match="MANIFEST_BLOB_UNKNOWN") as refused,
    ):
        publish_index(opened, make_index(make_manifest(server, "me/app")), OCI.index)
    assert "ask its operator" in (refused.value.hint or "")
    assert "me/app" not in server.manifests
