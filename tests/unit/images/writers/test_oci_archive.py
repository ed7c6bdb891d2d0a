"""An OCI archive is a layout in a tar, and a hybrid archive is a docker-archive of the same blobs too."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.support.examples import mark_rest
from tests.support.fake_nix_store import MODULE, FakeStore, example, in_mount_namespace, layer_cache_at, run
from tests.support.image_files import docker_archive, layer

import lamina
from lamina.compression.compressors import NO_LAYER_COMPRESSION, LayerCompression
from lamina.errors import InvalidArgument, NotFound, OutputError
from lamina.images.image import BuildResult, Draft
from lamina.images.readers.source_image import SourceImage
from lamina.images.writers.oci_archive import OciArchive
from lamina.layer_cache.cache import NullLayerCache
from lamina.layers.context import BuildContext
from lamina.system.fd_writer import FunctionOutput

FORMATS = ["oci", "hybrid"]
COMPRESSIONS = ["none", "gzip", "zstd"]


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    store, _ = example(tmp_path / "root")
    store.add("large-1", {"data": b"0123456789abcdef" * 20_000})
    return store


def describe(store: FakeStore, **arguments: Any) -> dict[str, Any]:
    words = {"name": "x", "tag": "1", "contents": ["hello", "large"], "architecture": "amd64"}
    return {"store": str(store.root), **words, **arguments}


def draft(store: FakeStore, **arguments: Any) -> Draft:
    return lamina.stream_layered_image(**describe(store, **arguments)).draft


def build(store: FakeStore, file: Path, **arguments: Any) -> tuple[BuildResult, dict[str, bytes]]:
    built = lamina.build_layered_image(output=file, **describe(store, **arguments))
    return built, read_members(file.read_bytes())


def read_members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        names = Counter(member.name for member in tar)
        assert set(names.values()) == {1}, "no member is there twice"
        return {member.name: (tar.extractfile(member) or io.BytesIO()).read() for member in tar}


def inspect(file: Path) -> SourceImage:
    (image,) = lamina.inspect(file)
    assert isinstance(image, SourceImage)
    return image


@pytest.mark.parametrize("words", mark_rest(COMPRESSIONS, 2))
def test_an_oci_archive_has_the_files_of_a_layout(store: FakeStore, tmp_path: Path, words: str) -> None:
    image, members = build(store, tmp_path / "x.tar", format="oci", layer_compression=words)
    layout = lamina.build_layered_image(output=f"{tmp_path}/x/", **describe(store, layer_compression=words))
    assert image == layout
    assert image.bytes_written == (tmp_path / "x.tar").stat().st_size
    files = [file for file in (tmp_path / "x").rglob("*") if file.is_file()]
    assert members == {str(file.relative_to(tmp_path / "x")): file.read_bytes() for file in files}


@pytest.mark.parametrize("words", mark_rest(COMPRESSIONS, 2))
def test_a_hybrid_has_both_documents_over_the_same_blobs(store: FakeStore, tmp_path: Path, words: str) -> None:
    image, members = build(store, tmp_path / "x.tar", format="hybrid", layer_compression=words)
    _, oci = build(store, tmp_path / "oci.tar", format="oci", layer_compression=words)
    (entry,) = json.loads(members.pop("manifest.json"))
    assert members == oci
    blobs = [f"blobs/sha256/{blob.digest.hex}" for blob in image.blobs]
    assert entry == {"Config": f"blobs/sha256/{image.digest.hex}", "RepoTags": ["x:1"], "Layers": blobs}
    for name, content in members.items():
        if name.startswith("blobs/"):
            assert name == f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("words", mark_rest(COMPRESSIONS, 1))
def test_the_readers_find_the_image_of_a_docker_archive(
    store: FakeStore, tmp_path: Path, name: str, words: str
) -> None:
    build(store, tmp_path / "docker.tar")
    build(store, tmp_path / "x.tar", format=name, layer_compression=words)
    expected, found = inspect(tmp_path / "docker.tar"), inspect(tmp_path / "x.tar")
    assert (found.digest, found.repo_tags) == (expected.digest, expected.repo_tags)
    assert [layer.diff_id for layer in found.layers] == [layer.diff_id for layer in expected.layers]
    assert [layer.paths for layer in found.layers] == [layer.paths for layer in expected.layers]
    for file in ("docker", "x"):
        lamina.export_image(tmp_path / f"{file}.tar", output=tmp_path / f"{file}-root.tar")
        lamina.merge_images([tmp_path / f"{file}.tar"], output=tmp_path / f"{file}-merged.tar")
    for ending in ("root", "merged"):
        assert (tmp_path / f"x-{ending}.tar").read_bytes() == (tmp_path / f"docker-{ending}.tar").read_bytes()


@pytest.mark.parametrize("name", FORMATS)
def test_an_archive_is_a_base_image(store: FakeStore, tmp_path: Path, name: str) -> None:
    base, _ = build(store, tmp_path / "base.tar", format=name, layer_compression="gzip")
    image, _ = build(store, tmp_path / "x.tar", contents=["words"], from_image=tmp_path / "base.tar")
    assert [layer.diff_id for layer in image.layers][: len(base.layers)] == [layer.diff_id for layer in base.layers]


@pytest.mark.parametrize("words", mark_rest(["none", "gzip"], 1))
def test_the_bytes_depend_neither_on_the_layer_cache_nor_on_workers(
    store: FakeStore, tmp_path: Path, words: str
) -> None:
    made, compression = draft(store), LayerCompression.parse(words)
    archives = set()
    with layer_cache_at(tmp_path / "layer_cache") as layer_cache:
        for context in (
            BuildContext(),
            BuildContext(NullLayerCache(), 3, min_parallel_size=0),
            BuildContext(layer_cache),
            BuildContext(layer_cache),
        ):
            out = io.BytesIO()
            OciArchive(FunctionOutput(out.write), None, context, compression, hybrid=True).write(made)
            archives.add(out.getvalue())
    assert len(archives) == 1


def test_equal_layers_are_one_blob(store: FakeStore, tmp_path: Path) -> None:
    base = tmp_path / "base.tar"
    base.write_bytes(docker_archive({"one.tar": layer("x"), "two.tar": layer("x")}))
    for format_name in FORMATS:
        image, _ = build(store, tmp_path / "x.tar", format=format_name, from_image=base)
        assert image.layers[0].diff_id == image.layers[1].diff_id
        assert [layer.diff_id for layer in inspect(tmp_path / "x.tar").layers] == [
            layer.diff_id for layer in image.layers
        ]


def test_the_extension_compresses_the_whole_file(store: FakeStore, tmp_path: Path) -> None:
    build(store, tmp_path / "x.tar", format="hybrid")
    build_gz = lamina.build_layered_image(output=tmp_path / "x.tar.gz", **describe(store, format="hybrid"))
    assert gzip.decompress((tmp_path / "x.tar.gz").read_bytes()) == (tmp_path / "x.tar").read_bytes()
    assert build_gz.bytes_written == (tmp_path / "x.tar.gz").stat().st_size


def test_a_stream_has_the_format_of_the_image(store: FakeStore, tmp_path: Path) -> None:
    build(store, tmp_path / "x.tar", format="oci")
    words = ("--store", store.root, "-t", "x:1", "--architecture", "amd64", "--no-layer-cache", "--format", "oci")
    ran = run("stream", "hello", "large", *words)
    assert (ran.code, ran.stdout) == (0, (tmp_path / "x.tar").read_bytes())
    ran = run("build", "hello", "large", *words, "-o", "-")
    assert (ran.code, ran.stdout) == (0, (tmp_path / "x.tar").read_bytes())


def test_a_file_that_cannot_be_completed_is_not_left(store: FakeStore, tmp_path: Path) -> None:
    path = store.location(store.add("data-1", b"x" * 5000))
    with lamina.stream_layered_image(**describe(store, closure=["data"], format="oci")) as stream:
        path.unlink()
        (tmp_path / "out").mkdir()
        with pytest.raises(NotFound):
            stream.build(tmp_path / "out/x.tar")
    assert list((tmp_path / "out").iterdir()) == []


def test_errors_of_the_output_are_passed_on(store: FakeStore) -> None:
    def fail(_: memoryview) -> None:
        raise OutputError("x.tar", "no space left", "room for it")

    with pytest.raises(OutputError, match="no space left"):
        OciArchive(FunctionOutput(fail), None, None, NO_LAYER_COMPRESSION).write(draft(store))


@pytest.mark.parametrize("option", mark_rest(["--format=oci", "--layer-compression=gzip"], 1))
@pytest.mark.parametrize("is_temporary", [True, False])
def test_only_an_error_about_a_temporary_file_names_the_variable_of_its_folder(
    store: FakeStore, tmp_path: Path, option: str, is_temporary: bool
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    store.add("random-1", os.urandom(200_000))
    folder = tmp_path / "small"
    folder.mkdir()
    temporary = f"TMPDIR={folder if is_temporary else tmp_path}"
    output = (tmp_path if is_temporary else folder) / "x.tar"
    words = f"--quiet --store {store.root} --name x --closure random --no-layer-cache {option} -o {output}".split()
    mounted = 'mount -t tmpfs -o size=100k none "$1" && shift && exec "$@"'
    ran = in_mount_namespace(mounted, [folder, "env", temporary, *MODULE, "build", *words])
    error = ran.stderr.decode().splitlines()
    assert ran.returncode == 10
    assert error[0].startswith(f"lamina: {folder}/")
    assert "No space left on device" in error[0]
    assert (error[1:] == ["hint: choose another folder with TMPDIR"]) == is_temporary
    assert error[0].endswith("to write a temporary file there" if is_temporary else "to write the result there")


@pytest.mark.parametrize("name", ["docker", "hybrid"])
def test_a_folder_has_the_format_oci(store: FakeStore, tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgument, match=f"format: got '{name}', expected oci for an OCI layout, a folder"):
        lamina.build_layered_image(output=f"{tmp_path}/x/", **describe(store, format=name))
    with (
        lamina.stream_layered_image(**describe(store, format=name)) as stream,
        pytest.raises(InvalidArgument, match="format: got"),
    ):
        stream.build(f"{tmp_path}/x/")
    ran = run("build", "hello", "--store", store.root, "-o", f"{tmp_path}/x/", "--format", name)
    assert (ran.code, ran.error) == (2, f"format: got '{name}', expected oci for an OCI layout, a folder")
    assert not (tmp_path / "x").exists()
    lamina.build_layered_image(output=f"{tmp_path}/x/", **describe(store, format="oci"))


def test_an_unknown_format_is_an_error_with_a_suggestion(store: FakeStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="format: got 'hybird', expected one of docker, oci, hybrid") as caught:
        lamina.build_layered_image(output=tmp_path / "x", **describe(store, format="hybird"))
    assert caught.value.hint == "did you mean hybrid?"
