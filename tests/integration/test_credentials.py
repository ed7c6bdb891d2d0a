"""lamina finds the same credentials as skopeo: both get the same files, and skopeo prints the user that it finds."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.integration.tools import environment, require, run
from tests.support.credentials import ANSWER, encode_auth, write_helper

from lamina.registry.credential_places import list_places
from lamina.registry.credential_search import CredentialSearch

PODMAN, CONFIG, DOCKER = "run/containers/auth.json", "home/.config/containers/auth.json", "home/.docker/config.json"
NAMED = "named/config.json"


def entries(**users: str) -> dict[str, Any]:
    return {"auths": {key: encode_auth(user, "secret") for user, key in users.items()}}


@pytest.mark.parametrize(
    ("documents", "variables", "name", "user"),
    [
        ({DOCKER: entries(one="ghcr.io")}, {}, "ghcr.io", "one"),
        ({PODMAN: entries(one="ghcr.io"), CONFIG: entries(two="ghcr.io")}, {}, "ghcr.io", "one"),
        ({CONFIG: entries(two="ghcr.io"), DOCKER: entries(three="ghcr.io")}, {}, "ghcr.io", "two"),
        ({PODMAN: entries(one="quay.io"), DOCKER: entries(three="ghcr.io")}, {}, "ghcr.io", "three"),
        ({PODMAN: entries(one="ghcr.io"), NAMED: entries(four="ghcr.io")}, {"REGISTRY_AUTH_FILE"}, "ghcr.io", "four"),
        ({NAMED: entries(four="ghcr.io"), DOCKER: entries(three="ghcr.io")}, {"DOCKER_CONFIG"}, "ghcr.io", "four"),
        ({NAMED: {}, PODMAN: entries(one="ghcr.io")}, {"DOCKER_CONFIG"}, "ghcr.io", None),
        ({PODMAN: entries(one="ghcr.io", two="ghcr.io/me")}, {}, "ghcr.io/me/app", "two"),
        ({PODMAN: entries(one="ghcr.io", two="ghcr.io/me")}, {}, "ghcr.io/you/app", "one"),
        ({PODMAN: entries(one="ghcr.io/me", two="ghcr.io/me/app")}, {}, "ghcr.io/me/app", "two"),
        ({PODMAN: entries(one="ghcr.io/m")}, {}, "ghcr.io/me/app", None),
        ({DOCKER: entries(one="https://ghcr.io/v1/")}, {}, "ghcr.io", "one"),
        ({DOCKER: entries(one="https://index.docker.io/v1/")}, {}, "docker.io", "one"),
        ({DOCKER: entries(one="https://index.docker.io/v1/", two="docker.io")}, {}, "docker.io", "two"),
        ({DOCKER: entries(one="localhost:5000")}, {}, "localhost", None),
        ({PODMAN: {"credHelpers": {"ghcr.io": "test"}, **entries(one="ghcr.io")}}, {}, "ghcr.io", "helped"),
        ({PODMAN: {"credHelpers": {"quay.io": "test"}, **entries(one="ghcr.io")}}, {}, "ghcr.io", "one"),
    ],
)
def test_lamina_finds_the_user_that_skopeo_finds(
    documents: Mapping[str, object], variables: set[str], name: str, user: str | None, tmp_path: Path
) -> None:
    for file, document in documents.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(json.dumps(document))
    write_helper(tmp_path, "test", f"echo '{ANSWER}'")
    named = {"REGISTRY_AUTH_FILE": str(tmp_path / NAMED), "DOCKER_CONFIG": str(tmp_path / "named")}
    env = environment(
        HOME=str(tmp_path / "home"),
        XDG_RUNTIME_DIR=str(tmp_path / "run"),
        XDG_CONFIG_HOME="",
        PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        **{variable: named[variable] for variable in variables},
    )
    (tmp_path / "run").mkdir(exist_ok=True)
    done = run((require("skopeo"), "login", "--get-login", name), env, check=False)
    skopeos = done.stdout.strip() or None
    found = CredentialSearch(list_places(env, env["HOME"], "linux", os.getuid())).find(name)
    assert (found.username if found else None) == skopeos == user, done.stderr
