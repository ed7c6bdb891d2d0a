"""Engines and clients log in to `lamina serve`, with a password for each request and with tokens."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.integration.closures import Sample
from tests.integration.conftest import HTPASSWD
from tests.integration.engines import Containerd, Engine, RegistryClient, Skopeo
from tests.integration.tools import ToolError
from tests.support.fake_nix_store import run
from tests.support.logins import basic
from tests.support.serving import Serving, serve

import lamina
from lamina.core.names import StorePath

_USER, _PASSWORD = "user", "secret"
_TOKEN = secrets.token_hex(32)


@pytest.fixture(scope="module", params=["passwords", "tokens"])
def serving(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server for the user of `HTPASSWD` and a program with a token: without and with tokens for pulling."""
    folder = tmp_path_factory.mktemp("serve")
    users, key = folder / "users", folder / "key"
    users.write_text(f"{HTPASSWD}\nprogram:sha256:{hashlib.sha256(_TOKEN.encode()).hexdigest()}\n")
    key.write_bytes(os.urandom(32))
    more = ("--token-key", key) if request.param == "tokens" else ()
    with serve(folder, "--store", "/", "--auth-file", users, *more) as server:
        yield server


@pytest.fixture
def name(small: Sample) -> str:
    """The name of an image that is served."""
    return StorePath.parse(small.root).hash


@contextmanager
def _logged_in(engine: Engine, address: str, folder: Path, password: str) -> Iterator[None]:
    (folder / "password").write_text(password)
    flags = ("--tls-verify=false",) if engine.kind == "podman" else ()
    with (folder / "password").open("rb") as stdin:
        engine.call("login", *flags, "--username", _USER, "--password-stdin", address, stdin=stdin)
    try:
        yield
    finally:
        engine.call("logout", address)


def test_an_engine_logs_in_and_pulls(engine: Engine, serving: Serving, name: str, tmp_path: Path) -> None:
    reference = f"{serving.address}/{name}:latest"
    # Without a login, the client of docker waits for a user to be typed, even if its input has ended.
    assert engine.kind == "docker" or engine.pull(reference, check=False).returncode != 0
    with _logged_in(engine, serving.address, tmp_path, _PASSWORD):
        engine.pull(reference)
        assert engine.run(reference, "/bin/hello").stdout.startswith("good morning")
        engine.remove(reference)


def test_an_engine_does_not_log_in_with_a_wrong_password(engine: Engine, serving: Serving, tmp_path: Path) -> None:
    with pytest.raises(ToolError), _logged_in(engine, serving.address, tmp_path, "wrong"):
        pass


def test_skopeo_logs_in(skopeo: Skopeo, serving: Serving, name: str) -> None:
    source = f"docker://{serving.address}/{name}"
    refused = skopeo.call("inspect", "--tls-verify=false", source, check=False)
    assert "authentication required" in refused.stderr or "unauthorized" in refused.stderr
    logins = [("--creds", f"{_USER}:{_PASSWORD}"), ("--creds", f"program:{_TOKEN}")]
    if "Bearer" in serving.get("/v2/").headers["www-authenticate"]:  # otherwise skopeo sends no token
        logins.append(("--registry-token", _TOKEN))
    for login in logins:
        assert skopeo.inspect(source, "--tls-verify=false", *login)["Name"] == f"{serving.address}/{name}"


def test_skopeo_copies_with_a_login(skopeo: Skopeo, serving: Serving, name: str, tmp_path: Path) -> None:
    source = f"docker://{serving.address}/{name}"
    login = ("--src-creds", f"{_USER}:{_PASSWORD}")
    skopeo.copy(source, f"oci:{tmp_path}/layout:1", "--src-tls-verify=false", *login)
    assert len(lamina.inspect(tmp_path / "layout")) == 1


def test_containerd_pulls_with_a_login(containerd: Containerd, serving: Serving, name: str) -> None:
    reference = f"{serving.address}/{name}:latest"
    flags = ("--plain-http", "--snapshotter", containerd.snapshotter)
    assert containerd.call("images", "pull", *flags, reference, check=False).returncode != 0
    containerd.call("images", "pull", *flags, "--user", f"{_USER}:{_PASSWORD}", reference)
    assert containerd.run(reference, "/bin/hello").stdout.startswith("good morning")
    containerd.remove(reference)


def test_crane_logs_in(crane: RegistryClient, serving: Serving, name: str) -> None:
    crane.call("auth", "login", "--insecure", "--username", _USER, "--password", _PASSWORD, serving.address)
    assert crane.call("digest", "--insecure", f"{serving.address}/{name}").startswith("sha256:")
    crane.call("auth", "logout", serving.address)


def test_oras_logs_in(oras: RegistryClient, serving: Serving, name: str) -> None:
    login = ("--plain-http", "--username", _USER, "--password", _PASSWORD)
    fetched = oras.call("manifest", "fetch", *login, f"{serving.address}/{name}:latest")
    assert '"layers"' in fetched


def test_lamina_logs_in(serving: Serving, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    auth = basic(f"{_USER}:{_PASSWORD}").removeprefix("Basic ")
    (tmp_path / "config.json").write_text(f'{{"auths": {{"{serving.address}": {{"auth": "{auth}"}}}}}}')
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "config.json"))
    ran = run("inspect", f"{serving.address}/{name}:latest")
    assert ran.code == 0, ran.stderr
