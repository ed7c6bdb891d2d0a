"""Images are made once, when somebody asks for them, and layers that the layer cache knows only for their readers."""

from __future__ import annotations

import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.fake_nix_store import FakeStore, example, layer_cache_at
from tests.support.served_images import LocalClient, StoreCatalog, layers_of, open_files

from lamina.core.names import Digest
from lamina.layers.context import BuildContext
from lamina.server import images_on_demand
from lamina.server.images_on_demand import ImagesOnDemand
from lamina.server.served_image import ServedImage

CONTENTS = {("hello", "latest"): ["hello"]}


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    store, _ = example(tmp_path / "root")
    return store


def test_clients_at_the_same_time_cause_one_making(store: FakeStore) -> None:
    barrier = threading.Barrier(32)

    def pull() -> bytes:
        barrier.wait(60)
        return client.get("/v2/hello/manifests/latest").body

    with open_files() as files, ThreadPoolExecutor(32) as pool:
        catalog = StoreCatalog(store.root, CONTENTS, files)
        client = LocalClient(ImagesOnDemand(catalog, 1))
        answers = {pulled.result() for pulled in [pool.submit(pull) for _ in range(32)]}
    assert len(answers) == 1
    assert catalog.made == ["hello:latest"]


def test_what_is_ready_is_known_without_making_an_image(store: FakeStore) -> None:
    now = 0.0
    with open_files() as files:
        catalog = StoreCatalog(store.root, CONTENTS, files)
        images = ImagesOnDemand(catalog, 1, clock=lambda: now)
        assert not images.is_ready("hello", "latest")
        assert catalog.made == []
        manifest = images.find_manifest("hello", "latest")
        assert manifest
        config = Digest.parse_oci(json.loads(manifest.document)["config"]["digest"])
        for target in ("latest", manifest.digest, config):
            assert images.is_ready("hello", target)
            assert not images.is_ready("other", target)
        assert not images.is_ready("hello", "other")
        assert not images.is_ready("hello", Digest(bytes(32)))
        now = images_on_demand.MAX_AGE
        assert not images.is_ready("hello", "latest")
        assert images.is_ready("hello", config)
        assert catalog.made == ["hello:latest"]


def test_no_more_images_are_made_at_once_than_allowed(store: FakeStore) -> None:
    contents = {(f"image{number}", "latest"): ["hello"] for number in range(12)}
    running, most, lock = 0, 0, threading.RLock()

    class CountingCatalog(StoreCatalog):
        def make(self, repository: str, tag: str) -> ServedImage:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            try:
                return super().make(repository, tag)
            finally:
                with lock:
                    running -= 1

    with open_files() as files, ThreadPoolExecutor(12) as pool:
        client = LocalClient(ImagesOnDemand(CountingCatalog(store.root, contents, files), 2))
        statuses = list(pool.map(lambda key: client.get(f"/v2/{key[0]}/manifests/latest").status, contents))
    assert statuses == [200] * 12
    assert 1 <= most <= 2


def test_a_layer_that_the_layer_cache_knows_is_made_when_it_is_read(store: FakeStore, tmp_path: Path) -> None:
    documents = []
    for is_known in (False, True):
        with layer_cache_at(tmp_path / "layers.sqlite") as layer_cache, open_files() as files:
            catalog = StoreCatalog(store.root, CONTENTS, files, BuildContext(layer_cache))
            client = LocalClient(ImagesOnDemand(catalog, 1))
            documents.append(client.get("/v2/hello/manifests/latest").body)
            layers = layers_of(json.loads(documents[-1]))
            # The customisation layer has no key, so it is made with every image.
            assert len(files._files) == (1 if is_known else len(layers))
            for digest in layers:
                blob = client.get(f"/v2/hello/blobs/{digest}").body
                assert digest == "sha256:" + hashlib.sha256(blob).hexdigest()
            assert len(files._files) == len(layers)
    assert documents[0] == documents[1]


def test_a_blob_is_served_by_a_process_that_never_sent_the_manifest(store: FakeStore) -> None:
    with open_files() as files, open_files() as other_files:
        first = LocalClient(ImagesOnDemand(StoreCatalog(store.root, CONTENTS, files), 1))
        second = LocalClient(ImagesOnDemand(StoreCatalog(store.root, CONTENTS, other_files), 1))
        answer = first.get("/v2/hello/manifests/latest")
        for digest in layers_of(json.loads(answer.body)):
            assert second.get(f"/v2/hello/blobs/{digest}").body == first.get(f"/v2/hello/blobs/{digest}").body
        assert second.get(f"/v2/hello/manifests/{answer.headers['docker-content-digest']}").body == answer.body


def test_a_tag_is_looked_up_again_after_a_while_and_the_old_image_stays(store: FakeStore) -> None:
    now = 0.0
    contents = {("hello", "latest"): ["hello"]}
    with open_files() as files:
        catalog = StoreCatalog(store.root, contents, files)
        client = LocalClient(ImagesOnDemand(catalog, 1, lambda: now))
        old = client.get("/v2/hello/manifests/latest")
        store.add("other-1", {"data": b"other"})
        contents["hello", "latest"] = ["other"]
        now = images_on_demand.MAX_AGE - 1
        assert client.get("/v2/hello/manifests/latest").body == old.body
        now = images_on_demand.MAX_AGE
        new = client.get("/v2/hello/manifests/latest")
        assert new.body != old.body
        assert client.get(f"/v2/hello/manifests/{old.headers['docker-content-digest']}").body == old.body
        for layer in (*layers_of(json.loads(old.body)), *layers_of(json.loads(new.body))):
            assert client.get(f"/v2/hello/blobs/{layer}").status == 200


def test_a_making_that_failed_is_tried_again(store: FakeStore) -> None:
    contents = {("x", "latest"): ["later"]}
    with open_files() as files:
        client = LocalClient(ImagesOnDemand(StoreCatalog(store.root, contents, files), 1))
        assert client.get("/v2/x/manifests/latest").status == 404
        store.add("later-1", {"data": b"x"})
        assert client.get("/v2/x/manifests/latest").status == 200


def test_few_images_are_kept(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images_on_demand, "MAX_IMAGES", 3)
    contents = {(f"image{number}", "latest"): ["hello"] for number in range(6)}
    with open_files() as files:
        images = ImagesOnDemand(StoreCatalog(store.root, contents, files), 1)
        client = LocalClient(images)
        layers = {name: layers_of(json.loads(client.get(f"/v2/{name}/manifests/latest").body)) for name, _ in contents}
        assert len(images._images) == len(images._tagged) == 3
        for name, digests in layers.items():  # which makes the images again
            assert all(client.get(f"/v2/{name}/blobs/{digest}").status == 200 for digest in digests)
