"""Write the user and password of a registry to files in the formats of the engines."""

from __future__ import annotations

import base64
import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from lamina.engines.engine import LoopbackImage
from lamina.errors import OutputError
from lamina.system.tempdir import FOLDER_HINT, TempDir

_OWNER_ONLY = 0o600


@contextlib.contextmanager
def write_docker_config(image: LoopbackImage) -> Iterator[Path]:
    """Create a folder with the ``config.json`` of docker for the block; podman reads the same format.

    Source: docker's documentation of ``docker login``, and containers-auth.json(5).
    """
    document = json.dumps({"auths": {image.host: {"auth": _encode(image)}}})
    with _write_file("config.json", document) as file:
        yield file.parent


@contextlib.contextmanager
def write_hosts_folder(image: LoopbackImage) -> Iterator[Path]:
    """Create a folder for the block that tells containerd how to reach the registry: ``HOST/hosts.toml``.

    Source: containerd's documentation, "Registry Configuration".
    """
    url = json.dumps(f"http://{image.host}")
    lines = (
        f"server = {url}",
        f"[host.{url}]",
        'capabilities = ["pull", "resolve"]',
        f"[host.{url}.header]",
        f'Authorization = ["Basic {_encode(image)}"]',
    )
    with _write_file(f"{image.host}/hosts.toml", "\n".join(lines) + "\n") as file:
        yield file.parent.parent


def _encode(image: LoopbackImage) -> str:
    return base64.b64encode(f"{image.user}:{image.password}".encode()).decode()


@contextlib.contextmanager
def _write_file(name: str, text: str) -> Iterator[Path]:
    try:
        folder = TempDir()
    except OSError as error:
        raise OutputError("temporary folder", error, "a folder for a login", hint=FOLDER_HINT) from error
    with folder:
        file = folder.path / name
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
            with open(descriptor, "w", encoding="utf-8") as out:
                out.write(text)
        except OSError as error:
            raise OutputError(file, error, "a file for a login", hint=FOLDER_HINT) from error
        yield file
