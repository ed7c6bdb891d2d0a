"""Earlier versions of an image: in files, layouts, folders and registries. No layer is read."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.image_files import LayoutBuilder, docker_archive, layer, platform
from tests.support.registry import QUICK, MemoryRegistry, add_image, answer_with

from lamina.errors import InputError, NotFound, RegistryError
from lamina.formats.platform import Platform
from lamina.images.readers import earlier_versions, repository_tags
from lamina.images.readers.earlier_versions import EarlierVersionReader
from lamina.images.readers.source_image import InspectedImage
from lamina.transports.retry import use_policy


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    with use_policy(QUICK):
        yield


def read(image: str | Path, wanted: str = "") -> tuple[list[str], list[str]]:
    """Return the comment that names each image, and the warnings."""
    warnings: list[str] = []
    images = EarlierVersionReader(Platform.parse(wanted) if wanted else None, warnings.append).read(str(image))
    return list(map(get_mark, images)), warnings


def get_mark(image: InspectedImage) -> str:
    return str(image.config["mark"])


def add_version(registry: MemoryRegistry, tag: str, architecture: str = "amd64") -> None:
    layout = LayoutBuilder()
    image = layout.image([layer(tag)], config_more={"mark": tag, **platform(architecture)})
    add_image(registry, layout, image, "me/app", tag)


def make_archive(mark: str) -> bytes:
    layout = LayoutBuilder()
    layout.index(layout.image([layer(mark)], config_more={"mark": mark}))
    return layout.tar()


def test_a_tag_is_one_image_and_no_layer_is_read(registry: MemoryRegistry) -> None:
    for tag in ("1", "2"):
        add_version(registry, tag)
    assert read(f"{registry.host}/me/app:2") == (["2"], [])
    assert read(f"{registry.host}/me/app") == (["1", "2"], [])
    layers = {str(digest) for digest, data in registry.blobs["me/app"].items() if b"ustar" in data}
    assert len(layers) == 2
    assert not layers & {request.path.rpartition("/")[2] for request in registry.seen}


def test_tags_are_in_their_natural_order(registry: MemoryRegistry) -> None:
    for tag in ("1.10", "latest", "1.9"):
        add_version(registry, tag)
    assert read(f"docker://{registry.host}/me/app") == (["1.9", "1.10", "latest"], [])


def test_only_so_many_of_the_last_tags_are_read(registry: MemoryRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository_tags, "MAX_TAGS", 2)
    for tag in ("1", "2", "3"):
        add_version(registry, tag)
    expected = f"{registry.host}/me/app: got 3 tags, used the last 2 in their natural order"
    assert read(f"{registry.host}/me/app") == (["2", "3"], [expected])


def test_signatures_beside_the_images_are_not_read(registry: MemoryRegistry) -> None:
    add_version(registry, "1")
    for ending in ("", ".sig"):
        registry.add_manifest("me/app", f"sha256-{'0' * 64}{ending}", b"{}", "application/json")
    assert read(f"{registry.host}/me/app") == (["1"], [])


def test_a_tag_that_is_no_image_is_left_out(registry: MemoryRegistry) -> None:
    add_version(registry, "1")
    registry.add_manifest("me/app", "2", b"{}", "application/json")
    marks, (warning,) = read(f"{registry.host}/me/app")
    assert marks == ["1"]
    assert "me/app:2" in warning
    assert warning.endswith("; it is left out")


def test_only_images_for_the_platform_are_read(registry: MemoryRegistry, tmp_path: Path) -> None:
    add_version(registry, "1")
    add_version(registry, "2", "arm64")
    marks, warnings = read(f"{registry.host}/me/app", "arm64")
    assert marks == ["2"]
    assert len(warnings) == 1
    assert read(f"{registry.host}/me/app:1", "arm64")[0] == []
    (tmp_path / "x.tar").write_bytes(make_archive("x"))
    assert read(tmp_path / "x.tar", "arm64") == ([], [])
    assert read(tmp_path / "x.tar", "amd64") == (["x"], [])


@pytest.mark.parametrize(
    ("name", "warning"), [("me/none", "no image in the repository"), ("me/none:1", "no such image")]
)
def test_the_first_version_has_no_earlier_one(registry: MemoryRegistry, name: str, warning: str) -> None:
    assert read(f"{registry.host}/{name}") == ([], [f"{registry.host}/{name}: {warning}, so nothing is learnt from it"])


def test_a_registry_that_fails_is_an_error(registry: MemoryRegistry) -> None:
    add_version(registry, "1")
    registry.fail("GET", "/manifests/", answer_with(500), times=100)
    with pytest.raises(RegistryError):
        read(f"{registry.host}/me/app")


def test_a_layout_has_all_its_images_and_a_name_chooses_one(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    named = {"org.opencontainers.image.ref.name": "b"}
    layout.index(
        layout.image([layer("a")], config_more={"mark": "a"}),
        layout.image([layer("b")], config_more={"mark": "b"}, annotations=named),
    )
    layout.write(tmp_path / "layout")
    assert read(tmp_path / "layout") == (["a", "b"], [])
    assert read(f"{tmp_path}/layout#b") == (["b"], [])
    with pytest.raises(NotFound):
        read(f"{tmp_path}/layout#c")


def test_a_folder_has_the_images_of_its_files_in_their_natural_order(tmp_path: Path) -> None:
    for number in (10, 9):
        (tmp_path / f"app-{number}.tar").write_bytes(make_archive(str(number)))
    (tmp_path / "app-8.tar.gz").write_bytes(gzip.compress(make_archive("8")))
    (tmp_path / "notes.txt").write_text("not an image")
    layout = LayoutBuilder()
    layout.index(layout.image([layer("z")], config_more={"mark": "z"}))
    layout.write(tmp_path / "z")
    assert read(tmp_path) == (["8", "9", "10", "z"], [])


def test_a_file_of_a_folder_that_is_no_image_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "app-1.tar").write_bytes(make_archive("1"))
    (tmp_path / "app-2.tar").write_bytes(b"damaged")
    marks, (warning,) = read(tmp_path)
    assert marks == ["1"]
    assert warning.startswith(f"{tmp_path}/app-2.tar: tar at byte 0: got invalid bytes")


def test_only_so_many_of_the_last_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(earlier_versions, "MAX_FILES", 1)
    for number in (1, 2):
        (tmp_path / f"app-{number}.tar").write_bytes(make_archive(str(number)))
    expected = f"{tmp_path}: got 2 image files, used the last 1 in their natural order"
    assert read(tmp_path) == (["2"], [expected])


def test_layers_of_a_file_are_not_read(tmp_path: Path) -> None:
    config = {"mark": "x", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [f"sha256:{'0' * 64}"]}}
    (tmp_path / "x.tar").write_bytes(docker_archive({"a.tar": b"not even a tar"}, config=config))
    assert read(tmp_path / "x.tar") == (["x"], [])


def test_a_name_that_no_file_can_have_is_an_error() -> None:
    with pytest.raises(InputError, match="File name too long"):
        read("/" + "q" * 5_000)


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_folder_without_images_and_a_missing_file_are_errors(tmp_path: Path, is_folder: bool) -> None:
    if is_folder:
        (tmp_path / "x.tar").mkdir()
    with pytest.raises(InputError):
        read(tmp_path / "x.tar")
