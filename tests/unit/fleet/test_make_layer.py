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
from lamina.fleet.layer_task import CachePlace, LayerResult, LayerTask, PathSources
from lamina.fleet.make_layer import make_layer
from lamina.formats.tar import Owner
from lamina.inputs.spec import StoreSpec
from lamina.inputs.stores import open_store
from lamina.layer_cache.cache import LayerCache
from lamina.layer_cache.encoding import make_claim_key
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
        batch="a" * 32,
    )


def make(task: LayerTask) -> LayerResult:
    made = make_layer(task)
    assert made, "no other batch makes it"
    return made


def test_a_layer_that_its_home_has_needs_no_store(task: LayerTask, store: FakeStore) -> None:
    first = make(task)
    store.root.rename(store.root.with_name("moved"))
    second = make(task)
    assert (first.is_made, second.is_made) == (True, False)
    assert (second.plain, second.blob, second.bytes_sent) == (first.plain, first.blob, 0)


def test_a_layer_that_the_blob_cache_has_needs_no_store(task: LayerTask, store: FakeStore, tmp_path: Path) -> None:
    first = make(task)
    store.root.rename(store.root.with_name("moved"))
    other = make(replace(task, home=LayoutHome(str(tmp_path / "other"))))
    assert (other.plain, other.blob, other.is_made) == (first.plain, first.blob, False)
    assert other.bytes_sent == first.blob.size


def claim(task: LayerTask, seconds: int) -> None:
    """Claim the layer of a task as another batch does."""
    key = make_claim_key(task.inputs.key, task.compression, repr(task.home))
    with LayerCache.open(Path(task.layer_cache.place or ""), pytest.fail) as layer_cache:
        assert layer_cache.claim(key, "b" * 32, seconds)


def test_a_layer_that_another_batch_makes_is_not_made(task: LayerTask) -> None:
    claim(task, 60)
    assert make_layer(task) is None
    verified = make_layer(replace(task, verify=True))
    assert verified
    assert verified.is_made


def test_a_layer_whose_claim_has_ended_is_made(task: LayerTask) -> None:
    claim(task, -1)
    made = make(task)
    assert made.is_made


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_layer_is_free_for_others_after_it_was_made_and_after_it_failed(
    task: LayerTask, store: FakeStore, is_lost: bool
) -> None:
    if is_lost:
        lose_files(store)
        with pytest.raises(StoreError):
            make_layer(task)
    else:
        make(task)
    claim(task, 60)


def test_a_layer_that_was_made_after_it_was_looked_up_is_not_made_again(
    task: LayerTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = LayerCache.claim

    def take_late(layer_cache: LayerCache, key: bytes, claimant: str, seconds: int) -> bool:
        monkeypatch.setattr(LayerCache, "claim", take)
        assert make(replace(task, batch="b" * 32)).is_made
        return layer_cache.claim(key, claimant, seconds)

    monkeypatch.setattr(LayerCache, "claim", take_late)
    assert make_layer(task) is None
    assert not make(task).is_made


def test_a_known_layer_that_its_home_lost_is_made_again(task: LayerTask, tmp_path: Path) -> None:
    first = make(task)
    other = make(replace(task, home=LayoutHome(str(tmp_path / "other")), blob_cache=CachePlace()))
    assert other.is_made
    assert other.blob == first.blob


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
