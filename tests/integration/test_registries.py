"""The client of registries against Debian's docker-registry: open, with passwords, and with tokens."""

import base64
import io
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.integration.engines import Skopeo
from tests.integration.token_server import IDENTITY_TOKEN, TokenServer
from tests.integration.tools import environment, require, run
from tests.support.registry import config_document, digest_of, manifest_document

from lamina.errors import AuthError
from lamina.formats.oci import MANIFEST_TYPE
from lamina.formats.registry_references import RegistryReference
from lamina.registry.blobs import find_blob, read_blob
from lamina.registry.connection import RegistryConnection
from lamina.registry.credential_places import list_places
from lamina.registry.credential_search import CredentialSearch
from lamina.registry.credentials import Credentials
from lamina.registry.manifests import UnknownBlobError, find_manifest, get_manifest, list_tags, put_manifest
from lamina.registry.uploads import BlobContent, mount_blob, start_session, upload_blob

GOOD = Credentials("user", "secret")
LAYERS = tuple(bytes([number]) * (100_000 * number) for number in range(1, 5))
CONFIG = config_document()
DOCUMENT = manifest_document(CONFIG, *LAYERS)
LARGE = bytes(range(256)) * 50_000  # 12.8 MB


def blob(data: bytes) -> BlobContent:
    return BlobContent(digest_of(data), len(data), lambda start: (data[start:],))


@contextmanager
def connect(address: str, name: str, credentials: Credentials | None = None) -> Iterator[RegistryConnection]:
    reference = RegistryReference.parse(f"{address}/{name}")
    with RegistryConnection(reference, lambda _: credentials, is_writer=True) as connection:
        yield connection


def push(connection: RegistryConnection, tag: str = "1") -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda data: upload_blob(connection, blob(data)), (CONFIG, *LAYERS)))
    assert put_manifest(connection, tag, DOCUMENT, MANIFEST_TYPE) == digest_of(DOCUMENT)


def check(connection: RegistryConnection, tag: str = "1") -> None:
    """Check that the registry has what `push` sent, and nothing else."""
    assert find_manifest(connection, "other") is None
    assert not find_blob(connection, digest_of(b"other"))
    manifest = get_manifest(connection, tag)
    assert manifest is not None
    assert manifest.document == DOCUMENT
    assert find_manifest(connection, str(digest_of(DOCUMENT))) == manifest.descriptor
    for data in (CONFIG, *LAYERS):
        assert find_blob(connection, digest_of(data))
        assert b"".join(read_blob(connection, digest_of(data), len(data))) == data
    assert list_tags(connection) == (tag,)


def test_an_open_registry_has_what_was_pushed(registry: str) -> None:
    with connect(registry, "client/open") as connection:
        push(connection)
        check(connection)


def test_a_registry_with_passwords_has_what_was_pushed(password_registry: str) -> None:
    with connect(password_registry, "client/app", GOOD) as connection:
        push(connection)
        check(connection)


@pytest.mark.parametrize("credentials", [GOOD, Credentials("", "", IDENTITY_TOKEN)], ids=["password", "identity"])
def test_a_registry_with_tokens_has_what_was_pushed(
    token_registry: str, token_server: TokenServer, credentials: Credentials
) -> None:
    before = len(token_server.issued)
    with connect(token_registry, f"client/app{before}", credentials) as connection:
        push(connection)
        check(connection)
    assert token_server.issued[before:] == [[f"repository:client/app{before}:pull,push"]]


@pytest.mark.parametrize("credentials", [None, Credentials("user", "wrong"), Credentials("", "", "unknown")])
@pytest.mark.parametrize("fixture", ["password_registry", "token_registry"])
def test_wrong_credentials_are_refused(
    request: pytest.FixtureRequest, fixture: str, credentials: Credentials | None
) -> None:
    address = request.getfixturevalue(fixture)
    with connect(address, "client/app", credentials) as connection, pytest.raises(AuthError) as caught:
        upload_blob(connection, blob(b"x"))
    assert "wrong" not in str(caught.value)
    assert "unknown" not in str(caught.value)


@pytest.mark.parametrize("tool", ["podman", "skopeo"])
def test_what_a_login_wrote_is_used(tool: str, password_registry: str, tmp_path: Path) -> None:
    (tmp_path / "containers").mkdir()
    env = environment(HOME=str(tmp_path), XDG_RUNTIME_DIR=str(tmp_path), XDG_CONFIG_HOME="")
    reference = RegistryReference.parse(f"{password_registry}/client/{tool}")
    search = CredentialSearch(list_places(env, str(tmp_path), "linux", os.getuid()))
    with RegistryConnection(reference, search.find, login_hint=search.suggest_login) as connection:
        with pytest.raises(AuthError) as caught:
            list_tags(connection)
        file = tmp_path / "containers/auth.json"
        assert caught.value.hint.startswith(
            f"log in with docker login {password_registry}; no credentials in {file} (m"
        )
    login = (require(tool), "login", "--tls-verify=false", "--username", "user", "--password-stdin", password_registry)
    run(login, env, stdin=io.BytesIO(b"secret"))
    search = CredentialSearch(list_places(env, str(tmp_path), "linux", os.getuid()))
    with RegistryConnection(reference, search.find, is_writer=True) as connection:
        push(connection)
    assert search.suggest_login(reference.name).endswith(f"; the credentials came from {file}")


def test_a_token_that_ends_within_an_upload_is_renewed(token_registry: str, token_server: TokenServer) -> None:
    before = len(token_server.issued)
    with connect(token_registry, "client/short", GOOD) as connection:
        session = start_session(connection, digest_of(LARGE))
        tokens = connection._authenticator._tokens
        for key, token in tokens.items():
            header, claims, signature = token.value.split(".")
            tokens[key] = type(token)(f"{header}.{claims}.{signature[::-1]}", token.end)  # as good as an expired one
        upload_blob(connection, blob(LARGE), session)
        assert find_blob(connection, digest_of(LARGE))
    assert len(token_server.issued) == before + 2


@pytest.mark.parametrize("name", ["registry", "token_registry"])
def test_a_blob_is_mounted(request: pytest.FixtureRequest, name: str) -> None:
    address = request.getfixturevalue(name)
    with connect(address, "client/source", GOOD) as source:
        upload_blob(source, blob(LARGE))
    with connect(address, "client/target", GOOD) as target:
        assert not find_blob(target, digest_of(LARGE))
        assert mount_blob(target, digest_of(LARGE), "client/source") is None
        assert find_blob(target, digest_of(LARGE))
        session = mount_blob(target, digest_of(b"nowhere"), "client/source")
        assert session is not None
        upload_blob(target, blob(b"nowhere"), session)
        assert find_blob(target, digest_of(b"nowhere"))


def test_a_blob_in_chunks_is_stored(registry: str) -> None:
    with connect(registry, "client/chunks") as connection:
        session = start_session(connection, digest_of(LARGE))
        upload_blob(connection, blob(LARGE), type(session)(session.location, 1 << 20))
        assert b"".join(read_blob(connection, digest_of(LARGE), len(LARGE))) == LARGE


def test_a_session_that_vanished_is_replaced(registry: str) -> None:
    with connect(registry, "client/vanished") as connection:
        session = start_session(connection, digest_of(LARGE))
        upload_blob(connection, blob(b"other"), session)  # ends the session
        upload_blob(connection, blob(LARGE), session)
        assert find_blob(connection, digest_of(LARGE))


def test_a_manifest_without_its_blobs_is_refused(registry: str) -> None:
    with connect(registry, "client/incomplete") as connection:
        with pytest.raises(UnknownBlobError, match="BLOB_UNKNOWN"):
            put_manifest(connection, "1", DOCUMENT, MANIFEST_TYPE)
        assert find_manifest(connection, "1") is None


def test_one_tag_that_is_pushed_twice_at_once_is_one_of_both(registry: str) -> None:
    documents = [manifest_document(CONFIG, *LAYERS[:number]) for number in (1, 2, 3, 4)]
    with connect(registry, "client/race") as connection:
        for data in (CONFIG, *LAYERS):
            upload_blob(connection, blob(data))
        barrier = threading.Barrier(len(documents))

        def put(document: bytes) -> None:
            barrier.wait()
            put_manifest(connection, "1", document, MANIFEST_TYPE)

        with ThreadPoolExecutor(len(documents)) as pool:
            list(pool.map(put, documents))
        found = get_manifest(connection, "1")
    assert found is not None
    assert found.document in documents


def test_skopeo_reads_what_was_pushed(registry: str, skopeo: Skopeo) -> None:
    with connect(registry, "client/skopeo") as connection:
        push(connection)
    shown = skopeo.call("inspect", "--raw", "--tls-verify=false", f"docker://{registry}/client/skopeo:1").stdout
    assert json.loads(shown) == json.loads(DOCUMENT)


@pytest.mark.parametrize("fixture", ["password_registry", "token_registry"])
def test_the_login_of_docker_is_used_and_named_in_a_refusal(
    request: pytest.FixtureRequest, fixture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = request.getfixturevalue(fixture)
    reference = RegistryReference.parse(f"{address}/client/docker")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for password, is_right in (("secret", True), ("wrong", False)):
        auth = base64.b64encode(f"user:{password}".encode()).decode()
        (tmp_path / "config.json").write_text(json.dumps({"auths": {address: {"auth": auth}}}))
        search = CredentialSearch.from_environment()
        with RegistryConnection(reference, search.find, is_writer=True, login_hint=search.suggest_login) as connection:
            if is_right:
                upload_blob(connection, blob(b"x"))
                continue
            with pytest.raises(AuthError) as caught:
                upload_blob(connection, blob(b"x"))
            assert "config.json" in caught.value.hint
            assert not [part for part in ("wrong", auth) if part in f"{caught.value} {caught.value.hint}"]
