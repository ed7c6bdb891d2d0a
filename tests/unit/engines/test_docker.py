"""docker is asked for the address of dockerd once, pulls from there, and engines out of reach are recognised."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.engine_programs import install_program

from lamina.engines.engine import LoopbackImage
from lamina.engines.find import find_engine
from lamina.formats.platform import Platform

# Keeps its first argument, and the address of dockerd in the environment.
_LOGGING_DOCKER = """
echo "${DOCKER_HOST:-none} $1" >> "$FOLDER/calls"
case "$1" in
context) echo unix:///run/other.sock ;;
esac
"""
_IMAGE = LoopbackImage("127.0.0.1:1234", "lamina/image", "latest", Platform.parse("amd64"), "user", "password")


def test_the_address_of_dockerd_is_asked_for_once_and_used_for_the_pull(tmp_path: Path) -> None:
    programs = install_program(tmp_path / "bin", "docker", _LOGGING_DOCKER)
    engine = find_engine("docker", str(programs))
    assert engine.find_obstacle() == ""
    engine.pull(_IMAGE, "app:1")
    calls = [line.split() for line in (programs / "calls").read_text().splitlines()]
    assert [command for _, command in calls] == ["context", "info", "pull", "tag", "rmi"]
    assert [address for address, command in calls if command == "pull"] == ["unix:///run/other.sock"]


@pytest.mark.parametrize(
    ("address", "info", "obstacle"),
    [
        ("unix:///run/docker.sock", "Debian GNU/Linux 12\\n[name=seccomp,profile=default]", ""),
        (
            "npipe:////./pipe/docker_engine",
            "Docker Desktop\\n[name=seccomp]",
            "Docker Desktop runs dockerd in",
        ),
        ("unix:///run/docker.sock", "Debian\\n[name=seccomp name=rootless]", "dockerd runs without root, in a network"),
        ("ssh://host", "", "dockerd is at ssh://host, maybe on another machine"),
        ("tcp://192.0.2.1:2376", "", "dockerd is at tcp://192.0.2.1:2376, maybe on another machine"),
    ],
)
def test_a_docker_out_of_reach_is_recognised(tmp_path: Path, address: str, info: str, obstacle: str) -> None:
    answers = f"case \"$1\" in\ncontext) echo '{address}' ;;\ninfo) printf '{info}\\n' ;;\nesac\n"
    found = find_engine("docker", str(install_program(tmp_path / "bin", "docker", answers))).find_obstacle()
    assert found.startswith(obstacle)
    assert bool(found) == bool(obstacle)


def test_a_remote_podman_is_recognised(tmp_path: Path) -> None:
    programs = install_program(tmp_path / "bin", "podman", "echo true\n")
    assert "virtual machine" in find_engine("podman", str(programs)).find_obstacle()
