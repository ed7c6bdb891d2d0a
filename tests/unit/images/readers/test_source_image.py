"""An image that was read: its platform, and several entries for one image."""

import pytest

from lamina.core.names import Digest
from lamina.formats.platform import Platform
from lamina.images.readers.source_image import NO_PLATFORM, SourceImage, deduplicate

ARM64 = Platform("linux", "arm64")


def image(
    config: dict[str, str], index: Platform = NO_PLATFORM, number: int = 1, **names: tuple[str, ...]
) -> SourceImage:
    return SourceImage(
        Digest(bytes([number] * 32)),
        names.get("repo_tags", ()),
        b"",
        config,
        (),
        names.get("tags", ()),
        index_platform=index,
    )


@pytest.mark.parametrize(
    ("config", "index", "expected"),
    [
        ({"os": "linux", "architecture": "amd64"}, NO_PLATFORM, "linux/amd64"),
        ({"os": "linux", "architecture": "amd64"}, ARM64, "linux/amd64"),
        ({}, ARM64, "linux/arm64"),
        ({"architecture": "arm"}, Platform("linux", "arm", "v6"), "linux/arm/v6"),
        ({"os": "linux", "architecture": "arm64", "variant": "v8"}, NO_PLATFORM, "linux/arm64/v8"),
        ({}, NO_PLATFORM, ""),
    ],
)
def test_the_index_completes_the_platform_of_the_config(config: dict[str, str], index: Platform, expected: str) -> None:
    found = image(config, index)
    assert found.platform == expected
    assert found.architecture == (expected.split("/")[1] if expected else "")


def test_an_image_is_listed_once_with_all_its_names() -> None:
    first = image({}, repo_tags=("app:1",))
    again = image({}, ARM64, repo_tags=("library/app:1", "app:2"), tags=("bare",))
    other = image({}, number=2, repo_tags=("app:1",))
    found = deduplicate([first, other, again])
    assert [item.id for item in found] == [first.id, other.id]
    assert found[0].repo_tags == ("app:1", "app:2")
    assert found[0].tags == ("bare",)
    assert found[0].index_platform == ARM64
    assert found[1] == other
