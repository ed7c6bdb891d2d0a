"""Compressed layers are kept in a blob cache, and another machine makes none of them again; trouble costs only time."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.buckets import list_keys, make_client, serve_buckets
from tests.support.fake_nix_store import CompletedRun, FakeStore, example, lose_files, run
from tests.support.processes import wait_until
from tests.support.registry import serve_registry
from tests.support.s3_server import ID, SECRET, S3Request, error_document, serve_s3, use_credentials
from tests.support.served_images import layers_of
from tests.support.serving import Serving, serve
from tests.support.shared_layer_cache import list_objects

import lamina
from lamina.transports.retry import RetryPolicy, use_policy

# Four store paths, and the customisation layer, which every run makes.
_LAYERS = 5


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serve_buckets("cache") as address:
        yield address


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    use_credentials(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    return example(tmp_path / "root")[0]


@pytest.fixture(params=["bucket", "folder"])
def place(request: pytest.FixtureRequest, server: str, tmp_path: Path) -> str:
    """Return a blob cache that several machines share."""
    if request.param == "folder":
        return (tmp_path / "kept").as_uri()
    prefix = request.node.name.partition("[")[0]
    return f"s3://cache/{prefix}?endpoint={server}&scheme=http&region=us-east-1"


@pytest.fixture
def push(store: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., CompletedRun]]:
    """Return a function that pushes on a machine; all machines share a layer cache."""
    with serve_registry() as registry:

        def push_from(machine: str, blob_cache: str | None, repository: str) -> CompletedRun:
            monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / machine))
            layers = ("--layer-cache", (tmp_path / "layers").as_uri())
            kept = ("--blob-cache", blob_cache) if blob_cache else ()
            flags = ("--store", store.root, "--architecture", "amd64", "--no-cache-from", *layers, *kept)
            with use_policy(RetryPolicy(initial_delay=0.001, max_delay=0.002)):
                return run("push", "hello", *flags, "--to", f"{registry.host}/{repository}:1")

        yield push_from


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """Return a spec file of which no file has to be read to find out the architecture."""
    file = tmp_path / "lamina.toml"
    file.write_text('[app]\ncontents = ["hello"]\narchitecture = "amd64"\n')
    return file


def pull(serving: Serving) -> list[bytes]:
    """Return the manifest and the layers of the image app, which have the right digests."""
    manifest = serving.get("/v2/app/manifests/latest").body
    layers = {digest: serving.get(f"/v2/app/blobs/{digest}").body for digest in layers_of(json.loads(manifest))}
    assert [f"sha256:{hashlib.sha256(data).hexdigest()}" for data in layers.values()] == [*layers]
    assert len(layers) == _LAYERS
    return [manifest, *layers.values()]


def list_kept(server: str) -> list[str]:
    """Return the keys of the blobs that servers kept in the bucket."""
    return [key for key in list_keys(server, "cache") if key.startswith("served/")]


def digest_of(ran: CompletedRun) -> str:
    assert ran.code == 0, ran.stderr
    return ran.stdout.decode().partition("@")[2]


def test_another_machine_pushes_to_another_repository_without_packing_a_layer(
    push: Callable[..., CompletedRun], place: str, store: FakeStore
) -> None:
    first = push("first", place, "one")
    lose_files(store)
    second = push("second", place, "two")
    assert digest_of(first) == digest_of(second)
    assert f"{_LAYERS} of {_LAYERS} blobs sent" in second.stderr
    assert "warning" not in first.stderr + second.stderr
    assert push("third", None, "three").code == 5, "without the blob cache, the files are needed"


def test_the_default_folder_keeps_no_layers_of_store_paths(push: Callable[..., CompletedRun], tmp_path: Path) -> None:
    digest_of(push("first", None, "one"))
    assert not (tmp_path / "first/lamina/blobs").exists()


def test_a_folder_keeps_layers_for_the_next_run(push: Callable[..., CompletedRun], store: FakeStore) -> None:
    first = push("first", "kept", "one")
    lose_files(store)
    assert digest_of(push("first", "kept", "two")) == digest_of(first)
    names = [file.name for file in list_objects(Path("kept"))]
    assert len(names) == _LAYERS
    assert [hashlib.sha256(file.read_bytes()).hexdigest() for file in list_objects(Path("kept"))] == names


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"x" + data[1:], lambda data: b""])
def test_damaged_blobs_never_change_an_image(
    push: Callable[..., CompletedRun], server: str, damage: Callable[[bytes], bytes]
) -> None:
    prefix = f"damaged{len(damage(b'abc'))}{damage(b'abc')[:1].decode()}"
    url = f"s3://cache/{prefix}?endpoint={server}&scheme=http&region=us-east-1"
    first, client = push("first", url, "one"), make_client(server)
    keys = [key for key in list_keys(server, "cache") if key.startswith(prefix)]
    assert len(keys) == _LAYERS
    intact = {key: client.get_object(Bucket="cache", Key=key)["Body"].read() for key in keys}
    for key, data in intact.items():
        client.put_object(Bucket="cache", Key=key, Body=damage(data))
    second = push("second", url, "two")
    assert digest_of(second) == digest_of(first)
    found = {key: client.get_object(Bucket="cache", Key=key)["Body"].read() for key in keys}
    # A blob that nobody takes is only replaced if its size is wrong.
    assert len([key for key in keys if found[key] == intact[key]]) >= _LAYERS - 1


def be_busy(request: S3Request, number: int) -> None:
    request.answer(503, error_document("SlowDown"))


def refuse_writing(request: S3Request, number: int) -> None:
    is_write = request.command == "PUT"
    request.answer(403 if is_write else 404, error_document("AccessDenied" if is_write else "NoSuchKey"))


def go_away(request: S3Request, number: int) -> None:
    """Send the first bytes of a blob."""
    request.answer(200, b"\x1f\x8b", 200)


def hang_up(request: S3Request, number: int) -> None:
    request.close_connection = True


@pytest.mark.parametrize("answer", [be_busy, refuse_writing, go_away, hang_up])
def test_a_bucket_that_fails_costs_a_warning_and_never_changes_an_image(
    push: Callable[..., CompletedRun], answer: Callable[[S3Request, int], None]
) -> None:
    first = push("first", None, "one")
    with serve_s3(answer) as failing:
        url = f"s3://cache/x?endpoint=127.0.0.1:{failing.server_port}&scheme=http&secret-key=hunter2"
        second = push("second", url, "two")
        assert failing.seen
    assert digest_of(second) == digest_of(first)
    assert second.stderr.count(": continuing without the shared blob cache") == 1, second.stderr
    assert "hunter" not in second.stderr


def test_two_servers_on_one_bucket_make_no_layer_twice(
    store: FakeStore, spec: Path, server: str, tmp_path: Path
) -> None:
    """The second server knows all digests from the layer cache, and all bytes from the blob cache."""
    url = f"s3://cache/%s?endpoint={server}&scheme=http&region=us-east-1"
    environment = {"AWS_ACCESS_KEY_ID": ID, "AWS_SECRET_ACCESS_KEY": SECRET, "no_proxy": "*"}
    arguments = ("--store", store.root, "--spec", spec, "--blob-cache", url % "served")
    pulled = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        own = {"XDG_CACHE_HOME": str(folder / "cache"), **environment}
        with serve(folder, *arguments, layer_cache=url % "layers", environment=own) as serving:
            pulled.append(pull(serving))
            wait_until(lambda: len(list_kept(server)) == _LAYERS)
            assert serving.stop() == 0
        assert "warning" not in serving.log.read_text()
        if name == "first":
            lose_files(store)
    assert pulled[0] == pulled[1]


def test_a_server_has_its_layers_after_a_restart(store: FakeStore, spec: Path, tmp_path: Path) -> None:
    pulled = []
    for _ in range(2):
        with serve(tmp_path, "--store", store.root, "--spec", spec, "--blob-cache", tmp_path / "kept") as serving:
            pulled.append(pull(serving))
            assert serving.stop() == 0
        if len(pulled) == 1:
            lose_files(store)
    assert pulled[0] == pulled[1]


def test_a_server_makes_a_layer_that_is_damaged_in_its_blob_cache(store: FakeStore, spec: Path, tmp_path: Path) -> None:
    pulled = []
    for _ in range(2):
        with serve(tmp_path, "--store", store.root, "--spec", spec, "--blob-cache", tmp_path / "kept") as serving:
            pulled.append(pull(serving))
            assert serving.stop() == 0
        for file in list_objects(tmp_path / "kept"):
            file.write_bytes(b"x" * file.stat().st_size)
    assert pulled[0] == pulled[1]


def test_python_keeps_layers_in_a_folder(store: FakeStore, tmp_path: Path) -> None:
    arguments: Any = {
        "contents": ["hello"],
        "store": [str(store.root)],
        "architecture": "amd64",
        "layer_cache": tmp_path / "layers",
        "layer_compression": "gzip",
    }
    first = lamina.build_layered_image(output="layout/", blob_cache=tmp_path / "kept", **arguments)
    lose_files(store)
    shutil.rmtree("layout")
    second = lamina.build_layered_image(output="layout/", blob_cache=tmp_path / "kept", **arguments)
    assert (second.id, second.warnings) == (first.id, ())
