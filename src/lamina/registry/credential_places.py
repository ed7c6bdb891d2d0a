"""Find the places where docker, podman and skopeo keep credentials for registries.

The order is that of containers-auth.json(5), with two rules of the programs. If ``REGISTRY_AUTH_FILE`` or
``DOCKER_CONFIG`` is set, podman and skopeo read only the file that it names. ``DOCKER_AUTH_CONFIG`` holds a document
that docker asks before its file.

Only this module reads the environment for credentials of registries.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

_PODMAN_FILE = "containers/auth.json"
_DOCKER_FILE = "config.json"
_FILE_VARIABLE = "REGISTRY_AUTH_FILE"


@dataclass(frozen=True, slots=True)
class CredentialFile:
    """A file that may hold credentials.

    Attributes:
        path: the name of the file.
        variable: the environment variable that names it, or empty for a default place.
    """

    path: str
    variable: str = ""

    @property
    def may_be_pipe(self) -> bool:
        """Whether the user named the file itself, which may be a pipe: ``<(command)``."""
        return self.variable == _FILE_VARIABLE

    def __str__(self) -> str:
        return f"{self.path} (named by {self.variable})" if self.variable else self.path


@dataclass(frozen=True, slots=True)
class CredentialPlaces:
    """The places of credentials that the environment names.

    Attributes:
        files: the files to read, in order.
        document: the content of ``DOCKER_AUTH_CONFIG``, which comes before the files; empty if it is not set.
        search_path: the folders with credential helpers, as in ``PATH``.
        login_command: the command that writes to one of the files: ``docker login``.
    """

    files: tuple[CredentialFile, ...]
    document: str = field(default="", repr=False)
    search_path: str = os.defpath
    login_command: str = "docker login"


def read_places() -> CredentialPlaces:
    """Return the places for the user and the environment of this process."""
    user_id = os.getuid() if hasattr(os, "getuid") else 0
    return list_places(os.environ, os.path.expanduser("~"), sys.platform, user_id)


def list_places(environment: Mapping[str, str], home: str, platform: str, user_id: int) -> CredentialPlaces:
    """Return the places for an environment. An empty variable counts as not set.

    Args:
        environment: the environment variables.
        home: the user's home folder.
        platform: the system, as in `sys.platform`.
        user_id: the user's number, which is part of a name if there is no ``XDG_RUNTIME_DIR``.

    """
    search_path = environment.get("PATH", os.defpath)
    if named := environment.get(_FILE_VARIABLE):
        files = [CredentialFile(named, _FILE_VARIABLE)]
        return CredentialPlaces(tuple(files), search_path=search_path, login_command="podman login")
    if folder := environment.get("DOCKER_CONFIG"):
        files = [CredentialFile(f"{folder}/{_DOCKER_FILE}", "DOCKER_CONFIG")]
    else:
        paths = (*_list_podman_files(environment, home, platform, user_id), f"{home}/.docker/{_DOCKER_FILE}")
        files = [CredentialFile(path) for path in dict.fromkeys(paths)]
    return CredentialPlaces(tuple(files), environment.get("DOCKER_AUTH_CONFIG", ""), search_path)


def _list_podman_files(environment: Mapping[str, str], home: str, platform: str, user_id: int) -> tuple[str, str]:
    """Return the file that ``podman login`` writes to, and the one that it only reads."""
    config = environment.get("XDG_CONFIG_HOME") or f"{home}/.config"
    if platform != "linux":
        written = f"{home}/.config/{_PODMAN_FILE}"
    elif runtime := environment.get("XDG_RUNTIME_DIR"):
        written = f"{runtime}/{_PODMAN_FILE}"
    else:
        written = f"/run/containers/{user_id}/auth.json"
    return written, f"{config}/{_PODMAN_FILE}"
