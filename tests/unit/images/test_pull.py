"""Fetching images from a registry into layouts and archives."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.buckets import make_client, serve_buckets
from tests.support.fake_nix_store import MODULE, in_mount_namespace
from tests.support.image_files import LayoutBuilder, layer, platform, sha256
from tests.support.progress import RecordedProgress
from tests.support.registry import MemoryRegistry, add_image, answer_with, cut_connection, serve_open_registry
from tests.support.s3_server import ID, SECRET, without_settings

import lamina
from lamina.errors import FormatError, IntegrityError, InvalidArgument, OutputError, PlanError, RegistryError

LAYERS = [layer("etc/one"), layer("etc/two")]


def pack(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryRegistry]:
    """Return a registry with me/app:1 of two gzip layers, and me/all:1 for amd64 and arm64."""
    with serve_open_registry(tmp_path, monkeypatch) as server:
        layout = LayoutBuilder()
        add_image(server, layout, layout.image(LAYERS, compress=pack, ending="+gzip"))
        layout = LayoutBuilder()
        images = [
            layout.image([layer(name)], config_more=platform(name), platform=platform(name))
            for name in ("amd64", "arm64")
        ]
        add_image(server, layout, layout.nested(images), "me/all")
        server.seen.clear()
        yield server


def pull(registry: MemoryRegistry, output: Path | str, name: str = "me/app:1", **more: Any) -> lamina.PullResult:
    return lamina.pull_image(f"{registry.host}/{name}", output=output, **more)


def count_layers(registry: MemoryRegistry) -> int:
    """Return the number of blobs that were asked for, without configs."""
    return sum("/blobs/" in request.path for request in registry.seen) - 1


def test_a_layout_gets_the_bytes_of_the_registry(registry: MemoryRegistry, tmp_path: Path) -> None:
    pulled = pull(registry, f"{tmp_path}/images/")
    _, document = registry.manifests["me/app"]["1"]
    assert str(pulled.reference) == f"{registry.host}/me/app@{sha256(document)}"
    assert (tmp_path / "images/blobs/sha256" / sha256(document)[7:]).read_bytes() == document
    (entry,) = json.loads((tmp_path / "images/index.json").read_text())["manifests"]
    assert entry["digest"] == sha256(document)
    (image,) = lamina.inspect(tmp_path / "images")
    assert [one.digest for one in image.layers] == [one.digest for one in pulled.image.layers]
    assert image.repo_tags == (f"{registry.host}/me/app:1",)
    assert (pulled.blobs_fetched, pulled.bytes_fetched) == (2, sum(len(pack(data)) for data in LAYERS))


def test_what_the_layout_has_is_not_fetched_again(registry: MemoryRegistry, tmp_path: Path) -> None:
    pull(registry, f"{tmp_path}/images/")
    registry.seen.clear()
    pulled = pull(registry, tmp_path / "images")
    assert (pulled.blobs_fetched, count_layers(registry)) == (0, 0)
    assert pulled.update
    assert (pulled.update.kept.count, pulled.update.sent.count) == (2, 0)


def test_an_archive_has_the_image_id_of_the_registry(registry: MemoryRegistry, tmp_path: Path) -> None:
    pulled = pull(registry, tmp_path / "app.tar.gz")
    (image,) = lamina.inspect(tmp_path / "app.tar.gz")
    assert image.digest == pulled.image.digest
    assert image.repo_tags == (f"{registry.host}/me/app:1",)
    assert [one.size for one in image.layers] == [len(data) for data in LAYERS]


def test_two_platforms_of_a_tag_stay_in_one_layout(registry: MemoryRegistry, tmp_path: Path) -> None:
    for name in ("amd64", "arm64", "amd64"):
        pulled = pull(registry, f"{tmp_path}/images/", "me/all:1", platform=name)
        assert pulled.image.platform == f"linux/{name}"
    assert [one.platform for one in lamina.inspect(tmp_path / "images")] == ["linux/arm64", "linux/amd64"]


def test_the_platforms_are_listed_if_none_fits(registry: MemoryRegistry, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="got images for linux/amd64, linux/arm64, expected one for linux/s390x"):
        pull(registry, tmp_path / "x.tar", "me/all:1", platform="s390x")
    with pytest.raises(PlanError, match="got images for linux/amd64, expected one for linux/s390x"):
        pull(registry, tmp_path / "x.tar", platform="s390x")
    assert not (tmp_path / "x.tar").exists()


def test_a_machine_without_an_image_has_to_choose(
    registry: MemoryRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert pull(registry, f"{tmp_path}/images/", "me/all:1").image.platform == "linux/arm64"
    monkeypatch.setattr("platform.machine", lambda: "pdp11")
    with pytest.raises(PlanError, match="'pdp11', that of this machine") as raised:
        pull(registry, f"{tmp_path}/images/", "me/all:1")
    assert raised.value.hint == "say which with --platform"


def test_a_digest_names_the_image(registry: MemoryRegistry, tmp_path: Path) -> None:
    digest = sha256(registry.manifests["me/app"]["1"][1])
    pulled = pull(registry, tmp_path / "x.tar", f"me/app@{digest}")
    assert pulled.name.tag == pulled.image.digest.hex[:32]
    assert str(pulled.reference) == f"{registry.host}/me/app@{digest}"


def test_a_layer_that_is_cut_is_continued(registry: MemoryRegistry, tmp_path: Path) -> None:
    big = layer("x") + bytes(1 << 20)
    layout = LayoutBuilder()
    add_image(registry, layout, layout.image([big]), tag="big")

    def send_half(handler: Any) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(big)))
        handler.send_header("ETag", f'"{sha256(big)}"')
        handler.end_headers()
        handler.wfile.write(big[: len(big) // 2])
        return bool(cut_connection(handler))

    registry.fail("GET", f"/blobs/{sha256(big)}", send_half)
    pull(registry, f"{tmp_path}/images/", "me/app:big")
    assert (tmp_path / "images/blobs/sha256" / sha256(big)[7:]).read_bytes() == big
    assert sum(sha256(big) in request.path for request in registry.seen) == 2


@pytest.mark.parametrize("output", ["images/", "app.tar"])
def test_a_layer_with_other_bytes_is_refused_and_nothing_is_published(
    registry: MemoryRegistry, tmp_path: Path, output: str
) -> None:
    packed = pack(LAYERS[1])
    registry.fail("GET", f"/blobs/{sha256(packed)}", answer_with(200, {}, bytes(len(packed))), times=9)
    with pytest.raises(IntegrityError):
        pull(registry, f"{tmp_path}/{output}")
    assert not (tmp_path / "app.tar").exists()
    assert not (tmp_path / "images/index.json").exists()
    assert not list(tmp_path.glob("**/*.part"))


def test_a_layer_that_is_missing_is_an_error_of_the_registry(registry: MemoryRegistry, tmp_path: Path) -> None:
    del registry.blobs["me/app"][sha256(pack(LAYERS[1]))]
    with pytest.raises(RegistryError, match="HTTP 404"):
        pull(registry, f"{tmp_path}/images/")


def test_compressed_layers_that_are_too_large_are_not_fetched(registry: MemoryRegistry, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"me/app:1: got .* of compressed layers, expected .* at most 10 B") as raised:
        pull(registry, tmp_path / "x.tar", max_unpacked_size=10)
    assert raised.value.hint == "allow a larger image with --max-unpacked-size"
    assert count_layers(registry) == 0
    assert pull(registry, f"{tmp_path}/images/", max_unpacked_size=10).blobs_fetched == 2, "nothing is unpacked"


def test_layers_of_the_blob_cache_are_not_fetched(registry: MemoryRegistry, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (cache / "sha256").mkdir(parents=True)
    for data in map(pack, LAYERS):
        (cache / "sha256" / sha256(data)[7:]).write_bytes(data)
    (cache / "sha256" / sha256(pack(LAYERS[0]))[7:]).write_bytes(b"damaged")
    pulled = pull(registry, f"{tmp_path}/images/", blob_cache=cache)
    assert (pulled.blobs_fetched, count_layers(registry)) == (1, 1)


def test_layers_of_a_bucket_are_not_fetched(
    registry: MemoryRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_settings(monkeypatch, tmp_path)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with serve_buckets("cache") as address:
        for data in map(pack, LAYERS):
            key = f"x/blobs/sha256/{sha256(data)[7:]}"
            make_client(address).put_object(Bucket="cache", Key=key, Body=data if data != pack(LAYERS[0]) else b"no")
        bucket = f"s3://cache/x?endpoint={address}&scheme=http&region=us-east-1"
        pulled = pull(registry, f"{tmp_path}/images/", blob_cache=bucket, local_blob_cache=tmp_path / "local")
    assert (pulled.blobs_fetched, count_layers(registry)) == (1, 1)
    (warning,) = pulled.warnings
    assert warning.endswith(": got other bytes, expected the blob of this digest")


def test_the_progress_has_all_layers_from_the_start(registry: MemoryRegistry, tmp_path: Path) -> None:
    recorder = RecordedProgress()
    pull(registry, f"{tmp_path}/images/", progress=recorder)
    (work,) = recorder.works
    assert work.size == sum(len(pack(data)) for data in LAYERS)
    assert [call[2] for call in recorder.calls if call[0] == "finish"] == ["fetched", "fetched"]
    assert sum(recorder.sum_up().values()) == work.size


def test_a_full_temporary_folder_is_named(registry: MemoryRegistry, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    layout = LayoutBuilder()
    add_image(registry, layout, layout.image([os.urandom(200_000)]), "me/large")
    (tmp_path / "small").mkdir()
    words: list[str | Path] = [*MODULE, "pull", f"{registry.host}/me/large:1", "-o", tmp_path / "x.tar", "--quiet"]
    mounted = 'mount -t tmpfs -o size=100k none "$1" && export TMPDIR="$1" && shift && exec "$@"'
    ran = in_mount_namespace(mounted, [tmp_path / "small", *words])
    message, hint = ran.stderr.decode().splitlines()
    assert ran.returncode == 10
    assert message.endswith("got No space left on device, expected to write a temporary file there")
    assert hint == "hint: choose another folder with TMPDIR"
    assert not (tmp_path / "x.tar").exists()


def test_a_layer_is_called_as_in_the_push(registry: MemoryRegistry, tmp_path: Path) -> None:
    history = {"history": [{"comment": "customisation layer"}]}
    layout = LayoutBuilder()
    add_image(registry, layout, layout.image([layer("a")], config_more=history), "me/root")
    name, recorder = f"{registry.host}/me/root:1", RecordedProgress()
    pull(registry, f"{tmp_path}/images/", "me/root:1", progress=recorder)
    lamina.push_image(name, to=f"{registry.host}/you/root:1", progress=recorder)
    lamina.push_image(tmp_path / "images", to=f"{registry.host}/he/root:1", progress=recorder)
    assert [item.name for work in recorder.works for item in work.items] == ["customisation layer"] * 3


def test_a_layout_is_not_compressed_as_a_whole(registry: MemoryRegistry, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="none for an OCI layout"):
        pull(registry, f"{tmp_path}/images/", compressor="gz")


def test_a_folder_that_cannot_be_written_is_an_error(registry: MemoryRegistry) -> None:
    with pytest.raises(OutputError):
        pull(registry, "/proc/images/")


@pytest.mark.parametrize("text", ["oci:images:1", "docker-daemon:app:1", "https://example.org/app"])
def test_only_registries_are_pulled_from(text: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="image reference"):
        lamina.pull_image(text, output=tmp_path / "x.tar")
