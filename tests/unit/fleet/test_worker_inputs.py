"""A worker gets the stores and the layer cache of an image, and never a password."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lamina.errors import InvalidArgument
from lamina.fleet.layer_task import CachePlace
from lamina.fleet.worker_inputs import find_blob_cache, find_layer_cache, find_sources
from lamina.inputs.spec import Spec
from lamina.stores.store import adapt_store


def make_spec(**arguments: Any) -> Spec:
    return Spec.parse({"contents": ["web"], **arguments})


@pytest.mark.parametrize(
    "url",
    [
        "https://cache.example/nix",
        "s3://bucket?endpoint=127.0.0.1:9000&scheme=http",
        "s3://bucket?region=eu",
        "/shared",
    ],
)
def test_a_cluster_gets_stores_without_credentials(url: str) -> None:
    sources = find_sources(make_spec(store=url, embedded_store="/here"), on_cluster=True)
    assert sources.stores.store == (url,)
    assert sources.embedded_store is None


@pytest.mark.parametrize(
    "url",
    ["https://user:hunter2@cache.example", "https://hunter2@cache.example", "https://cache.example?token=hunter2"],
)
def test_a_password_does_not_leave_this_machine(url: str) -> None:
    spec = make_spec(store=url)
    with pytest.raises(InvalidArgument) as raised:
        find_sources(spec, on_cluster=True)
    assert "hunter2" not in f"{raised.value} {raised.value.hint}"
    assert find_sources(spec, on_cluster=False).stores.store == (url,)


def test_a_cluster_gets_folders_that_do_not_depend_on_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_sources(make_spec(store="root"), on_cluster=True).stores.store == (str(tmp_path / "root"),)


def test_a_store_object_cannot_be_opened_by_another_process() -> None:
    class Objects:
        def query(self, paths: Any) -> Any: ...
        def nodes(self, path: Any) -> Any: ...

    with pytest.raises(InvalidArgument, match="store: got an object"):
        find_sources(make_spec(store=adapt_store(Objects())), on_cluster=False)


def test_a_channel_is_not_read_by_workers_that_have_stores() -> None:
    assert find_sources(make_spec(store="/x", channel="https://c.example/c"), on_cluster=False).stores.channel is None
    assert find_sources(make_spec(channel="https://c.example/c"), on_cluster=False).stores.channel


@pytest.mark.parametrize(
    ("place", "expected"), [("/file", None), ("s3://bucket/prefix", "s3://bucket/prefix"), ("file:///x", "file:///x")]
)
def test_a_cluster_uses_only_shared_caches(place: str, expected: str | None) -> None:
    spec = make_spec(layer_cache=place, local_layer_cache="/local", blob_cache=place, local_blob_cache="/blobs")
    assert find_blob_cache(spec, on_cluster=True) == CachePlace(expected)
    assert find_blob_cache(spec, on_cluster=False) == CachePlace(spec.blob_cache, spec.local_blob_cache)
    assert find_layer_cache(spec, on_cluster=True) == CachePlace(expected)
    assert find_layer_cache(spec, on_cluster=False) == CachePlace(spec.layer_cache, spec.local_layer_cache)
