"""An engine that cannot pull from this machine gets the whole image as an archive; other failures are errors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.engine_programs import FULL_PODMAN, ISOLATED_PODMAN, REMOTE_DOCKER, install_program
from tests.support.fake_nix_store import FakeStore, example

import lamina


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


def load(store: FakeStore, programs: Path, into: str | None = None) -> lamina.LoadResult:
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return lamina.load_layered_image(
        into=into, contents=["hello"], store=str(store.root), name="hello", tag="1", search_path=path
    )


@pytest.mark.parametrize(
    ("name", "script", "reason"),
    [
        ("docker", REMOTE_DOCKER, "dockerd is at tcp://192.0.2.1:2375, maybe on another machine"),
        ("podman", ISOLATED_PODMAN, "connection refused"),
    ],
)
def test_an_engine_that_cannot_reach_this_machine_gets_an_archive(
    store: FakeStore, tmp_path: Path, name: str, script: str, reason: str
) -> None:
    programs = install_program(tmp_path / "bin", name, script)
    loaded = load(store, programs, name)
    (image,) = lamina.inspect(programs / "archive.tar")
    assert image.repo_tags == ("hello:1",)
    assert str(image.digest) == loaded.id
    assert (loaded.engine, loaded.way) == (name, "archive")
    assert loaded.blobs_sent == len(loaded.layers)
    assert loaded.bytes_sent == (programs / "archive.tar").stat().st_size
    (warning,) = loaded.warnings
    assert "as an archive" in warning
    assert reason in warning


def test_an_engine_that_fails_after_it_reached_lamina_is_an_error(store: FakeStore, tmp_path: Path) -> None:
    programs = install_program(tmp_path / "bin", "podman", FULL_PODMAN)
    with pytest.raises(lamina.OutputError, match="no space left on device"):
        load(store, programs, "podman")


def test_an_unknown_engine_is_refused_before_anything_is_made(store: FakeStore, tmp_path: Path) -> None:
    with pytest.raises(lamina.InvalidArgument, match="docker, podman, containerd"):
        load(store, tmp_path, "rkt")
