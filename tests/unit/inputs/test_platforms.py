"""The arguments of images for several platforms give those of one image for each."""

from pathlib import Path
from typing import Any

import pytest

from lamina.errors import InvalidArgument
from lamina.inputs.platforms import expand_platforms, parse_platforms, parse_roots, select_platform
from lamina.inputs.relative_paths import rebase_platform_roots
from lamina.inputs.spec import Spec

AMD64, ARM64 = "linux/amd64", "linux/arm64"


def test_each_platform_has_the_common_contents_and_then_its_own() -> None:
    arguments = {
        "platforms": ["aarch64-linux", "amd64"],
        "contents": iter(["certs"]),
        "roots": {"x86_64": ["a", "b"], ARM64: "c"},
        "tag": "1",
    }
    images = expand_platforms(arguments)
    assert images == {
        ARM64: {"contents": ("certs", "c"), "architecture": "arm64", "tag": "1"},
        AMD64: {"contents": ("certs", "a", "b"), "architecture": "amd64", "tag": "1"},
    }
    assert list(images) == [ARM64, AMD64]


def test_the_platforms_are_those_of_roots_if_none_is_given() -> None:
    images = expand_platforms({"roots": ["linux/arm/v7=/nix/store/x=y", "arm64=b", "armv7l-linux=c"]})
    assert {name: image["contents"] for name, image in images.items()} == {
        "linux/arm/v7": ("/nix/store/x=y", "c"),
        ARM64: ("b",),
    }
    assert images["linux/arm/v7"]["architecture"] == "arm/v7"


def test_without_platforms_there_is_one_image_as_before() -> None:
    arguments: dict[str, Any] = {"contents": ["hello"], "architecture": "arm64"}
    assert expand_platforms(arguments) == {"": arguments}
    assert select_platform(arguments) == arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"platforms": ["amd64", "x86_64-linux"]}, "platforms: got linux/amd64 twice, expected each platform once"),
        ({"platforms": "pdp11"}, "platforms: got 'pdp11', expected an architecture such as"),
        (
            {"platforms": "windows/amd64"},
            "platforms: got 'windows/amd64', expected an architecture for Linux, which is what images are made for",
        ),
        (
            {"platforms": ["amd64"], "roots": {"arm64": "a"}},
            "roots: got linux/arm64, which is not among the platforms, expected linux/amd64",
        ),
        ({"roots": ["hello"]}, "roots: got 'hello', expected OS/ARCH=ROOT, such as"),
        ({"roots": "amd64=hello"}, "roots: got 'amd64=hello', expected an object of lists of ROOTs"),
        (
            {"platforms": ["amd64", "arm64"], "architecture": "arm64"},
            "architecture: got arm64 and the platforms linux/amd64, linux/arm64, expected one of them",
        ),
        ({"roots": {"plan9/amd64": "a"}}, "roots: got 'plan9/amd64', expected an architecture for Linux"),
        ({"roots": {"amd64": ["a", ""]}}, "roots: got '', expected a store path or the name of a package"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_contradicts_itself_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        expand_platforms(arguments)
    assert str(refused.value).startswith(message)


def test_one_platform_is_the_architecture_of_the_only_image() -> None:
    spec = Spec.parse({"platforms": "arm/v7", "architecture": "armv7l", "roots": {"arm/v7": "b"}, "contents": "a"})
    assert (spec.architecture, spec.contents, spec.platforms, spec.roots) == ("arm/v7", ("a", "b"), (), ())


def test_functions_of_one_image_refuse_several_platforms_and_name_those_that_take_them() -> None:
    with pytest.raises(
        InvalidArgument, match=r"^platforms: got linux/amd64, linux/arm64, expected one platform here$"
    ) as e:
        Spec.parse({"platforms": ["amd64", "arm64"]})
    assert "build_image_index" in e.value.hint


def test_what_a_parser_returns_can_be_parsed_again() -> None:
    platforms, roots = parse_platforms("x", ["arm64"]), parse_roots("x", {"arm64": ["a"]})
    assert parse_platforms("x", platforms) == platforms
    again: Any = roots
    assert parse_roots("x", again) == roots


def test_relative_roots_begin_at_the_folder_of_the_spec_file() -> None:
    folder = Path("/specs")
    assert rebase_platform_roots({"arm64": ["./result", "hello"]}, folder) == {"arm64": ["/specs/result", "hello"]}
    assert rebase_platform_roots(["arm64=./result", "arm64=hello", 5], folder) == [
        "arm64=/specs/result",
        "arm64=hello",
        5,
    ]
    assert rebase_platform_roots(5, folder) == 5
