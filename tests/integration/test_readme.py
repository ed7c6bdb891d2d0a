"""The shell examples of the docs run verbatim but for the registries, with a real docker and a real Nix."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.closures import Nix, Sample
from tests.integration.engines import Engine
from tests.support.example_store import example_store, write_command
from tests.support.image_files import docker_archive, sha256, tar
from tests.support.paths import REPOSITORY

ARCHITECTURES = ("amd64", "arm64")


def _find_examples(page: str) -> list[str]:
    return re.findall(r"```sh\n(.*?)```", (REPOSITORY / page).read_text(), re.DOTALL)


def _run(block: str, folder: Path, **environment: str) -> None:
    path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    command = ["bash", "-e", "-u", "-o", "pipefail", "-c", block]
    done = subprocess.run(
        command, cwd=folder, env={"PATH": path, "HOME": str(folder), **environment}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the examples use, and commands for a machine whose store has hello."""
    (tmp_path / "bin").mkdir()
    example_store(tmp_path / "machine")
    write_command(tmp_path / "bin/lamina", tmp_path / "machine")
    (tmp_path / "motd.txt").write_text("welcome\n")
    (tmp_path / "debian.tar").write_bytes(_make_base_image())
    for architecture in ARCHITECTURES:
        (tmp_path / f"app-{architecture}.tar").write_bytes(_make_base_image(architecture))
    (toml,) = re.findall(r"```toml\n(.*?)```", (REPOSITORY / "docs/usage.md").read_text(), re.DOTALL)
    (tmp_path / "lamina.toml").write_text(toml)
    return tmp_path


def _make_base_image(architecture: str = "amd64") -> bytes:
    """Return a base image with a merged /usr and a config to inherit."""
    layer = tar({"usr/": None, "usr/bin/": None, "bin": "usr/bin", "etc/": None, "etc/os-release": b"ID=debian\n"})
    config = {"Cmd": ["/bin/hello"], "User": "1000", "Env": ["PATH=/usr/bin:/bin"]}
    rootfs = {"type": "layers", "diff_ids": [sha256(layer)]}
    return docker_archive(
        {"layer.tar": layer}, config={"os": "linux", "architecture": architecture, "config": config, "rootfs": rootfs}
    )


def _write_docker_command(folder: Path, engine: Engine) -> None:
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in engine.environment.items())
    (folder / "bin/docker").write_text(f'#!/bin/sh\nexec env {settings} {shlex.join(engine.command)} "$@"\n')
    (folder / "bin/docker").chmod(0o755)


# The pages whose commands need only the files of `folder`.
PAGES = ("README.md", "docs/usage.md", "docs/arguments.md", "docs/image.md", "docs/layering.md", "docs/scripts.md")
EXAMPLES = [block for page in PAGES for block in _find_examples(page) if "lamina " in block]


def _use_registry(block: str, folder: Path, address: str) -> str:
    """Return ``block`` with a registry on this machine in the place of those of the examples."""
    if "debian:12" in block:
        _run(f"lamina push debian.tar --to {address}/debian:12", folder)
    for architecture in ARCHITECTURES:
        if f"me/app:1-{architecture}" in block:
            _run(f"lamina push app-{architecture}.tar --to {address}/me/app:1-{architecture}", folder)
    return block.replace("debian:12", f"{address}/debian:12").replace("ghcr.io/", f"{address}/")


@pytest.mark.parametrize("block", EXAMPLES)
def test_the_shell_of_the_docs_works(block: str, folder: Path, own_docker: Engine, registry: str) -> None:
    _write_docker_command(folder, own_docker)
    _run(_use_registry(block, folder, registry), folder)
    for name in own_docker.images():
        assert name.startswith("hello:")
        if "latest" in block:
            assert own_docker.run(name).stdout == "Hello, world!\n"
        own_docker.remove(name)


def test_the_shell_of_the_store_page_works(folder: Path, own_docker: Engine, nix: Nix, small: Sample) -> None:
    _write_docker_command(folder, own_docker)
    (block,) = _find_examples("docs/stores.md")
    (folder / "mnt").mkdir()
    (folder / "mnt/nix").symlink_to("/nix")
    block = block.replace("/nix/store/…-hello-2.12.1", small.root).replace("/mnt/other", str(folder / "mnt"))
    _run(block, folder, NIX_CONFIG=nix.environment["NIX_CONFIG"])
    (name,) = own_docker.images()
    assert own_docker.run(name, "/bin/hello").stdout.startswith("good morning")
    own_docker.remove(name)
