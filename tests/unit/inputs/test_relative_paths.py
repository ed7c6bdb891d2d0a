"""Relative paths in a spec file start at its folder; values of other kinds stay as they are."""

from pathlib import Path
from typing import Any

import pytest

from lamina.inputs.relative_paths import (
    rebase_channel,
    rebase_images,
    rebase_layering,
    rebase_path,
    rebase_paths,
    rebase_roots,
    rebase_sources,
)

FOLDER = Path("/specs")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a/b", "/specs/a/b"), ("/a", "/a"), ("https://host/a", "https://host/a"), (5, 5), (None, None)],
)
def test_a_path_is_joined_to_the_folder(value: Any, expected: Any) -> None:
    assert rebase_path(value, FOLDER) == expected


def test_one_path_is_a_list_of_one() -> None:
    assert rebase_paths("a", FOLDER) == ["/specs/a"]
    assert rebase_paths(["a", "s3://b", 5], FOLDER) == ["/specs/a", "s3://b", 5]
    assert rebase_paths({"a": 1}, FOLDER) == {"a": 1}


def test_images_are_rebased_unless_they_are_references() -> None:
    assert rebase_images(["old/app.tar", "ghcr.io/me/app", "me/app:1", 5], FOLDER) == [
        "/specs/old/app.tar",
        "ghcr.io/me/app",
        "me/app:1",
        5,
    ]
    assert rebase_images("old", FOLDER) == ["/specs/old"]


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ("hello", "hello"),
        ("./result", "/specs/result"),
        (".", "/specs"),
        ("..", "/specs/.."),
        ("/nix/store/x", "/nix/store/x"),
        (".#app", "/specs#app"),
        ("nixpkgs#hello", "nixpkgs#hello"),
        ("default.nix", "/specs/default.nix"),
        (5, 5),
    ],
)
def test_a_root_is_rebased_only_if_it_is_a_path(root: Any, expected: Any) -> None:
    assert rebase_roots([root], FOLDER) == [expected]


def test_a_pipeline_and_the_links_in_it_are_rebased(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    assert rebase_layering("popularity", tmp_path) == "popularity"
    assert rebase_layering("mine", tmp_path) == f"{tmp_path}/mine"
    assert rebase_layering([["split_paths", ["./result", "/nix/store/x"]]], FOLDER) == [
        ["split_paths", ["/specs/result", "/nix/store/x"]]
    ]
    assert rebase_layering({"a": "./b"}, FOLDER) == {"a": "./b"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("pinned:app.tar", "pinned:/specs/app.tar"),
        ("pinned:out/app.tar#app:1", "pinned:/specs/out/app.tar#app:1"),
        ("pinned:oci:out:app:1", "pinned:oci:/specs/out:app:1"),
        ("pinned:/app.tar", "pinned:/app.tar"),
        ("pinned:localhost:5000/app:1", "pinned:localhost:5000/app:1"),
        ("pinned:", "pinned:"),
        ("pinned", "pinned"),
    ],
)
def test_the_earlier_image_of_a_layering_is_rebased_if_it_is_a_file(value: str, expected: str) -> None:
    assert rebase_layering(value, FOLDER) == expected


def test_sources_of_declared_files_are_rebased() -> None:
    entries = [{"file": "/etc/x=x", "mode": 1}, {"file": "/etc/y"}, {"dir": "/tmp"}, 5]
    assert rebase_sources(entries, FOLDER) == [{"file": "/etc/x=/specs/x", "mode": 1}, *entries[1:]]
    assert rebase_sources("x", FOLDER) == "x"


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        ("nixos-25.11", "nixos-25.11"),
        ("https://example.org/x", "https://example.org/x"),
        ("./list", "/specs/list"),
        ("list.xz", "/specs/list.xz"),
        ("/list", "/list"),
        ("", ""),
        (5, 5),
    ],
)
def test_a_channel_is_rebased_only_if_it_is_a_file(channel: Any, expected: Any) -> None:
    assert rebase_channel(channel, FOLDER) == expected


@pytest.mark.parametrize("path", ["./result", "./auto", "./nixos-25.11", "result/"])
def test_a_path_beside_the_file_does_not_become_a_name(path: str) -> None:
    """The folder of a spec file in the current folder is ``.``."""
    here, expected = Path("lamina.toml").parent, f"./{path.strip('./')}"
    assert rebase_roots([path], here) == [expected]
    assert rebase_paths(path, here) == [expected]
    assert rebase_channel(path, here) == expected
    assert rebase_layering(path, here) == expected
    assert rebase_roots(["result"], here) == ["result"]
    assert rebase_path("base.tar", here) == "base.tar"
