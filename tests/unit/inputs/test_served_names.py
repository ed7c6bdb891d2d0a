"""The names of images that a server makes list packages, and patterns say which packages may be named."""

from __future__ import annotations

import pytest

from lamina.errors import InvalidArgument
from lamina.inputs.served_names import ServedName, parse_allowed


@pytest.mark.parametrize(
    ("repository", "packages", "architecture"),
    [
        ("hello", ("hello",), None),
        ("python3/git/curl", ("python3", "git", "curl"), None),
        ("arm64/hello", ("hello",), "arm64"),
        ("aarch64/hello/git", ("hello", "git"), "arm64"),
        ("arm64", ("arm64",), None),
        ("hello/arm64", ("hello", "arm64"), None),
    ],
)
def test_a_name_lists_packages_after_an_architecture(
    repository: str, packages: tuple[str, ...], architecture: str | None
) -> None:
    assert ServedName.parse(repository) == ServedName(packages, architecture)


@pytest.mark.parametrize(
    ("patterns", "repository", "is_allowed"),
    [
        (("*",), "a/b", True),
        (("python3*", "git"), "python3-3.12/git", True),
        (("python3*", "git"), "python3/git-lfs", False),
        (("gi?",), "git", True),
        (("arm64",), "arm64/git", False),
        (("git",), "arm64/git", True),
        ((), "git", False),
    ],
)
def test_every_package_must_match_a_pattern(patterns: tuple[str, ...], repository: str, is_allowed: bool) -> None:
    assert ServedName.parse(repository).is_allowed(patterns) is is_allowed


@pytest.mark.parametrize("pattern", ["", "a/b", "[ab]", "A", "a b", "x" * 201])
def test_other_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(InvalidArgument, match="--allow"):
        parse_allowed("--allow", (pattern,))
