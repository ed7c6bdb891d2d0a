"""docker is asked for the address of dockerd once, and pulls from there with a configuration folder of lamina's."""

from __future__ import annotations

from pathlib import Path

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
