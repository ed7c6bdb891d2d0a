"""Images for several platforms."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.image_files import LayoutBuilder, layer, platform

import lamina
from lamina.errors import NotFound
from lamina.images.readers.platforms import is_one_image, select_platforms
from lamina.images.readers.source_image import InspectedImage

NAME = "io.containerd.image.name"


def read(folder: Path, layout: LayoutBuilder, *entries: dict[str, Any]) -> tuple[InspectedImage, ...]:
    layout.index(*entries)
    layout.write(folder)
    return lamina.inspect(folder)


def add(layout: LayoutBuilder, name: str, architecture: str, stated: str = "") -> dict[str, Any]:
    described: dict[str, Any] = {"config_more": {"architecture": architecture}}
    if stated:
        described["platform"] = platform(stated)
    if name:
        described["annotations"] = {NAME: f"docker.io/library/{name}"}
    return layout.image([layer(name + architecture)], **described)


@pytest.mark.parametrize(
    ("images", "is_one"),
    [
        ([("app:1", "amd64")], True),
        ([("app:1", "amd64"), ("app:1", "arm64")], True),
        ([("", "amd64"), ("", "arm64")], True),
        ([("app:1", "amd64"), ("app:2", "arm64")], False),
    ],
)
def test_images_of_one_name_for_different_platforms_are_one_image(
    tmp_path: Path, images: list[tuple[str, str]], is_one: bool
) -> None:
    layout = LayoutBuilder()
    found = read(tmp_path, layout, *(add(layout, *image) for image in images))
    assert is_one_image(found) == is_one
    if is_one:
        assert select_platforms(found, "x", "") == found
    else:
        with pytest.raises(NotFound, match="x: got 2 images, expected one of app:1, app:2"):
            select_platforms(found, "x", "")


def test_two_images_for_one_platform_are_one_image_only_in_an_index(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    images = [add(layout, name, "amd64", "amd64") for name in ("", "b:1")]
    images[1].pop("annotations")
    assert not is_one_image(read(tmp_path / "apart", layout, *images))
    layout = LayoutBuilder()
    images = [add(layout, name, "amd64", "amd64") for name in ("", "b:1")]
    images[1].pop("annotations")
    assert is_one_image(read(tmp_path / "index", layout, layout.nested(images)))


def test_no_images_are_not_one() -> None:
    assert not is_one_image([])
