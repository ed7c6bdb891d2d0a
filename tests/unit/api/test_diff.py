"""Comparing the images of files."""

from pathlib import Path

import pytest
from tests.support.image_files import LayoutBuilder, docker_archive, layer

import lamina
from lamina.errors import NotFound

NAME = "io.containerd.image.name"


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """Return a layout with app:1 and app:2; the latter for two platforms."""
    builder = LayoutBuilder()
    app = "docker.io/library/app"
    arm = {"architecture": "arm64"}
    builder.index(
        builder.image([layer("a"), layer("b")], annotations={NAME: f"{app}:1"}),
        builder.image([layer("a"), layer("c")], annotations={NAME: f"{app}:2"}),
        builder.image([layer("a"), layer("d")], config_more=arm, annotations={NAME: f"{app}:2"}),
    )
    builder.write(tmp_path / "layout")
    return tmp_path / "layout"


def test_the_images_of_a_file_and_of_a_layout_are_compared(tmp_path: Path, layout: Path) -> None:
    (tmp_path / "x.tar").write_bytes(docker_archive({"a.tar": layer("a")}))
    result = lamina.diff(tmp_path / "x.tar", f"{layout}#app:1")
    assert (result.old.repo_tags, result.new.repo_tags) == (("x:1",), ("app:1",))
    assert [item.change for item in result.layers] == ["kept", "sent"]


def test_the_platform_chooses_one_of_several_images(layout: Path) -> None:
    result = lamina.diff(f"{layout}#app:2", f"{layout}#app:2", platform="arm64")
    assert (result.old.platform, result.sent.count) == ("linux/arm64", 0)


def test_one_of_several_images_has_to_be_named(layout: Path) -> None:
    with pytest.raises(NotFound, match="got 3 images, expected one of app:1") as raised:
        lamina.diff(layout, layout)
    assert raised.value.hint == f"name one as {layout}#NAME:TAG"


def test_images_for_several_platforms_are_compared_for_those_that_both_have(layout: Path) -> None:
    result = lamina.diff(f"{layout}#app:1", f"{layout}#app:2")
    assert [(item.new.platform, item.sent.count) for item in result.platforms] == [("linux/amd64", 1)]
    assert [item.platform for item in result.only_new] == ["linux/arm64"]
    both = lamina.diff(f"{layout}#app:2", f"{layout}#app:2")
    assert [item.new.platform for item in both.platforms] == ["linux/amd64", "linux/arm64"]
