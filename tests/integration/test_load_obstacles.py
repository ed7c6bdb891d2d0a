"""``lamina load`` notices real engines that cannot reach it, and finds dockerd as docker does."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.integration.closures import Sample
from tests.integration.conftest import short_folder
from tests.integration.engines import Engine, start_dockerd
from tests.integration.test_load import target_podman
from tests.integration.tools import loopback_port, require
from tests.support.fake_nix_store import MODULE

NAME = "test/obstacle:1"
pytestmark = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="dockerd needs root")


@dataclass(frozen=True, slots=True)
class Loading:
    """Runs ``lamina load`` of a closure with the docker of this machine, and a configuration folder of its own."""

    folder: Path
    root: str

    def environment(self, **variables: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
        return kept | {"DOCKER_CONFIG": str(self.folder / "config")} | variables

    def docker(self, *words: str) -> None:
        subprocess.run(("docker", *words), env=self.environment(), check=True, capture_output=True)

    def load(self, **variables: str) -> Any:
        """Return the document of the result."""
        command = (*MODULE, "load", self.root, "--into", "docker", "--no-layer-cache", "-t", NAME, "--json")
        done = subprocess.run(command, env=self.environment(**variables), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def loading(small: Sample, tmp_path: Path) -> Loading:
    return Loading(tmp_path, small.root)


@pytest.fixture(scope="module")
def isolated_docker() -> Iterator[Engine]:
    """A dockerd in a network of its own: its loopback addresses are not those of this machine."""
    with short_folder() as folder, start_dockerd(folder, prefix=(require("unshare"), "--net")) as engine:
        yield engine


def test_a_podman_in_another_network_gets_an_archive(loading: Loading, podman: Engine) -> None:
    isolated = replace(podman, command=(require("unshare"), "--net", "--", *podman.command))
    target = target_podman(isolated, loading.folder)
    loaded = target.load("far", contents=[loading.root])
    name = target.full_name("test/load:far")
    try:
        assert loaded.way == "archive"
        assert "127.0.0.1:" in loaded.warnings[0]
        assert podman.run(name, "/bin/hello").stdout.startswith("good morning")
    finally:
        podman.remove(name)


def address_of(engine: Engine) -> str:
    return engine.command[engine.command.index("--host") + 1]


def check_image(engine: Engine) -> None:
    """Check that the engine has the image under its name only, and remove it."""
    try:
        assert engine.images() == (NAME,)
        assert engine.run(NAME, "/bin/hello").stdout.startswith("good morning")
    finally:
        engine.remove(NAME)


def test_a_docker_in_another_network_gets_an_archive(loading: Loading, isolated_docker: Engine) -> None:
    loaded = loading.load(DOCKER_HOST=address_of(isolated_docker))
    assert loaded["way"] == "archive"
    (warning,) = loaded["warnings"]
    assert warning.startswith("docker got the whole image as an archive, because it cannot fetch layers from lamina: ")
    assert "127.0.0.1:" in warning
    check_image(isolated_docker)


def test_a_docker_at_an_address_of_the_network_gets_an_archive(loading: Loading) -> None:
    address = f"tcp://127.0.0.1:{loopback_port()}"
    with short_folder() as folder, start_dockerd(folder, options=("--host", address)) as engine:
        loaded = loading.load(DOCKER_HOST=address)
        assert loaded["way"] == "archive"
        assert f"dockerd is at {address}, maybe on another machine" in loaded["warnings"][0]
        check_image(engine)


def test_a_docker_that_ssh_reaches_gets_an_archive(loading: Loading, own_docker: Engine) -> None:
    programs = loading.folder / "bin"
    programs.mkdir()
    # Runs the command of docker here, as the other machine would do it.
    script = f'while [ "$1" != docker ]; do shift; done\nDOCKER_HOST={shlex.quote(address_of(own_docker))} exec "$@"'
    (programs / "ssh").write_text(f"#!/bin/sh\n{script}\n")
    (programs / "ssh").chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    loaded = loading.load(DOCKER_HOST="ssh://user@host.invalid", PATH=path)
    assert loaded["way"] == "archive"
    assert "dockerd is at ssh://host.invalid, maybe on another machine" in loaded["warnings"][0]
    check_image(own_docker)


def test_the_context_of_docker_decides(loading: Loading, own_docker: Engine) -> None:
    """A socket is pulled from, although lamina gives docker another configuration folder; another machine is not."""
    loading.docker("context", "create", "here", "--docker", f"host={address_of(own_docker)}")
    loading.docker("context", "create", "far", "--docker", "host=tcp://127.0.0.1:1")
    loading.docker("context", "use", "here")
    loaded = loading.load()
    assert (loaded["way"], loaded["warnings"]) == ("pull", [])
    check_image(own_docker)
    command = (*MODULE, "load", loading.root, "--into", "docker", "--no-layer-cache", "-t", NAME)
    failed = subprocess.run(
        command, env=loading.environment(DOCKER_CONTEXT="far"), capture_output=True, text=True, check=False
    )
    assert failed.returncode == 10
    assert "docker load" in failed.stderr, "it got the archive"
    assert own_docker.images() == ()
