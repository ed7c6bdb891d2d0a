"""Base images in a registry: their layers are fetched only if something needs their content."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.base_images import pack, serve_base_images
from tests.support.buckets import list_keys, serve_buckets
from tests.support.fake_nix_store import FakeStore, example, run
from tests.support.image_files import LayoutBuilder, sha256, tar
from tests.support.progress import RecordedProgress
from tests.support.registry import MemoryRegistry, add_image, answer_with, serve_registry
from tests.support.s3_server import ID, SECRET, without_settings

import lamina
from lamina.errors import IntegrityError, InvalidArgument, PlanError, RegistryError
from lamina.transports.retry import RetryPolicy, use_policy

LOWER = tar({"usr/": None, "usr/bin/": None, "usr/bin/sh": b"sh", "bin": "usr/bin"})
UPPER = tar({"etc/": None, "etc/os-release": b"ID=base\n"})
ENV = {"config": {"Env": ["FROM_PARENT=1"]}}


BLOBS = [sha256(pack(LOWER)), sha256(pack(UPPER))]


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryRegistry]:
    """Return a registry with base/image:1, whose two layers are gzipped, and base/all:1 for two platforms."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.chdir(tmp_path)
    with serve_base_images(tmp_path / "layout", [LOWER, UPPER], ENV) as server:
        yield server


def make_stream(store: FakeStore, image: str, **arguments: Any) -> lamina.Stream:
    named = {"contents": ["hello"], "store": str(store.root), "architecture": "amd64", **arguments}
    return lamina.stream_layered_image(from_image=image, **named)


def list_fetched(registry: MemoryRegistry) -> list[str]:
    """Return the layers of the base that were asked for with GET, in any order."""
    paths = [request.path.rpartition("/")[2] for request in registry.seen if request.method == "GET"]
    return sorted(path for path in paths if path in BLOBS)


def test_the_image_is_the_one_over_a_layout_with_the_same_blobs(
    registry: MemoryRegistry, store: FakeStore, tmp_path: Path
) -> None:
    with make_stream(store, f"{registry.host}/base/image:1") as stream:
        over_registry = stream.build(tmp_path / "1.tar")
    with make_stream(store, str(tmp_path / "layout")) as stream:
        over_layout = stream.build(tmp_path / "2.tar")
    assert over_registry.digest == over_layout.digest
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()
    (image,) = lamina.inspect(tmp_path / "1.tar")
    assert [str(layer.diff_id) for layer in image.layers[:2]] == [sha256(LOWER), sha256(UPPER)]
    assert image.config["config"]["Env"] == ["FROM_PARENT=1"]


def test_each_layer_is_fetched_once_into_the_blob_cache(
    registry: MemoryRegistry, store: FakeStore, tmp_path: Path
) -> None:
    for number in range(2):
        with make_stream(store, f"{registry.host}/base/image:1", blob_cache=tmp_path / "cache") as stream:
            stream.build(tmp_path / f"{number}.tar")
    assert list_fetched(registry) == sorted(BLOBS)
    assert sorted(file.name for file in (tmp_path / "cache/sha256").iterdir()) == sorted(name[7:] for name in BLOBS)
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["sha256"]


def test_machines_share_a_bucket_of_blobs(
    registry: MemoryRegistry, store: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_settings(monkeypatch, tmp_path)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with serve_buckets("cache") as address:
        bucket = f"s3://cache?endpoint={address}&scheme=http&region=us-east-1"
        for name in ("first", "second"):
            arguments = {"blob_cache": bucket, "local_blob_cache": tmp_path / name}
            with make_stream(store, f"{registry.host}/base/image:1", **arguments) as stream:
                assert not stream.build(tmp_path / f"{name}.tar").warnings
        assert sorted(list_keys(address, "cache")) == sorted(f"blobs/sha256/{name[7:]}" for name in BLOBS)
    assert list_fetched(registry) == sorted(BLOBS), "each layer came from the registry once"
    assert (tmp_path / "first.tar").read_bytes() == (tmp_path / "second.tar").read_bytes()


def test_a_bucket_of_blobs_that_does_not_answer_is_one_warning(
    registry: MemoryRegistry, store: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_settings(monkeypatch, tmp_path)
    arguments = {"blob_cache": "s3://cache?endpoint=127.0.0.1:9&scheme=http", "local_blob_cache": tmp_path / "local"}
    with (
        use_policy(RetryPolicy(initial_delay=0.001)),
        make_stream(store, f"{registry.host}/base/image:1", **arguments) as stream,
    ):
        (warning,) = stream.build(tmp_path / "x.tar").warnings
    assert warning.startswith("s3://cache/blobs/sha256/")
    assert warning.endswith(": continuing without the shared blob cache")
    assert list_fetched(registry) == sorted(BLOBS)


def test_a_damaged_layer_in_the_blob_cache_is_fetched_again(
    registry: MemoryRegistry, store: FakeStore, tmp_path: Path
) -> None:
    file = tmp_path / "cache/sha256" / BLOBS[0][7:]
    file.parent.mkdir(parents=True)
    file.write_bytes(b"damaged")
    with make_stream(store, f"{registry.host}/base/image:1", blob_cache=tmp_path / "cache") as stream:
        stream.build(tmp_path / "x.tar")
    assert file.read_bytes() == pack(LOWER)


def test_a_blob_cache_that_cannot_be_written_is_not_used(
    registry: MemoryRegistry, store: FakeStore, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    with make_stream(store, f"{registry.host}/base/image:1", blob_cache=tmp_path / "file/cache") as stream:
        assert len(stream.build(tmp_path / "x.tar").layers) > 2


def test_a_plan_fetches_no_layer(registry: MemoryRegistry, store: FakeStore) -> None:
    planned = lamina.plan_layered_image(
        contents=["hello"], store=str(store.root), from_image=f"{registry.host}/base/image:1", max_layers=5
    )
    assert len(planned.layers) == 2
    assert list_fetched(registry) == []


def test_a_plan_takes_the_platform_of_this_machine(
    registry: MemoryRegistry, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    arguments: dict[str, Any] = {"contents": ["hello"], "store": str(store.root)}
    assert lamina.plan_layered_image(from_image=f"{registry.host}/base/all:1", **arguments).layers
    arm = registry.manifests["base/all"]["1"][1]
    digests = [entry["digest"] for entry in json.loads(arm)["manifests"]]
    asked = [digest for digest in digests if any(request.path.endswith(digest) for request in registry.seen)]
    assert asked == digests[1:]


def test_what_was_fetched_is_removed_if_the_image_fails(
    registry: MemoryRegistry, store: FakeStore, tmp_path: Path
) -> None:
    with pytest.raises(PlanError, match="layers"):
        make_stream(store, f"{registry.host}/base/image:1", max_layers=1, blob_cache=tmp_path / "cache")
    assert list_fetched(registry) == sorted(BLOBS)
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["sha256"]


def test_a_script_contains_the_layers(registry: MemoryRegistry, store: FakeStore, tmp_path: Path) -> None:
    with make_stream(store, f"{registry.host}/base/image:1") as stream:
        stream.script(tmp_path / "script")
        stream.build(tmp_path / "x.tar")
    registry.manifests.clear()
    ran = subprocess.run([tmp_path / "script"], capture_output=True, check=True)
    assert ran.stdout == (tmp_path / "x.tar").read_bytes()


def test_a_push_into_the_same_registry_mounts_the_layers(registry: MemoryRegistry, store: FakeStore) -> None:
    pushed = lamina.push_layered_image(
        to=f"{registry.host}/me/app:1",
        closure=["hello"],
        name="app",
        store=str(store.root),
        architecture="amd64",
        from_image=f"{registry.host}/base/image:1",
    )
    assert list_fetched(registry) == []
    assert pushed.blobs_mounted == 2
    assert [str(layer.diff_id) for layer in pushed.layers[:2]] == [sha256(LOWER), sha256(UPPER)]
    assert {*BLOBS} <= {*registry.blobs["me/app"]}


def test_a_layer_that_the_layer_cache_knows_is_mounted_from_the_base(
    registry: MemoryRegistry, store: FakeStore, tmp_path: Path
) -> None:
    closure: dict[str, Any] = {"closure": ["hello"], "name": "app", "store": str(store.root), "architecture": "amd64"}
    first = lamina.push_layered_image(to=f"{registry.host}/me/base:1", layer_cache=tmp_path / "cache.sqlite", **closure)
    pushed = lamina.push_layered_image(
        to=f"{registry.host}/me/app:1",
        layer_cache=tmp_path / "cache.sqlite",
        from_image=f"{registry.host}/me/base:1",
        **closure,
    )
    assert pushed.blobs_sent == 1, "the customisation layer"
    assert (pushed.blobs_mounted, pushed.blobs_reused) == (len(first.layers), 0), "two layers with one blob count once"
    assert len(pushed.layers) == 2 * len(first.layers)


def test_a_push_into_another_registry_copies_the_layers(registry: MemoryRegistry, store: FakeStore) -> None:
    with serve_registry() as other:
        pushed = lamina.push_layered_image(
            to=f"{other.host}/me/app:1",
            closure=["hello"],
            name="app",
            store=str(store.root),
            architecture="amd64",
            from_image=f"{registry.host}/base/image:1",
        )
        assert (pushed.blobs_mounted, list_fetched(registry)) == (0, sorted(BLOBS))
        assert {*BLOBS} <= {*other.blobs["me/app"]}
        assert [layer.size for layer in pushed.layers[:2]] == [len(pack(LOWER)), len(pack(UPPER))]


def test_links_at_the_root_need_the_base_and_its_blobs_stay_as_they_are(
    registry: MemoryRegistry, store: FakeStore
) -> None:
    pushed = lamina.push_layered_image(
        to=f"{registry.host}/me/app:1",
        contents=["hello"],
        store=str(store.root),
        architecture="amd64",
        from_image=f"{registry.host}/base/image:1",
    )
    assert list_fetched(registry) == sorted(BLOBS)
    assert (pushed.blobs_mounted, [str(blob.digest) for blob in pushed.blobs[:2]]) == (2, BLOBS)
    assert pushed.layers[0].size == len(LOWER)


def test_the_architecture_chooses_one_of_several_platforms(registry: MemoryRegistry, store: FakeStore) -> None:
    image = f"{registry.host}/base/all:1"
    with make_stream(store, image, architecture="arm64") as stream:
        assert stream.draft.settings.config.architecture == "arm64"
    with pytest.raises(PlanError, match="got images for linux/amd64, linux/arm64, expected one for linux/s390x") as no:
        make_stream(store, image, architecture="s390x")
    assert "--architecture" in no.value.hint
    with pytest.raises(PlanError, match="expected to be told which"):
        make_stream(store, image, architecture=None)


def test_the_fetch_is_reported(registry: MemoryRegistry, store: FakeStore, tmp_path: Path) -> None:
    recorder = RecordedProgress()
    with make_stream(store, f"{registry.host}/base/image:1", progress=recorder):
        pass
    assert [work.size for work in recorder.works] == [len(pack(LOWER)) + len(pack(UPPER))]
    assert sum(recorder.sum_up().values()) == recorder.works[0].size


def test_without_the_network_a_reference_is_refused(registry: MemoryRegistry, store: FakeStore) -> None:
    with pytest.raises(InvalidArgument, match="base/image:1 and offline") as raised:
        make_stream(store, f"{registry.host}/base/image:1", offline=True)
    assert raised.value.hint.startswith("fetch it first: lamina pull ")
    assert not registry.seen


def test_a_digest_pins_the_base(registry: MemoryRegistry, store: FakeStore) -> None:
    digest = sha256(registry.manifests["base/image"]["1"][1])
    with make_stream(store, f"{registry.host}/base/image@{digest}") as stream:
        assert len(stream.draft.base) == 2
    with pytest.raises(RegistryError, match="got no such image"):
        make_stream(store, f"{registry.host}/base/image@sha256:{'0' * 64}")


def test_a_layer_with_other_bytes_is_refused(registry: MemoryRegistry, store: FakeStore) -> None:
    registry.fail("GET", f"/blobs/{BLOBS[1]}", answer_with(200, {}, bytes(len(pack(UPPER)))), times=9)
    with pytest.raises(IntegrityError):
        make_stream(store, f"{registry.host}/base/image:1")


def test_a_layer_that_is_not_the_one_of_the_config_is_refused(registry: MemoryRegistry, store: FakeStore) -> None:
    layout = LayoutBuilder()
    image = layout.image([LOWER], compress=lambda _: pack(UPPER), ending="+gzip")
    add_image(registry, layout, image, "base/wrong")
    with pytest.raises(IntegrityError, match=rf"{registry.host}/base/wrong:1: "):
        make_stream(store, f"{registry.host}/base/wrong:1")


def test_a_spec_file_names_a_reference_a_layout_or_a_file(
    registry: MemoryRegistry, store: FakeStore, tmp_path: Path
) -> None:
    (tmp_path / "specs").mkdir()
    (tmp_path / "layout").rename(tmp_path / "specs/layout")
    for image in (f"{registry.host}/base/image:1", "oci:layout", "layout"):
        table = f'[app]\ncontents = ["hello"]\ntag = "1"\nfromImage = "{image}"\n'
        (tmp_path / "specs/lamina.toml").write_text(table)
        ran = run(
            "build", "--spec", "specs/lamina.toml", "--store", store.root, "-o", f"{image.rpartition('/')[2]}.tar"
        )
        assert ran.code == 0, ran.stderr
