"""`push_image` pushes an image that exists, and gives it the media types that were asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import FakeStore, example
from tests.support.oci_schemas import check_oci_document
from tests.support.registry import QUICK, MemoryRegistry, serve_registry

import lamina
from lamina.errors import InvalidArgument
from lamina.transports.retry import use_policy

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


@pytest.fixture
def server() -> Iterator[MemoryRegistry]:
    with serve_registry() as server, use_policy(QUICK):
        yield server


def build(store: FakeStore, output: Path | str, compression: str) -> lamina.BuildResult:
    arguments: dict[str, Any] = {"annotations": {"a": "b"}} if str(output).endswith("/") else {}
    return lamina.build_layered_image(
        output=output,
        contents=["hello"],
        architecture="amd64",
        store=str(store.root),
        layer_compression=compression,
        **arguments,
    )


def read_pushed(server: MemoryRegistry, name: str) -> dict[str, Any]:
    media_type, document = server.manifests[name]["1"]
    manifest: dict[str, Any] = json.loads(document)
    check_oci_document(media_type, manifest)
    return manifest


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("output", ["layout/", "x.tar"])
def test_an_image_that_exists_gets_other_media_types_and_keeps_its_id(
    server: MemoryRegistry, store: FakeStore, tmp_path: Path, output: str, compression: str
) -> None:
    built = build(store, f"{tmp_path}/{output}", compression)
    pushed = lamina.push_image(tmp_path / output, to=f"{server.host}/me/app:1", media_types="docker")
    assert pushed.id == built.id
    assert read_pushed(server, "me/app")["mediaType"] == DOCKER
    lamina.push_image(tmp_path / output, to=f"{server.host}/me/app:1", media_types="oci")
    assert read_pushed(server, "me/app")["mediaType"] == OCI


def test_a_pulled_image_of_docker_becomes_one_of_oci(server: MemoryRegistry, store: FakeStore, tmp_path: Path) -> None:
    build(store, tmp_path / "x.tar", "none")
    pushed = lamina.push_image(tmp_path / "x.tar", to=f"{server.host}/me/app:1", media_types="docker")
    lamina.pull_image(f"{server.host}/me/app:1", output=f"{tmp_path}/pulled/")
    same = lamina.push_image(tmp_path / "pulled", to=f"{server.host}/me/same:1")
    assert same.manifest_digest == pushed.manifest_digest
    other = lamina.push_image(tmp_path / "pulled", to=f"{server.host}/me/other:1", media_types="oci")
    assert other.id == pushed.id
    assert read_pushed(server, "me/other")["mediaType"] == OCI


def test_a_copy_from_a_registry_keeps_its_media_types(server: MemoryRegistry, store: FakeStore, tmp_path: Path) -> None:
    build(store, tmp_path / "x.tar", "none")
    lamina.push_image(tmp_path / "x.tar", to=f"{server.host}/me/app:1")
    with pytest.raises(InvalidArgument, match="got docker, and an image of a registry that has others") as caught:
        lamina.push_image(f"{server.host}/me/app:1", to=f"{server.host}/me/other:1", media_types="docker")
    assert "lamina pull" in caught.value.hint
    lamina.push_image(f"{server.host}/me/app:1", to=f"{server.host}/me/other:1", media_types="oci")
    assert read_pushed(server, "me/other") == read_pushed(server, "me/app")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer_compression": "zstd"}, "^layer_compression: got zstd and docker's media types, expected layers of"),
        ({"media_types": "podman"}, "^media_types: got 'podman', expected oci or docker"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_read(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        lamina.push_image("missing.tar", to="localhost:1/x", **({"media_types": "docker"} | arguments))


def test_a_layer_of_zstd_is_not_converted(server: MemoryRegistry, store: FakeStore, tmp_path: Path) -> None:
    build(store, f"{tmp_path}/layout/", "zstd")
    with pytest.raises(InvalidArgument, match="got zstd and docker's media types"):
        lamina.push_image(tmp_path / "layout", to=f"{server.host}/me/app:1", media_types="docker")
    assert not server.manifests
