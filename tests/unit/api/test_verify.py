"""Which image is verified, and the arguments of `lamina.verify_image`."""

from pathlib import Path

import pytest
from tests.support.image_files import LayoutBuilder, layer
from tests.support.registry import add_image, serve_registry

import lamina
from lamina.errors import InvalidArgument, NotFound, PlanError

NAME = "io.containerd.image.name"
APP = "docker.io/library/app"


class EmptyStore(lamina.Store):
    """A store without paths."""

    def query(self, paths: object) -> dict[lamina.StorePath, lamina.PathInfo]:
        return {}

    def nodes(self, path: lamina.StorePath) -> list[lamina.nodes.Node]:
        raise NotFound(path)


STORE = EmptyStore()


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """Return a layout with app:1, and app:2 for two platforms."""
    builder = LayoutBuilder()
    arm = {"architecture": "arm64"}
    builder.index(
        builder.image([layer("a")], annotations={NAME: f"{APP}:1"}),
        builder.image([layer("a"), layer("b")], annotations={NAME: f"{APP}:2"}),
        builder.image([layer("a"), layer("c")], config_more=arm, annotations={NAME: f"{APP}:2"}),
    )
    builder.write(tmp_path / "layout")
    return tmp_path / "layout"


def test_a_name_and_a_platform_choose_one_of_several_images(layout: Path) -> None:
    one = lamina.verify_image(f"{layout}#app:1", store=STORE)
    assert (one.repo_tags, one.platform, len(one.layers)) == (("app:1",), "linux/amd64", 1)
    two = lamina.verify_image(f"{layout}#app:2", platform="arm64", store=STORE)
    assert (two.platform, len(two.layers)) == ("linux/arm64", 2)
    assert two.id == str(two.digest)
    assert repr(two).endswith(": 2 not of store paths>")


def test_several_images_are_an_error_that_lists_them(layout: Path) -> None:
    with pytest.raises(NotFound, match="got 3 images, expected one of app:1, "):
        lamina.verify_image(layout, store=STORE)
    with pytest.raises(NotFound, match="got 2 images") as raised:
        lamina.verify_image(f"{layout}#app:2", store=STORE)
    assert "--platform" in raised.value.hint
    with pytest.raises(PlanError):
        lamina.verify_image(layout, platform="s390x", store=STORE)


def test_a_platform_chooses_an_image_of_an_index_in_a_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    with serve_registry() as registry:
        builder = LayoutBuilder()
        images = [
            builder.image(
                [layer(name)],
                config_more={"architecture": name},
                platform={"os": "linux", "architecture": name},
            )
            for name in ("amd64", "arm64")
        ]
        add_image(registry, builder, builder.nested(images))
        reference = f"{registry.host}/me/app:1"
        assert lamina.verify_image(reference, platform="arm64", store=STORE).platform == "linux/arm64"
        with pytest.raises(NotFound, match="got 2 images"):
            lamina.verify_image(reference, store=STORE)


@pytest.mark.parametrize("wrong", [{"full": "yes"}, {"max_unpacked_size": "x"}, {"trusted_keys": "x"}, {"progress": 1}])
def test_a_wrong_argument_is_an_error_before_the_image_is_read(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        lamina.verify_image("none.tar", store=STORE, **wrong)  # type: ignore[arg-type]
