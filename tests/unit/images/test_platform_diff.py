"""Two images for several platforms are compared platform by platform."""

from pathlib import Path

import pytest
from tests.support.image_files import LayoutBuilder, layer, platform

import lamina
from lamina.errors import PlanError
from lamina.images.platform_diff import compare_platforms
from lamina.images.readers.source_image import SourceImage


def write(folder: Path, *images: tuple[str, str]) -> tuple[SourceImage, ...]:
    """Write an index of images, each given by its platform and the name of the file in its only layer."""
    layout = LayoutBuilder()
    entries = []
    for name, file in images:
        described = dict(zip(("architecture", "variant"), name.split("/"), strict=False))
        entries.append(
            layout.image([layer(file)], config_more=described, platform=platform(described["architecture"]) | described)
        )
    layout.index(layout.nested(entries))
    layout.write(folder)
    return lamina.inspect(folder)  # type: ignore[return-value]


def test_each_platform_that_both_have_is_compared_and_the_others_are_named(tmp_path: Path) -> None:
    old = write(tmp_path / "old", ("amd64", "a"), ("arm64", "b"), ("s390x", "c"))
    new = write(tmp_path / "new", ("riscv64", "d"), ("arm64", "b"), ("amd64", "e"))
    result = compare_platforms(old, new)
    assert [(item.new.platform, item.sent.count) for item in result.platforms] == [
        ("linux/arm64", 0),
        ("linux/amd64", 1),
    ]
    assert [item.platform for item in result.only_old] == ["linux/s390x"]
    assert [item.platform for item in result.only_new] == ["linux/riscv64"]
    assert all(item.old.platform == item.new.platform for item in result.platforms)


def test_two_images_for_one_platform_each_are_compared_whatever_it_is(tmp_path: Path) -> None:
    result = compare_platforms(write(tmp_path / "old", ("amd64", "a")), write(tmp_path / "new", ("arm64", "a")))
    assert (result.sent.count, result.platforms, result.only_old) == (0, (result,), ())


def test_a_variant_is_another_platform_unless_it_is_the_default(tmp_path: Path) -> None:
    old = write(tmp_path / "old", ("arm/v7", "a"), ("arm64", "b"))
    new = write(tmp_path / "new", ("arm/v6", "a"), ("arm64/v8", "b"))
    result = compare_platforms(old, new)
    assert [item.new.platform for item in result.platforms] == ["linux/arm64/v8"]
    assert [item.platform for item in (*result.only_old, *result.only_new)] == ["linux/arm/v7", "linux/arm/v6"]


def test_several_images_for_a_platform_are_compared_in_their_order(tmp_path: Path) -> None:
    old = write(tmp_path / "old", ("amd64", "a"), ("amd64", "b"))
    new = write(tmp_path / "new", ("amd64", "a"), ("amd64", "c"), ("amd64", "d"))
    result = compare_platforms(old, new)
    assert [item.sent.count for item in result.platforms] == [0, 1]
    assert len(result.only_new) == 1


def test_images_without_a_platform_in_common_are_not_compared(tmp_path: Path) -> None:
    old, new = write(tmp_path / "old", ("amd64", "a"), ("arm64", "b")), write(tmp_path / "new", ("s390x", "a"))
    with pytest.raises(PlanError, match="images for linux/amd64, linux/arm64 in the one, and for linux/s390x in the"):
        compare_platforms(old, new)
