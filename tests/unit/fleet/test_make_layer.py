"""A worker makes a layer from the stores of its task, which it opens only if the layer has to be packed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.fake_nix_store import FakeStore, lose_files

from lamina.compression.compressors import REGISTRY_LAYER_COMPRESSION
from lamina.core.names import Digest
from lamina.errors import IntegrityError, NotFound, StoreError
from lamina.fleet.blob_homes import LayoutHome
from lamina.fleet.fingerprint import Fingerprint
from lamina.fleet.layer_task import CachePlace, LayerTask, PathSources
from lamina.fleet.make_layer import make_layer
from lamina.formats.tar import Owner
from lamina.inputs.spec import StoreSpec
from lamina.inputs.stores import open_store
from lamina.layer_cache.key import LayerInputs


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return FakeStore(tmp_path / "root")


@pytest.fixture
def task(store: FakeStore, tmp_path: Path) -> LayerTask:
    path = store.add("lib-1", {"lib": bytes(range(256)) * 300})
    sources = PathSources(StoreSpec.parse({"store": str(store.root)}))
    with open_store(sources.stores, None, []) as opened:
        info = opened.query([path])[path]
    assert info.nar_hash
    assert info.nar_size
    return LayerTask(
        LayerInputs(Owner(0, 0, "root", "root"), 1, ((path, info.nar_hash, info.nar_size),)),
        str(REGISTRY_LAYER_COMPRESSION),
        sources,
        LayoutHome(str(tmp_path / "images")),
        Fingerprint.of_this_process([REGISTRY_LAYER_COMPRESSION]),
        CachePlace(str(tmp_path / "layers.sqlite")),
        CachePlace(str(tmp_path / "blobs")),
    )


def test_a_layer_that_its_home_has_needs_no_store(task: LayerTask, store: FakeStore) -> None:
    first = make_layer(task)
    store.root.rename(store.root.with_name("moved"))
    second = make_layer(task)
    assert (first.is_made, second.is_made) == (True, False)
    assert (second.plain, second.blob, second.bytes_sent) == (first.plain, first.blob, 0)


def test_a_layer_that_the_blob_cache_has_needs_no_store(task: LayerTask, store: FakeStore, tmp_path: Path) -> None:
    first = make_layer(task)
    store.root.rename(store.root.with_name("moved"))
    other = make_layer(replace(task, home=LayoutHome(str(tmp_path / "other"))))
    assert (other.plain, other.blob, other.is_made) == (first.plain, first.blob, False)
    assert other.bytes_sent == first.blob.size


def test_a_layer_that_nothing_has_needs_its_stores(task: LayerTask, store: FakeStore) -> None:
    store.root.rename(store.root.with_name("moved"))
    with pytest.raises(StoreError):
        make_layer(task)


def test_a_store_without_the_path_is_named_as_that_of_the_worker(task: LayerTask, tmp_path: Path) -> None:
    other = FakeStore(tmp_path / "another")
    other.add("else-1", {"lib": b"x"})
    with pytest.raises(NotFound, match="no such path in the stores of the worker"):
        make_layer(replace(task, sources=PathSources(StoreSpec.parse({"store": str(other.root)}))))


def test_a_path_of_other_contents_is_refused(task: LayerTask) -> None:
    (path, _, size) = task.inputs.contents[0]
    inputs = replace(task.inputs, contents=((path, Digest(bytes(32)), size),))
    with pytest.raises(IntegrityError, match="the NAR hash"):
        make_layer(replace(task, inputs=inputs))


def test_files_that_are_gone_are_an_error_of_the_store(task: LayerTask, store: FakeStore) -> None:
    lose_files(store)
    with pytest.raises(StoreError):
        make_layer(task)
