"""The catalog of `lamina serve` makes images of packages and of tables, and learns from a wrong layer cache."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import FakeStore, Program, example, layer_cache_at
from tests.support.programs import MACHINES, program
from tests.support.served_images import open_files

from lamina.api.served_catalog import ImageCatalog, check_image, name_images
from lamina.compression.compressors import REGISTRY_LAYER_COMPRESSION
from lamina.core.names import Digest
from lamina.errors import Error, IntegrityError, InvalidArgument, NotFound
from lamina.formats.oci import INDEX_TYPE, MANIFEST_TYPE
from lamina.inputs.arguments import ImageArguments
from lamina.inputs.siblings import parse_siblings
from lamina.server.blob_files import BlobFiles
from lamina.server.error_documents import RequestRefused
from lamina.server.served_image import ServedImage
from lamina.system.transfer import BlobInfo


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    store, _ = example(tmp_path / "root")
    store.add("data-1", {"share": {"data": b"x" * 1000}})
    return store


@pytest.fixture
def files() -> Iterator[BlobFiles]:
    with open_files() as opened:
        yield opened


@pytest.fixture
def common(store: FakeStore, tmp_path: Path) -> ImageArguments:
    return {"store": str(store.root), "layer_cache": str(tmp_path / "layers.sqlite")}


def read_config(image: ServedImage, digest: Digest | None = None) -> dict[str, Any]:
    manifest = json.loads((image.manifests[digest] if digest else image.manifest).document)
    content = image.blobs[Digest.parse_oci(manifest["config"]["digest"])]
    document: dict[str, Any] = json.loads(b"".join(map(bytes, content.read(0, content.size))))
    return document


def read_layers(image: ServedImage) -> dict[str, bytes]:
    layers = [Digest.parse_oci(layer["digest"]) for layer in json.loads(image.manifest.document)["layers"]]
    return {
        str(digest): b"".join(map(bytes, image.blobs[digest].read(0, image.blobs[digest].size))) for digest in layers
    }


def test_the_blobs_of_packages_have_the_digests_of_the_manifest(files: BlobFiles, common: ImageArguments) -> None:
    image = ImageCatalog({}, common, ("*",), files).make("hello/data", "latest")
    layers = read_layers(image)
    assert [f"sha256:{hashlib.sha256(blob).hexdigest()}" for blob in layers.values()] == list(layers)
    diff_ids = [f"sha256:{hashlib.sha256(gzip.decompress(blob)).hexdigest()}" for blob in layers.values()]
    assert read_config(image)["rootfs"]["diff_ids"] == diff_ids


def test_the_arguments_of_a_table_make_its_image(files: BlobFiles, common: ImageArguments) -> None:
    tables: dict[str, ImageArguments] = {
        "web": {**common, "contents": ("hello",), "config": {"Cmd": ["/bin/hello"]}, "architecture": "arm64"},
        "many": {**common, "contents": ("data",), "platforms": ("linux/amd64", "linux/arm64"), "tag": "2"},
    }
    images = name_images(tables, [])
    assert list(images) == [("web", "latest"), ("many", "2")]
    catalog = ImageCatalog(images, common, (), files)
    config = read_config(catalog.make("web", "latest"))
    assert (config["architecture"], config["config"]["Cmd"]) == ("arm64", ["/bin/hello"])
    index = catalog.make("many", "2")
    entries = json.loads(index.manifest.document)["manifests"]
    assert [read_config(index, Digest.parse_oci(entry["digest"]))["architecture"] for entry in entries] == [
        "amd64",
        "arm64",
    ]
    assert (catalog.list_tags("web"), catalog.list_tags("many"), catalog.list_tags("hello")) == (
        ["latest"],
        ["2"],
        None,
    )


def test_an_image_that_shares_layers_follows_the_links_of_its_siblings(
    files: BlobFiles, common: ImageArguments, store: FakeStore, tmp_path: Path
) -> None:
    """A link to other store paths changes which layers the image shares."""
    one, other = (store.add(f"{name}-1", {"data": b"x" * 5000}) for name in ("one", "other"))
    (tmp_path / "result").symlink_to(str(one))
    given: dict[str, Any] = {**common, "layering": "shared", "max_layers": 3}
    siblings: Any = parse_siblings(
        "siblings",
        {"a": {**given, "contents": ("one", "other", "data")}, "b": {**given, "contents": (str(tmp_path / "result"),)}},
    )
    table: ImageArguments = {**given, "contents": ("one", "other", "data"), "siblings": siblings}  # type: ignore[typeddict-item]
    catalog = ImageCatalog(name_images({"a": table}, []), common, (), files)
    before = catalog.make("a", "latest").manifest.digest
    assert catalog.make("a", "latest").manifest.digest == before
    (tmp_path / "result").unlink()
    (tmp_path / "result").symlink_to(str(other))
    assert catalog.make("a", "latest").manifest.digest != before


@pytest.mark.parametrize("name", ["Web", "host:5000/web", "[::1]/web", "a b", "../web", "-"])
def test_a_table_needs_a_name_of_a_repository(common: ImageArguments, name: str) -> None:
    with pytest.raises(InvalidArgument, match="expected a name in lower case"):
        name_images({name: {**common, "contents": ("hello",)}}, [])


def test_docker_media_types_are_refused(common: ImageArguments) -> None:
    with pytest.raises(InvalidArgument, match="image web: media_types: got docker, expected oci"):
        name_images({"web": {**common, "contents": ("hello",), "media_types": "docker"}}, [])


def test_a_store_that_cannot_be_read_is_noticed_at_once(common: ImageArguments, tmp_path: Path) -> None:
    with pytest.raises(Error, match="none"):
        check_image({**common, "store": str(tmp_path / "none")}, [])


def test_a_package_that_no_store_has_is_not_found(files: BlobFiles, common: ImageArguments) -> None:
    with pytest.raises(NotFound, match="'nothing'"):
        ImageCatalog({}, common, ("*",), files).make("nothing", "latest")


def test_warnings_about_an_image_are_for_those_who_run_the_server(
    files: BlobFiles, common: ImageArguments, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    warnings: list[str] = []
    by_name: ImageArguments = {**common, "layer_cache": str(tmp_path / "folder")}
    ImageCatalog({}, by_name, ("*",), files, warn=warnings.append).make("data", "latest")
    (warning,) = warnings
    assert warning.startswith("data:latest: ")
    assert "continuing without the layer cache" in warning


def test_packages_for_another_architecture_than_that_of_the_name_are_not_found(
    store: FakeStore, files: BlobFiles, common: ImageArguments
) -> None:
    store.add("program-1", {"bin": {"program": program(MACHINES["linux/amd64"])}})
    catalog = ImageCatalog({}, common, ("*",), files)
    assert read_config(catalog.make("amd64/program", "latest"))["architecture"] == "amd64"
    for name in ("arm64/program", "arm64/data/program"):
        with pytest.raises(NotFound, match="got packages with programs for amd64, expected some for arm64"):
            catalog.make(name, "latest")


@pytest.fixture
def two_platforms(store: FakeStore) -> FakeStore:
    """The store with ``tool`` for two processors; ``gcc``, and a script that needs it, for one; and data for all."""
    for platform, machine in MACHINES.items():
        store.add("tool-1", {"bin": {"tool": program(machine)}}, seed=platform)
    gcc = store.add("gcc-1", {"bin": {"gcc": program(MACHINES["linux/amd64"])}})
    store.add("script-1", {"bin": {"script": Program(f"#!/bin/sh\n{gcc}/bin/gcc".encode())}}, [gcc])
    return store


@pytest.mark.parametrize(
    ("repository", "architectures"),
    [
        ("tool", ["amd64", "arm64"]),
        ("tool/data", ["amd64", "arm64"]),
        ("data", ["amd64", "arm64"]),
        ("gcc", ["amd64"]),
        ("tool/gcc", ["amd64"]),
        ("script", ["amd64"]),
    ],
)
def test_a_name_is_an_index_of_the_platforms_for_which_there_are_packages(
    two_platforms: FakeStore, files: BlobFiles, common: ImageArguments, repository: str, architectures: list[str]
) -> None:
    by_name: ImageArguments = {**common, "platforms": ("linux/amd64", "linux/arm64", "linux/s390x")}
    if repository == "data":  # it has no programs
        by_name["platforms"] = ("linux/amd64", "linux/arm64")
    index = ImageCatalog({}, by_name, ("*",), files).make(repository, "latest")
    assert index.manifest.media_type == INDEX_TYPE
    entries = json.loads(index.manifest.document)["manifests"]
    assert [entry["platform"]["architecture"] for entry in entries] == architectures
    configs = [read_config(index, Digest.parse_oci(entry["digest"])) for entry in entries]
    assert [config["architecture"] for config in configs] == architectures


def test_an_architecture_in_a_name_selects_one_image(
    two_platforms: FakeStore, files: BlobFiles, common: ImageArguments
) -> None:
    catalog = ImageCatalog({}, {**common, "platforms": ("linux/amd64", "linux/arm64")}, ("*",), files)
    image = catalog.make("arm64/tool", "latest")
    assert (image.manifest.media_type, read_config(image)["architecture"]) == (MANIFEST_TYPE, "arm64")
    with pytest.raises(NotFound):
        catalog.make("arm64/gcc", "latest")


def test_a_package_for_none_of_the_platforms_is_not_found(
    two_platforms: FakeStore, files: BlobFiles, common: ImageArguments
) -> None:
    catalog = ImageCatalog({}, {**common, "platforms": ("linux/s390x", "linux/arm64")}, ("*",), files)
    for repository, words in (("gcc", "for amd64, expected some for s390x"), ("nothing", "'nothing'")):
        with pytest.raises(NotFound, match=words):
            catalog.make(repository, "latest")


def test_a_single_platform_makes_one_image(two_platforms: FakeStore, files: BlobFiles, common: ImageArguments) -> None:
    catalog = ImageCatalog({}, {**common, "platforms": ("linux/arm64",)}, ("*",), files)
    assert read_config(catalog.make("tool", "latest"))["architecture"] == "arm64"
    with pytest.raises(NotFound, match="for amd64, expected some for arm64"):
        catalog.make("gcc", "latest")


def test_the_layers_of_all_platforms_count_for_the_limit(
    two_platforms: FakeStore, files: BlobFiles, common: ImageArguments
) -> None:
    size = 4000  # more than that of data-1 with its folders and headers, and less than twice as much
    several: ImageArguments = {**common, "platforms": ("linux/amd64", "linux/arm64")}
    ImageCatalog({}, common, ("*",), files, size).make("data", "latest")
    with pytest.raises(RequestRefused, match="at most"):
        ImageCatalog({}, several, ("*",), files, size).make("data", "latest")


def test_packages_outside_of_the_patterns_are_denied(files: BlobFiles, common: ImageArguments) -> None:
    catalog = ImageCatalog({}, common, ("hel*",), files)
    assert catalog.list_tags("hello") == ["latest"]
    with pytest.raises(RequestRefused, match="does not serve") as refused:
        catalog.list_tags("hello/data")
    assert (refused.value.status, refused.value.code) == (403, "DENIED")


def test_an_image_above_the_limit_is_denied(files: BlobFiles, common: ImageArguments) -> None:
    with pytest.raises(RequestRefused, match="makes images of at most 1000 B"):
        ImageCatalog({}, common, ("*",), files, 1000).make("data", "latest")


def test_a_wrong_entry_of_the_layer_cache_gives_no_wrong_blob_and_is_removed(
    files: BlobFiles, common: ImageArguments, tmp_path: Path
) -> None:
    catalog = ImageCatalog({}, common, ("*",), files)
    right = read_layers(catalog.make("data", "latest"))
    first = next(iter(right))
    wrong = BlobInfo(Digest(bytes(32)), len(right[first]))
    with layer_cache_at(tmp_path / "layers.sqlite") as layer_cache:
        ((inputs, plain),) = layer_cache.entries()
        layer_cache.put_layer(inputs, BlobInfo(wrong.digest, plain.size))
        layer_cache.put_compressed(wrong.digest, REGISTRY_LAYER_COMPRESSION.identity, wrong)
    damaged = catalog.make("data", "latest").blobs[wrong.digest]
    received = bytearray()
    with pytest.raises(IntegrityError):
        deque(map(received.extend, map(bytes, damaged.read(0, damaged.size))), 0)
    assert len(received) < damaged.size
    assert read_layers(catalog.make("data", "latest")) == right
