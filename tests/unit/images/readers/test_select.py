"""Choosing images of a file by name and by platform."""

from pathlib import Path

import pytest

from lamina.core.names import Digest
from lamina.errors import InputError, InvalidArgument, NotFound, PlanError
from lamina.formats.platform import Platform
from lamina.formats.registry_references import RegistryReference
from lamina.images.readers import select
from lamina.images.readers.source_image import SourceImage


def image(number: int, *repo_tags: str, tags: tuple[str, ...] = (), platform: str = "linux/amd64") -> SourceImage:
    system, architecture = platform.split("/")
    config = {"os": system, "architecture": architecture}
    return SourceImage(Digest(bytes([number] * 32)), repo_tags, b"", config, (), tags)


ONE, TWO, ARM = image(1, "app:1", "app:2"), image(2, tags=("bare",)), image(3, "app:1", platform="linux/arm64")


def test_a_name_follows_the_last_hash_unless_it_is_part_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a#b").write_text("")
    assert select.split_name(tmp_path / "a#b") == (tmp_path / "a#b", None)
    assert select.split_name(f"{tmp_path}/a#b#c") == (tmp_path / "a#b", "c")
    assert select.split_name("image.tar") == (Path("image.tar"), None)
    assert select.split_name("image.tar#") == (Path("image.tar"), "")
    assert select.split_name("oci:images:v1") == (Path("images"), "v1")
    assert select.split_name("oci:images#v1") == (Path("images"), "v1")


def test_a_reference_is_a_source_but_no_file() -> None:
    assert select.parse_source("ghcr.io/me/app:1") == RegistryReference.parse("ghcr.io/me/app:1")
    with pytest.raises(InputError, match="got an image in a registry, expected an image file") as raised:
        select.split_name("ghcr.io/me/app:1")
    assert raised.value.hint == "fetch it first: lamina pull ghcr.io/me/app:1 -o app.tar"
    with pytest.raises(InvalidArgument, match="got a reference with #1"):
        select.parse_source("ghcr.io/me/app#1")
    assert select.split_name("missing.d/image.tar#app:1") == (Path("missing.d/image.tar"), "app:1")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("app:2", (ONE,)),
        ("docker.io/library/app:1", (ONE, ARM)),
        ("bare", (TWO,)),
        (TWO.id, (TWO,)),
        (ARM.digest.hex, (ARM,)),
    ],
)
def test_a_name_selects_images_in_any_spelling(name: str, expected: tuple[SourceImage, ...]) -> None:
    assert select.select_by_name((ONE, TWO, ARM), name, "image.tar", "") == expected


def test_only_a_platform_chooses_one_of_images_with_the_same_names() -> None:
    both = (image(1, "app:1"), image(3, "app:1", platform="linux/arm64"))
    for images, hint in ((both, select.PLATFORM_HINT), ((ONE, TWO), "name one")):
        with pytest.raises(NotFound, match="got 2 images") as caught:
            select.select_single(images, "image.tar", "name one")
        assert caught.value.hint == hint


def test_a_name_that_no_image_has_is_an_error_that_lists_the_names() -> None:
    with pytest.raises(NotFound, match=r"image\.tar: got no image other:1, expected one of app:2, bare, sha256:0303"):
        select.select_by_name((ONE, TWO, ARM), "other:1", "image.tar", "")
    with pytest.raises(NotFound, match="got an empty name"):
        select.select_by_name((ONE,), "", "image.tar", "")


def test_a_platform_selects_one_image_of_each_name() -> None:
    amd64, arm64 = Platform.parse("linux/amd64"), Platform.parse("linux/arm64")
    assert select.select_by_platform((ONE, TWO, ARM), amd64, "image.tar", "") == (ONE, TWO)
    assert select.select_by_platform((ONE, TWO, ARM), arm64, "image.tar", "") == (ARM,)
    with pytest.raises(PlanError, match="got images for linux/amd64, expected one for linux/arm64") as caught:
        select.select_by_platform((ONE, TWO), arm64, "image.tar", select.PLATFORM_HINT)
    assert caught.value.hint == select.PLATFORM_HINT


def test_a_single_image_is_required() -> None:
    assert select.select_single((ONE,), "image.tar", "") is ONE
    with pytest.raises(NotFound, match=r"got 3 images, expected one of app:2, bare, sha256:"):
        select.select_single((ONE, TWO, ARM), "image.tar", "")


def test_only_the_first_names_are_listed() -> None:
    images = [image(number, f"app:{number}") for number in range(12)]
    assert select.list_names(images).endswith("app:9 and 2 more")
    assert select.list_platforms([*images, ARM]) == "linux/amd64, linux/arm64"
