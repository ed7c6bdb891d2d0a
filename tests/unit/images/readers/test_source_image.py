"""An image that was read: its platform, and several entries for one image."""

import hashlib
from dataclasses import replace

import pytest

from lamina.core.names import Digest
from lamina.formats.platform import NO_PLATFORM, Platform
from lamina.images.readers.source_image import SourceImage, deduplicate

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


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), ""),
        (("app:1", "app:2"), "docker.io/library/app:1"),
        (("localhost:5000/a/b:1",), "localhost:5000/a/b:1"),
        (("not a name", "", "app:2"), "docker.io/library/app:2"),
        (("not a name",), ""),
    ],
)
def test_the_full_name_is_the_first_valid_one_with_its_registry(names: tuple[str, ...], expected: str) -> None:
    assert image({}, repo_tags=names).full_name == expected


def test_an_image_has_a_digest_and_annotations_of_its_manifest_if_there_is_one() -> None:
    assert (image({}).manifest_digest, image({}).annotations) == (None, {})
    found = replace(image({}), manifest_json=b'{"annotations": {"a": "b"}}')
    assert found.manifest_digest == Digest(hashlib.sha256(found.manifest_json).digest())
    assert found.annotations == {"a": "b"}
