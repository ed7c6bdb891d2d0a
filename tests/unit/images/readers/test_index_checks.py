"""Mistakes of an index are found, and are errors where the index would be copied."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import run
from tests.support.image_files import LayoutBuilder, layer, platform
from tests.support.indexes import NAME, add_attestation, add_index, add_platform, add_whole_index, pack

import lamina
from lamina.errors import IntegrityError
from lamina.images.readers.index_checks import check_index, lacks_manifests, list_index_warnings
from lamina.images.readers.source_image import InspectedImage

APP: dict[str, Any] = {"annotations": {NAME: "docker.io/library/app:1"}}


def write(folder: Path, layout: LayoutBuilder, *listed: dict[str, Any]) -> Path:
    layout.index(add_index(layout, listed, **APP))
    layout.write(folder)
    return folder


def read(folder: Path, layout: LayoutBuilder, *listed: dict[str, Any]) -> tuple[InspectedImage, ...]:
    return lamina.inspect(write(folder, layout, *listed))


def add_other(layout: LayoutBuilder, **more: Any) -> dict[str, Any]:
    """Add another image for amd64."""
    stated = {"platform": {**platform("amd64"), **more}}
    return layout.image([layer("other")], compress=pack, ending="+gzip", config_more=platform("amd64"), **stated)


def test_a_good_index_has_no_warnings(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    layout.index(add_whole_index(layout, **APP))
    layout.write(tmp_path)
    images = lamina.inspect(tmp_path)
    assert [*list_index_warnings(images)] == []
    check_index(images, "app:1")
    assert not lacks_manifests(images[0].indexes[0])


def test_another_platform_than_the_index_states_is_an_error(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    wrong = add_platform(layout, "arm64") | {"platform": platform("amd64")}
    images = read(tmp_path, layout, wrong, add_platform(layout, "s390x"))
    (message,) = list_index_warnings(images)
    assert message == f"{images[0].id}: the index states linux/amd64, and the config of the image linux/arm64"
    with pytest.raises(IntegrityError, match=r"app:1: got sha256:.*, expected the same platform in both"):
        check_index(images, "app:1")
    check_index(images[1:], "app:1")


def test_two_images_for_one_platform_are_an_error(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    folder = write(tmp_path / "old", layout, add_other(layout), add_platform(layout, "amd64"))
    images = lamina.inspect(folder)
    ids = ", ".join(image.id for image in images)
    assert images.warnings == (f"app:1: the index lists several images for linux/amd64: {ids}",)
    with pytest.raises(IntegrityError, match="app:1: got the index lists several images for linux/amd64"):
        check_index(images, "app:1")
    with pytest.raises(IntegrityError, match="expected one for each platform"):
        lamina.merge_images([folder], output=f"{tmp_path}/new/", name="app:2")
    with pytest.raises(IntegrityError, match="got the index lists several images for linux/amd64"):
        lamina.verify_image(folder, platform="amd64", store="/")


@pytest.mark.parametrize("more", [{"os.version": "10.0.1"}, {"os.features": ["win32k"]}, {"variant": "v3"}])
def test_images_for_other_versions_of_a_system_are_no_duplicates(tmp_path: Path, more: dict[str, Any]) -> None:
    layout = LayoutBuilder()
    images = read(tmp_path, layout, add_other(layout, **more), add_platform(layout, "amd64"))
    assert [*list_index_warnings(images)] == []


def test_an_image_in_two_compressions_is_no_duplicate(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    images = [add_platform(layout, "amd64", is_compressed=packed) for packed in (True, False)]
    assert [*list_index_warnings(read(tmp_path, layout, *images))] == []


def test_images_that_are_missing_are_named(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    listed = [add_platform(layout, name) for name in ("amd64", "arm64", "s390x")]
    for image in listed[1:]:
        del layout.members[f"blobs/sha256/{image['digest'][7:]}"]
    other = {**add_platform(layout, "riscv64"), "digest": f"sha512:{'a' * 128}"}
    folder = write(tmp_path / "old", layout, *listed, other)
    message = "app:1: the index lists images that are missing: linux/arm64, linux/s390x, linux/riscv64"
    assert lamina.inspect(folder).warnings == (message,)
    merged = lamina.merge_images([folder], output=f"{tmp_path}/new/")
    assert (merged.names[0].platforms, merged.warnings) == (("linux/amd64",), (message,))
    ran = run("diff", folder, folder)
    assert (ran.code, message in ran.stderr) == (0, True)


def test_an_attestation_that_is_missing_is_no_missing_image(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    image = add_platform(layout, "amd64")
    attestation = add_attestation(layout, image)
    del layout.members[f"blobs/sha256/{attestation['digest'][7:]}"]
    images = read(tmp_path, layout, image, attestation)
    assert [*list_index_warnings(images)] == []
    assert lacks_manifests(images[0].indexes[0])


def test_platforms_that_are_not_stated_are_a_warning(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    listed = [add_platform(layout, name) for name in ("amd64", "arm64")]
    for item in listed:
        del item["platform"]
    folder = write(tmp_path / "old", layout, *listed)
    message = "app:1: the index states no platform for 2 of 2 images: engines take any"
    assert lamina.inspect(folder).warnings == (message,)
    assert lamina.merge_images([folder], output=f"{tmp_path}/new/").warnings == (message,)
