"""Nix in a container uses the database that lamina wrote; the image has that Nix in its base image."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.closures import Nix, Sample
from tests.integration.engines import Engine
from tests.integration.images import machine_store
from tests.support.image_files import docker_archive, sha256

import lamina

# Packs the programs and their libraries, with links followed; runs where the Nix is, which may be another root.
_PACK = """
set -e
programs="/usr/bin/nix-store /usr/bin/nix /bin/sh /bin/cat"
libraries=$(ldd $programs | sed -n 's,.*[[:space:]]\\(/[^ ]*\\) (.*,\\1,p' | sort -u)
tar -C / --create --dereference --hard-dereference --sort=name $programs $libraries 2>/dev/null
"""
_SETTINGS = "NIX_CONFIG=build-users-group =\nsandbox = false\nsubstituters =\nexperimental-features = nix-command"


@contextmanager
def load_image_with_nix(engine: Engine, nix: Nix, sample: Sample, folder: Path) -> Iterator[str]:
    """Load an image with ``nix``, ``sample`` and a database; yield its name."""
    packed = subprocess.run([*nix.prefix, "sh", "-c", _PACK], env=nix.environment, capture_output=True, check=True)
    base = folder / "base.tar"
    config = {"Env": [_SETTINGS, "PATH=/usr/bin:/bin", "HOME=/root", "USER=root", "NIX_REMOTE=local"]}
    base.write_bytes(docker_archive({"nix/layer.tar": packed.stdout}, config=_make_config(packed.stdout, config)))
    lamina.build_layered_image(
        output=folder / "image.tar",
        name="test/nix",
        tag="inside",
        from_image=base,
        contents=[sample.root],
        store=machine_store(),
        include_nix_db=True,
        extras=["tmp", "nss"],
    )
    name = "localhost/test/nix:inside" if engine.kind == "podman" else "test/nix:inside"
    engine.load(folder / "image.tar")
    try:
        yield name
    finally:
        engine.remove(name)


def _make_config(layer: bytes, config: object) -> object:
    rootfs = {"type": "layers", "diff_ids": [sha256(layer)]}
    return {"os": "linux", "architecture": "amd64", "config": config, "rootfs": rootfs}


def _check_database(engine: Engine, nix: Nix, sample: Sample, folder: Path) -> None:
    with load_image_with_nix(engine, nix, sample, folder) as name:
        version = engine.run(name, "nix-store", "--version").stdout
        assert ".".join(map(str, nix.version()[:2])) in version
        paths = engine.run(name, "nix-store", "-qR", sample.root).stdout.split()
        assert set(paths) == set(sample.paths)
        references = engine.run(name, "nix-store", "-q", "--references", sample.root).stdout.split()
        assert set(references) == set(nix.references(sample.root))
        done = engine.run(name, "nix-store", "--verify", "--check-contents")
        assert "error" not in done.stderr, done.stderr
        added = engine.run(name, "sh", "-c", "nix-store --add /etc/passwd && nix-store --verify --check-contents")
        assert added.stdout.startswith("/nix/store/")
        broken = f"cat /etc/passwd > {sample.root}/added; nix-store --verify --check-contents"
        assert engine.run(name, "sh", "-c", broken, check=False).returncode != 0


def test_the_machines_nix_inside_a_container(engine: Engine, nix: Nix, small: Sample, tmp_path: Path) -> None:
    _check_database(engine, nix, small, tmp_path)


def test_newer_nix_inside_a_container(own_docker: Engine, newer_nix: Nix, small: Sample, tmp_path: Path) -> None:
    _check_database(own_docker, newer_nix, small, tmp_path)
