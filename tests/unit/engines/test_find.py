"""The engine that the user chose is found by its program, or else the first that is installed."""

from pathlib import Path

import pytest

from lamina.engines.find import find_engine
from lamina.engines.names import ENGINE_NAMES
from lamina.errors import InvalidArgument, OutputError


def install(folder: Path, *programs: str) -> str:
    for program in programs:
        (folder / program).write_text("#!/bin/sh\n")
        (folder / program).chmod(0o755)
    return str(folder)


@pytest.mark.parametrize("name", ENGINE_NAMES)
def test_an_engine_is_found_by_its_program(tmp_path: Path, name: str) -> None:
    path = install(tmp_path, "docker", "podman", "ctr")
    assert find_engine(name, path).name == name


@pytest.mark.parametrize(
    ("installed", "found"), [(("podman", "docker"), "docker"), (("ctr", "podman"), "podman"), (("ctr",), "containerd")]
)
def test_without_a_choice_the_first_that_is_installed_is_taken(
    tmp_path: Path, installed: tuple[str, ...], found: str
) -> None:
    assert find_engine(None, install(tmp_path, *installed)).name == found


@pytest.mark.parametrize(("name", "missing"), [("containerd", "no ctr on"), (None, "no docker or podman or ctr on")])
def test_a_missing_program_is_an_error(tmp_path: Path, name: str | None, missing: str) -> None:
    with pytest.raises(OutputError, match=missing):
        find_engine(name, str(tmp_path))


def test_an_unknown_engine_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="docker, podman, containerd"):
        find_engine("rkt", str(tmp_path))
