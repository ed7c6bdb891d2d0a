"""Fetching an image from a registry for all its platforms."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import run
from tests.support.image_files import LayoutBuilder, layer, platform
from tests.support.indexes import add_index, add_platform, add_whole_index
from tests.support.registry import MemoryRegistry, add_image, serve_open_registry

import lamina
from lamina.errors import FormatError, IntegrityError, InvalidArgument, RegistryError


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryRegistry]:
    with serve_open_registry(tmp_path, monkeypatch) as server:
        yield server


@pytest.fixture
def layout(registry: MemoryRegistry) -> LayoutBuilder:
    """Return the layout whose index, of two platforms and an attestation, is me/app:1 in the registry."""
    builder = LayoutBuilder()
    add_image(registry, builder, add_whole_index(builder))
    return builder


def pull(registry: MemoryRegistry, folder: Path, name: str = "me/app:1", **more: Any) -> lamina.IndexPullResult:
    return lamina.pull_index(f"{registry.host}/{name}", output=f"{folder}/", **more)


def test_a_layout_gets_the_bytes_of_all_that_the_index_lists(
    registry: MemoryRegistry, layout: LayoutBuilder, tmp_path: Path
) -> None:
    pulled = pull(registry, tmp_path / "images")
    for name, data in layout.members.items():
        if name.startswith("blobs/"):
            assert (tmp_path / "images" / name).read_bytes() == data
    (entry,) = json.loads((tmp_path / "images/index.json").read_text())["manifests"]
    assert entry["digest"] == str(pulled.digest)
    assert "platform" not in entry
    assert str(pulled.reference) == f"{registry.host}/me/app@{pulled.digest}"
    assert [image.platform for image in pulled.images] == ["linux/amd64", "linux/arm64"]
    assert pulled.blobs_fetched == 3
    (index,) = {index for image in lamina.inspect(tmp_path / "images") for index in image.indexes}
    assert (index.digest, index.repo_tags) == (pulled.digest, (f"{registry.host}/me/app:1",))


def test_a_second_pull_fetches_nothing_and_replaces_the_single_platform(
    registry: MemoryRegistry, layout: LayoutBuilder, tmp_path: Path
) -> None:
    lamina.pull_image(f"{registry.host}/me/app:1", output=f"{tmp_path}/images/", platform="arm64")
    assert pull(registry, tmp_path / "images").blobs_fetched == 1
    assert pull(registry, tmp_path / "images").blobs_fetched == 0
    assert len(json.loads((tmp_path / "images/index.json").read_text())["manifests"]) == 1


def test_an_image_without_an_index_is_written_as_it_is(registry: MemoryRegistry, tmp_path: Path) -> None:
    builder = LayoutBuilder()
    image = builder.image([layer("a")])
    add_image(registry, builder, image)
    pulled = pull(registry, tmp_path / "images")
    assert str(pulled.digest) == image["digest"]
    (found,) = lamina.inspect(tmp_path / "images")
    assert (found.id, found.indexes) == (pulled.images[0].id, ())


@pytest.mark.parametrize("missing", ["an image", "an attestation", "a blob of an attestation"])
def test_an_index_that_is_not_complete_leaves_no_name(registry: MemoryRegistry, tmp_path: Path, missing: str) -> None:
    builder = LayoutBuilder()
    described = add_whole_index(builder)
    add_image(registry, builder, described)
    index = json.loads(builder.members[f"blobs/sha256/{described['digest'][7:]}"])  # type: ignore[arg-type]
    attestation = index["manifests"][2]["digest"]
    blob = json.loads(builder.members[f"blobs/sha256/{attestation[7:]}"])["layers"][0]["digest"]  # type: ignore[arg-type]
    if missing == "a blob of an attestation":
        del registry.blobs["me/app"][blob]
    else:
        number = 1 if missing == "an image" else 2
        del registry.manifests["me/app"][index["manifests"][number]["digest"]]
    with pytest.raises((RegistryError, FormatError), match=f"me/app:1.*(no manifest|no blob {blob})"):
        pull(registry, tmp_path / "images")
    assert not (tmp_path / "images/index.json").exists()


def test_an_index_that_contradicts_an_image_is_refused(registry: MemoryRegistry, tmp_path: Path) -> None:
    builder = LayoutBuilder()
    wrong = builder.image([layer("a")], config_more=platform("arm64"), platform=platform("amd64"))
    add_image(registry, builder, add_index(builder, [wrong, add_platform(builder, "s390x")]))
    with pytest.raises(IntegrityError, match="the index states linux/amd64, and the config of the image linux/arm64"):
        pull(registry, tmp_path / "images")
    assert not (tmp_path / "images/index.json").exists()


def test_a_file_has_no_place_for_all_platforms(registry: MemoryRegistry, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"output: got .* for all platforms, expected a folder"):
        lamina.pull_index(f"{registry.host}/me/app:1", output=tmp_path / "app.tar")


def test_the_command_prints_each_image_and_the_index(
    registry: MemoryRegistry, layout: LayoutBuilder, tmp_path: Path
) -> None:
    arguments = ("pull", f"{registry.host}/me/app:1", "--all-platforms", "-o", f"{tmp_path}/images/")
    ran = run(*arguments)
    assert (ran.code, ran.stdout.decode()) == (0, f"{tmp_path}/images/\n")
    *_, first, second, index = ran.stderr.splitlines()
    assert ("linux/amd64" in first, "linux/arm64" in second) == (True, True)
    assert "2 images  3 of 3 blobs fetched" in index
    document = json.loads(run(*arguments, "--json").stdout)
    assert [image["platform"] for image in document["images"]] == ["linux/amd64", "linux/arm64"]
    assert document["reference"].endswith(document["digest"])
    ran = run(*arguments, "--platform", "arm64")
    assert (ran.code, "it and --all-platforms, expected one of them" in ran.stderr) == (2, True)
