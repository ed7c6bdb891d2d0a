"""`lamina push` into docker-registry with passwords, and with tokens of a token server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.integration.token_server import IDENTITY_TOKEN, PASSWORD, SERVICE, USER, TokenServer
from tests.support.credentials import encode_auth
from tests.support.fake_nix_store import CompletedRun, FakeStore, example, run
from tests.support.fault_proxy import ProxyFault, serve_faults

WITH_PASSWORD, WITH_IDENTITY = encode_auth(USER, PASSWORD), {**encode_auth(USER, ""), "identitytoken": IDENTITY_TOKEN}
WRONG = encode_auth(USER, "hunter2")
HIDDEN = (WITH_PASSWORD["auth"], IDENTITY_TOKEN, WRONG["auth"], "hunter2", "eyJ")
"""Texts that no output may contain; the last is the beginning of every token."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FakeStore:
    return example(tmp_path_factory.mktemp("store") / "root")[0]


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    monkeypatch.delenv("DOCKER_AUTH_CONFIG", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


def push(store: FakeStore, folder: Path, address: str, name: str, entry: dict[str, str]) -> CompletedRun:
    """Push with ``entry`` in docker's settings, and check that no output has a credential."""
    (folder / "config.json").write_text(json.dumps({"auths": {address: entry}}))
    ran = run("push", "hello", "--store", store.root, "--to", f"{address}/{name}:1", "--no-layer-cache", "--debug")
    assert not [text for text in HIDDEN if text in ran.stdout.decode() + ran.stderr]
    return ran


def check_pushed(ran: CompletedRun, address: str, name: str) -> None:
    """Check that a push ended right, and that the registry has the image under the digest that was printed."""
    assert ran.code == 0, ran.stderr
    assert re.fullmatch(rf"{address}/{name}:1@sha256:[0-9a-f]{{64}}\n", ran.stdout.decode())
    digest = ran.stdout.decode().strip().rpartition("@")[2]
    found = run("inspect", "--json", f"{address}/{name}@{digest}")
    assert found.code == 0, found.stderr


def test_a_registry_with_passwords_takes_a_push(store: FakeStore, password_registry: str, tmp_path: Path) -> None:
    check_pushed(push(store, tmp_path, password_registry, "push/app", WITH_PASSWORD), password_registry, "push/app")


@pytest.mark.parametrize("entry", [WITH_PASSWORD, WITH_IDENTITY], ids=["password", "identity"])
def test_one_token_serves_a_whole_push(
    entry: dict[str, str], store: FakeStore, token_registry: str, token_server: TokenServer, tmp_path: Path
) -> None:
    before = len(token_server.issued)
    name = f"push/app{before}"
    ran = push(store, tmp_path, token_registry, name, entry)
    assert token_server.issued[before:] == [[f"repository:{name}:pull,push"]]
    check_pushed(ran, token_registry, name)


@pytest.mark.parametrize("fixture", ["password_registry", "token_registry"])
def test_wrong_passwords_are_refused_with_a_hint(
    fixture: str, request: pytest.FixtureRequest, store: FakeStore, tmp_path: Path
) -> None:
    ran = push(store, tmp_path, request.getfixturevalue(fixture), "push/wrong", WRONG)
    assert (ran.code, ran.stdout) == (8, b"")
    assert re.search(rf"\nhint: .*; the credentials came from {tmp_path}/config\.json", ran.stderr)


def test_a_token_that_is_refused_within_an_upload_is_replaced(
    store: FakeStore, token_registry: str, token_server: TokenServer, tmp_path: Path
) -> None:
    before = len(token_server.issued)
    with serve_faults(token_registry) as proxy:
        proxy.choose_fault = lambda number: ProxyFault.UNAUTHORIZED if number in (5, 15) else None
        proxy.challenge = f'Bearer realm="{token_server.realm}",service="{SERVICE}",error="invalid_token"'
        check_pushed(push(store, tmp_path, proxy.address, "push/renewed", WITH_PASSWORD), proxy.address, "push/renewed")
    assert sum(exchange.status == 401 for exchange in proxy.exchanges) >= 3  # with that of the first request
    assert 2 <= len(token_server.issued) - before <= 5


def test_tokens_that_have_already_expired_are_not_asked_for_again_and_again(
    store: FakeStore, token_registry: str, token_server: TokenServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_server, "lifetime", -3600)
    before = len(token_server.issued)
    ran = push(store, tmp_path, token_registry, "push/expired", WITH_PASSWORD)
    assert (ran.code, ran.stdout) == (8, b"")
    assert len(token_server.issued) - before < 40
