"""Images of one name for different platforms become one index, in an OCI layout and in an OCI archive."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.image_files import OCI, LayoutBuilder, docker_archive, layer, platform, sha256
from tests.support.indexes import NAME, add_index, add_platform, add_whole_index
from tests.support.oci_schemas import check_oci_document
from tests.support.registry import MemoryRegistry, add_image, serve_open_registry

import lamina
from lamina.errors import FormatError, InputError, IntegrityError, InvalidArgument


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryRegistry]:
    with serve_open_registry(tmp_path, monkeypatch) as server:
        yield server


def write_archive(folder: Path, architecture: str, tag: str = "app:1", file: str = "") -> Path:
    """Write a docker-archive of an image with a layer that all have and one of its own."""
    layers = {"a.tar": layer("etc/shared"), "b.tar": layer(f"etc/{architecture}")}
    config = {
        **platform(architecture),
        "rootfs": {"type": "layers", "diff_ids": [sha256(content) for content in layers.values()]},
    }
    path = folder / (file or f"{architecture}.tar")
    path.write_bytes(docker_archive(layers, config=config, entry={"RepoTags": [tag] if tag else []}))
    return path


def write_layout(folder: Path, layout: LayoutBuilder, *entries: dict[str, Any]) -> Path:
    layout.index(*entries)
    layout.write(folder)
    return folder


def name(reference: str) -> dict[str, Any]:
    return {"annotations": {NAME: f"docker.io/library/{reference}"}}


def read_index(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "index.json").read_text())["manifests"]
    return found


def read_blob(folder: Path, digest: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "blobs/sha256" / digest[7:]).read_bytes())
    return found


# New indexes


def test_archives_of_one_name_for_two_platforms_become_an_index(tmp_path: Path) -> None:
    files = [write_archive(tmp_path, name) for name in ("amd64", "arm64")]
    merged = lamina.merge_images(files, output=f"{tmp_path}/images/")
    (entry,) = read_index(tmp_path / "images")
    assert (entry["mediaType"], entry["annotations"]["org.opencontainers.image.ref.name"]) == (
        f"{OCI}index.v1+json",
        "1",
    )
    index = read_blob(tmp_path / "images", entry["digest"])
    check_oci_document(entry["mediaType"], index)
    assert [item["platform"] for item in index["manifests"]] == [platform("amd64"), platform("arm64")]
    assert [image.id for image in lamina.inspect(tmp_path / "images")] == [image.id for image in merged]
    assert [(str(item.name), str(item.digest), item.platforms) for item in merged.names] == [
        ("app:1", entry["digest"], ("linux/amd64", "linux/arm64"))
    ]
    shared = [blobs[0] for blobs in merged.blobs.values()]
    assert shared[0] == shared[1]


def test_the_same_images_give_the_same_archive_which_holds_the_layout(tmp_path: Path) -> None:
    files = [write_archive(tmp_path, name) for name in ("amd64", "arm64")]
    out = io.BytesIO()
    for output in (tmp_path / "a.tar", tmp_path / "b.tar", out):
        merged = lamina.merge_images(files, output=output, format="oci")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes() == out.getvalue()
    images = lamina.inspect(tmp_path / "a.tar")
    assert [index.digest for index in images[0].indexes] == [merged.names[0].digest]
    lamina.merge_images(files, output=tmp_path / "c.tar.gz", format="oci")
    assert [image.id for image in lamina.inspect(tmp_path / "c.tar.gz")] == [image.id for image in images]


def test_a_name_is_given_to_images_that_have_others_or_none(tmp_path: Path) -> None:
    files = [write_archive(tmp_path, "amd64", "app:1-amd64"), write_archive(tmp_path, "arm64", "")]
    merged = lamina.merge_images(files, output=f"{tmp_path}/images/", name="ghcr.io/me/app:2")
    (entry,) = read_index(tmp_path / "images")
    assert entry["annotations"][NAME] == "ghcr.io/me/app:2"
    assert merged.names[0].platforms == ("linux/amd64", "linux/arm64")
    with pytest.raises(InvalidArgument, match="got an image without a name") as raised:
        lamina.merge_images(files, output=f"{tmp_path}/other/")
    assert "-t NAME:TAG" in raised.value.hint


def test_images_of_different_names_stay_apart(tmp_path: Path) -> None:
    files = [write_archive(tmp_path, "amd64", "one:1"), write_archive(tmp_path, "arm64", "two:1")]
    merged = lamina.merge_images(files, output=f"{tmp_path}/images/")
    assert [item.has_index for item in merged.names] == [False, False]
    assert [entry["platform"] for entry in read_index(tmp_path / "images")] == [platform("amd64"), platform("arm64")]


def test_plain_layers_are_compressed_only_if_asked_for(tmp_path: Path) -> None:
    files = [write_archive(tmp_path, name) for name in ("amd64", "arm64")]
    plain = lamina.merge_images(files, output=f"{tmp_path}/plain/")
    packed = lamina.merge_images(files, output=f"{tmp_path}/packed/", layer_compression="gzip")
    assert [image.id for image in plain] == [image.id for image in packed]
    (entry,) = read_index(tmp_path / "packed")
    manifest = read_blob(tmp_path / "packed", read_blob(tmp_path / "packed", entry["digest"])["manifests"][0]["digest"])
    assert {item["mediaType"] for item in manifest["layers"]} == {f"{OCI}layer.v1.tar+gzip"}
    assert [blob.size for blob in packed.blobs[packed[0].digest]] == [item["size"] for item in manifest["layers"]]


# What is kept


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_images_of_layouts_keep_their_manifests(tmp_path: Path, compression: str | None) -> None:
    folders, digests = [], []
    for architecture in ("amd64", "arm64"):
        layout = LayoutBuilder()
        image = add_platform(layout, architecture, **name("app:1"))
        folders.append(write_layout(tmp_path / architecture, layout, image))
        digests.append(image["digest"])
    lamina.merge_images(folders, output=f"{tmp_path}/images/", layer_compression=compression)
    (entry,) = read_index(tmp_path / "images")
    assert [item["digest"] for item in read_blob(tmp_path / "images", entry["digest"])["manifests"]] == digests


def test_a_whole_index_keeps_its_bytes_and_its_attestations(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    described = add_whole_index(layout, **name("app:1"))
    write_layout(tmp_path / "old", layout, described)
    lamina.merge_images([tmp_path / "old"], output=f"{tmp_path}/new/")
    for blob, data in layout.members.items():
        if blob.startswith("blobs/"):
            assert (tmp_path / "new" / blob).read_bytes() == data
    assert [entry["digest"] for entry in read_index(tmp_path / "new")] == [described["digest"]]


def test_a_platform_of_an_index_and_another_image_make_a_new_index(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    write_layout(tmp_path / "old", layout, add_whole_index(layout, **name("app:1")))
    other = write_archive(tmp_path, "riscv64")
    merged = lamina.merge_images([tmp_path / "old", other], output=f"{tmp_path}/new/")
    assert merged.names[0].platforms == ("linux/amd64", "linux/arm64", "linux/riscv64")
    assert merged.warnings == (
        "app:1: attestations are left out, because they are about manifests or an index that changed",
    )
    one = lamina.merge_images([tmp_path / "old"], output=f"{tmp_path}/one/", platform="arm64")
    assert (one.names[0].has_index, one.names[0].platforms) == (False, ("linux/arm64",))


def test_an_image_that_an_index_lists_can_be_chosen_by_its_own_name(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    images = [add_platform(layout, architecture) for architecture in ("amd64", "arm64")]
    write_layout(
        tmp_path / "old", layout, add_index(layout, images, **name("app:1")), {**images[0], **name("app:1-amd64")}
    )
    merged = lamina.merge_images([f"{tmp_path}/old#app:1-amd64"], output=f"{tmp_path}/new/")
    assert [(str(item.name), item.has_index) for item in merged.names] == [("app:1-amd64", False)]


def test_images_of_a_registry_are_merged_as_they_are(registry: MemoryRegistry, tmp_path: Path) -> None:
    digests = []
    for architecture in ("amd64", "arm64"):
        layout = LayoutBuilder()
        image = add_platform(layout, architecture)
        digests.append(image["digest"])
        add_image(registry, layout, image, tag=f"1-{architecture}")
    references = [f"{registry.host}/me/app:1-{architecture}" for architecture in ("amd64", "arm64")]
    lamina.merge_images(references, output=f"{tmp_path}/images/", name="app:1")
    (entry,) = read_index(tmp_path / "images")
    assert [item["digest"] for item in read_blob(tmp_path / "images", entry["digest"])["manifests"]] == digests
    with pytest.raises(InputError, match="an image in a registry, expected an image file or an OCI layout"):
        lamina.merge_images(references, output=tmp_path / "x.tar")


# Errors


def test_two_images_of_one_name_and_platform_are_refused(tmp_path: Path) -> None:
    one = write_archive(tmp_path, "amd64")
    two = tmp_path / "two.tar"
    config = {**platform("amd64"), "rootfs": {"type": "layers", "diff_ids": [sha256(layer("x"))]}}
    two.write_bytes(docker_archive({"a.tar": layer("x")}, config=config, entry={"RepoTags": ["app:1"]}))
    with pytest.raises(InvalidArgument, match=rf"^app:1: got two images for linux/amd64, .* in {one} and .* in {two}"):
        lamina.merge_images([one, two], output=f"{tmp_path}/images/")
    assert not (tmp_path / "images").exists()


def test_an_image_of_an_index_must_state_its_platform(tmp_path: Path) -> None:
    one, two = write_archive(tmp_path, "amd64"), tmp_path / "two.tar"
    config = {"rootfs": {"type": "layers", "diff_ids": [sha256(layer("x"))]}}
    two.write_bytes(docker_archive({"a.tar": layer("x")}, config=config, entry={"RepoTags": ["app:1"]}))
    with pytest.raises(InvalidArgument, match=f"an image in {two} that states no platform"):
        lamina.merge_images([one, two], output=f"{tmp_path}/images/")


def test_an_index_that_contradicts_its_images_is_refused(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    wrong = layout.image([layer("a")], config_more=platform("arm64"), platform=platform("amd64"))
    write_layout(tmp_path / "old", layout, add_index(layout, [wrong], **name("app:1")))
    with pytest.raises(IntegrityError, match="the index states linux/amd64, and the config of the image linux/arm64"):
        lamina.merge_images([tmp_path / "old"], output=f"{tmp_path}/new/")


def test_an_index_that_lacks_one_of_several_images_is_refused_and_one_image_is_enough(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    images = [add_platform(layout, architecture) for architecture in ("amd64", "arm64", "s390x")]
    entry = add_index(layout, images, **name("app:1"))
    del layout.members[f"blobs/sha256/{images[2]['digest'][7:]}"]
    write_layout(tmp_path / "old", layout, entry)
    with pytest.raises(FormatError, match="app:1: got an index that lists linux/s390x, but no manifest"):
        lamina.merge_images([tmp_path / "old"], output=f"{tmp_path}/new/")
    (tmp_path / "old/blobs/sha256" / images[1]["digest"][7:]).unlink()
    merged = lamina.merge_images([tmp_path / "old"], output=f"{tmp_path}/new/")
    assert [(item.has_index, item.platforms) for item in merged.names] == [(False, ("linux/amd64",))]
