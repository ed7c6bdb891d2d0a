"""Platforms: names of processors are translated for images, and the best of several platforms is found."""

from __future__ import annotations

import pytest

from lamina.errors import InvalidArgument
from lamina.formats import elf
from lamina.formats.platform import ARCHITECTURES, Platform


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("amd64", "linux/amd64"),
        ("x86_64", "linux/amd64"),
        ("x86_64-linux", "linux/amd64"),
        ("AMD64", "linux/amd64"),
        ("amd64/v1", "linux/amd64"),
        ("amd64/v3", "linux/amd64/v3"),
        ("aarch64", "linux/arm64"),
        ("aarch64-linux", "linux/arm64"),
        ("arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/aarch64", "linux/arm64"),
        ("arm", "linux/arm"),
        ("arm/7", "linux/arm/v7"),
        ("armv7l", "linux/arm/v7"),
        ("armv6l-linux", "linux/arm/v6"),
        ("i686", "linux/386"),
        ("x86-64", "linux/amd64"),
        ("powerpc64le", "linux/ppc64le"),
        ("loongarch64", "linux/loong64"),
        ("windows/amd64", "windows/amd64"),
        ("riscv64/rva20u64", "linux/riscv64/rva20u64"),
    ],
)
def test_every_name_of_a_processor_is_translated_to_a_goarch(text: str, expected: str) -> None:
    found = Platform.parse(text)
    assert str(found) == expected
    assert Platform.parse(str(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "/",
        "linux",
        "linux/",
        "linux/amd46",
        "amd46",
        "x86",
        "arm64/v7",
        "arm/v9",
        "arm/",
        "a/b/c/d",
        "linux//v8",
    ],
)
def test_an_unknown_processor_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^platform: got .*, expected an architecture such as amd64") as caught:
        Platform.parse(text)
    assert "riscv64" in caught.value.hint


def test_architectures_of_elf_files_are_valid_for_images() -> None:
    assert set(elf._ARCHITECTURES.values()) <= set(ARCHITECTURES)


@pytest.mark.parametrize(
    ("asked", "offered", "expected"),
    [
        ("arm64", "amd64 arm64 arm/v7", "arm64"),
        ("arm64/v8", "amd64 arm64", "arm64"),
        ("arm64", "arm64/v8 amd64", "arm64"),
        ("arm/v7", "arm/v5 arm/v7 arm/v6", "arm/v7"),
        ("arm/v7", "arm/v5 arm/v6", "arm/v6"),
        ("arm/v6", "arm/v7 arm/v5", "arm/v5"),
        ("arm/v6", "arm/v7", None),
        ("arm", "arm/v6 arm/v7 arm/v8", "arm/v7"),
        ("arm", "arm/v8", "arm/v8"),
        ("amd64", "amd64/v3 amd64/v2 amd64", "amd64"),
        ("amd64", "amd64/v3 amd64/v2", "amd64/v2"),
        ("amd64/v3", "amd64 amd64/v2 amd64/v4", "amd64/v2"),
        ("amd64", "windows/amd64", None),
        ("amd64", "windows/amd64 linux/amd64", "amd64"),
        ("ppc64le", "ppc64le/power9 ppc64le", "ppc64le"),
        ("386", "amd64", None),
    ],
)
def test_the_best_of_several_platforms_is_chosen(asked: str, offered: str, expected: str | None) -> None:
    ranked = [
        (match_rank, platform)
        for platform in map(Platform.parse, offered.split())
        if (match_rank := platform.match_rank(Platform.parse(asked))) is not None
    ]
    found = min(ranked, key=lambda item: item[0])[1].name if ranked else None
    assert found == expected


def test_an_unknown_platform_ranks_last() -> None:
    asked = Platform.parse("arm")
    unknown = Platform.from_document({})
    known = Platform.parse("arm/v8").match_rank(asked)
    assert known is not None
    assert (unknown.match_rank(asked) or ()) > known
    assert str(Platform.from_document({"os": "linux", "architecture": "aarch64", "variant": "v8"})) == "linux/arm64"
    assert str(Platform.from_document({"os": 5, "architecture": None, "variant": []})) == ""
