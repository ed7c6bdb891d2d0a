"""Logins: basic authentication, tokens with their scopes and their ends, and refusals that end."""

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.support.registry import (
    QUICK,
    MemoryRegistry,
    RegistryHandler,
    answer_with,
    connect,
    cut_connection,
    digest_of,
    serve_registry,
)

from lamina.errors import AuthError, Error, RegistryError
from lamina.registry.blobs import find_blob
from lamina.registry.connection import RegistryConnection
from lamina.registry.credentials import Credentials
from lamina.registry.manifests import find_manifest
from lamina.registry.uploads import BlobContent, mount_blob, upload_blob
from lamina.transports.retry import RetryPolicy

GOOD = Credentials("user", "hunter2/pass")
WRONG = Credentials("user", "hunter3")
IDENTITY = Credentials("", "", "identity-hunter2")
DATA = b"x" * 100_000
SECRETS = (
    "hunter2",
    "hunter3",
    "tOkEn",
    *(base64.b64encode(f"user:{password}".encode()).decode() for password in ("hunter2/pass", "hunter3")),
)


def blob(data: bytes = DATA) -> BlobContent:
    return BlobContent(digest_of(data), len(data), lambda start: (data[start:],))


def token_requests(registry: MemoryRegistry) -> list[dict[str, list[str]]]:
    return [parse_qs(urlsplit(seen.path).query) for seen in registry.seen if seen.path.startswith("/token")]


def assert_no_secret(error: Error) -> None:
    shown = f"{error} {error!r} {error.hint} {error.__cause__!r}"
    assert not [secret for secret in SECRETS if secret in shown]


# --- basic


def test_basic_authentication_is_used_if_the_registry_asks(registry: MemoryRegistry) -> None:
    registry.authentication = "basic"
    with connect(registry, credentials=GOOD) as connection:
        upload_blob(connection, blob())
    assert [bool(seen.authorization) for seen in registry.seen] == [False, True, True]


@pytest.mark.parametrize(
    ("credentials", "message"),
    [
        (None, "got no credentials, expected a user and a password"),
        (IDENTITY, "got only a token"),
        (WRONG, r"HTTP 401 \(UNAUTHORIZED: unauthorized\) with the credentials that were found"),
    ],
)
def test_basic_authentication_that_fails_says_what_helps(
    registry: MemoryRegistry, credentials: Credentials | None, message: str
) -> None:
    registry.authentication = "basic"
    with connect(registry, credentials=credentials) as connection:
        with pytest.raises(AuthError, match=message) as caught:
            upload_blob(connection, blob())
        assert caught.value.hint == f"log in with docker login {registry.host}"
    assert len(registry.seen) <= 2
    assert_no_secret(caught.value)


def test_credentials_are_looked_up_once_and_only_if_the_registry_asks(registry: MemoryRegistry) -> None:
    asked: list[str] = []

    def find(name: str) -> Credentials:
        asked.append(name)
        return GOOD

    def connect_and_ask() -> None:
        with RegistryConnection(registry.reference(), find, policy=QUICK) as connection:
            find_blob(connection, digest_of(b"x"))
            find_blob(connection, digest_of(b"y"))

    connect_and_ask()
    assert asked == []
    registry.authentication = "basic"
    connect_and_ask()
    assert asked == [f"{registry.host}/me/app"]


# --- tokens


@pytest.mark.parametrize("credentials", [GOOD, IDENTITY])
def test_one_token_serves_a_whole_push(registry: MemoryRegistry, credentials: Credentials) -> None:
    registry.authentication = "token"
    with connect(registry, credentials=credentials) as connection:
        assert find_manifest(connection, "1") is None
        assert not find_blob(connection, digest_of(DATA))
        upload_blob(connection, blob())
    assert len(registry.tokens) == 1
    assert list(registry.tokens.values()) == [("repository:me/app:pull,push",)]


def test_the_token_server_is_told_the_service_and_the_account(registry: MemoryRegistry) -> None:
    registry.authentication = "token"
    with connect(registry, credentials=GOOD, is_writer=False) as connection:
        find_blob(connection, digest_of(DATA))
    assert token_requests(registry) == [
        {"service": ["test registry"], "scope": ["repository:me/app:pull"], "account": ["user"]}
    ]


def test_a_registry_token_is_sent_as_it_is(registry: MemoryRegistry) -> None:
    registry.authentication = "token"
    registry.tokens["tOkEn"] = ("repository:me/app:pull,push",)
    with connect(registry, credentials=Credentials("", "", "", "tOkEn")) as connection:
        upload_blob(connection, blob())
    assert not token_requests(registry)


def test_a_registry_token_that_is_refused_ends_the_login(registry: MemoryRegistry) -> None:
    registry.authentication = "token"
    message = "with the credentials that were found"
    with (
        connect(registry, credentials=Credentials("", "", "", "tOkEn")) as connection,
        pytest.raises(AuthError, match=message) as caught,
    ):
        upload_blob(connection, blob())
    assert_no_secret(caught.value)
    assert len(registry.seen) <= 4


def test_an_identity_token_is_sent_in_the_body(registry: MemoryRegistry) -> None:
    registry.authentication = "token"
    with connect(registry, credentials=IDENTITY) as connection:
        find_blob(connection, digest_of(DATA))
    assert [str(seen) for seen in registry.seen if "token" in seen.path] == ["POST /token"]


def test_a_public_repository_is_read_without_an_account(registry: MemoryRegistry) -> None:
    registry.authentication, registry.is_public = "token", True
    with connect(registry, is_writer=False) as connection:
        assert find_manifest(connection, "1") is None


def test_a_token_that_is_not_enough_ends_with_an_error(registry: MemoryRegistry) -> None:
    registry.authentication, registry.is_public = "token", True
    with connect(registry) as connection, pytest.raises(AuthError, match="with no credentials") as caught:
        upload_blob(connection, blob())
    assert len(registry.seen) < 10
    assert_no_secret(caught.value)


@pytest.mark.parametrize("credentials", [None, WRONG, Credentials("", "", "old-hunter3")])
def test_a_token_server_that_refuses_is_asked_once(registry: MemoryRegistry, credentials: Credentials | None) -> None:
    registry.authentication = "token"
    with connect(registry, credentials=credentials) as connection:
        with pytest.raises(AuthError, match=r"token server http://127\.0\.0\.1:\d+/token: got HTTP 401") as caught:
            upload_blob(connection, blob())
        assert "docker login" in caught.value.hint
    assert [seen.path.partition("?")[0] for seen in registry.seen] == ["/v2/", "/token"]
    assert_no_secret(caught.value)


def test_a_token_that_ends_within_an_upload_is_renewed(registry: MemoryRegistry) -> None:
    def expire(handler: RegistryHandler) -> bool:
        registry.expire_tokens()
        return False

    registry.authentication, registry.min_chunk = "token", 1
    data = b"x" * (9 << 20)
    registry.fail("PATCH", "/uploads/", expire, after=1)
    with connect(registry, credentials=GOOD) as connection:
        upload_blob(connection, blob(data))
    assert list(registry.blobs["me/app"].values()) == [data]
    assert len(token_requests(registry)) == 2


def test_a_refusal_before_the_whole_blob_was_read_renews_the_token(registry: MemoryRegistry) -> None:
    def refuse_at_once(handler: RegistryHandler) -> bool:
        registry.expire_tokens()
        handler._challenge([])
        return handler.cut()

    registry.authentication = "token"
    data = b"x" * (20 << 20)
    registry.fail("PUT", "/uploads/", refuse_at_once)
    with connect(registry, credentials=GOOD) as connection:
        upload_blob(connection, blob(data))
    assert list(registry.blobs["me/app"].values()) == [data]


def test_a_token_is_renewed_before_it_ends(registry: MemoryRegistry) -> None:
    now = [0.0]
    registry.authentication, registry.token_lifetime = "token", 60
    policy = RetryPolicy(clock=lambda: now[0])
    with connect(registry, credentials=GOOD, policy=policy) as connection:
        for time in (0, 40, 49, 51):
            now[0] = time
            find_blob(connection, digest_of(b"x"))
    assert len(token_requests(registry)) == 2
    assert 401 not in [seen.size for seen in registry.seen]


def test_threads_share_a_token_that_is_renewed_once(registry: MemoryRegistry) -> None:
    registry.authentication = "token"
    barrier = threading.Barrier(6)

    def find(number: int) -> bool:
        barrier.wait()
        return find_blob(connection, digest_of(b"%d" % number))

    with connect(registry, credentials=GOOD) as connection, ThreadPoolExecutor(6) as pool:
        list(pool.map(find, range(6)))
        assert len(token_requests(registry)) == 1
        registry.expire_tokens()
        list(pool.map(find, range(6)))
    assert len(token_requests(registry)) <= 7  # two threads may be refused with different tokens


def test_a_registry_that_refuses_every_token_ends_with_an_error(registry: MemoryRegistry) -> None:
    registry.authentication = "token"
    challenge = f'Bearer realm="{registry.realm}",service="x"'
    registry.fail("POST", "/uploads/", answer_with(401, {"WWW-Authenticate": challenge}), times=99)
    with connect(registry, credentials=GOOD) as connection, pytest.raises(AuthError, match="HTTP 401"):
        upload_blob(connection, blob())
    assert registry.methods().count("POST") == 3


def test_a_challenge_for_another_scope_is_followed(registry: MemoryRegistry) -> None:
    registry.authentication = "token"
    challenge = f'Bearer realm="{registry.realm}",service="x",scope="repository:other:pull registry:catalog:*"'
    registry.fail("HEAD", "/blobs/", answer_with(401, {"WWW-Authenticate": challenge}))
    with connect(registry, credentials=GOOD) as connection:
        find_blob(connection, digest_of(b"x"))
    wanted = ["repository:me/app:pull,push", "repository:other:pull", "registry:catalog:*"]
    assert token_requests(registry)[-1]["scope"] == wanted


def test_a_mount_asks_for_a_token_that_may_read_its_source(registry: MemoryRegistry) -> None:
    registry.authentication = "token"
    digest = registry.add_blob("base/debian", DATA)
    with connect(registry, credentials=GOOD) as connection:
        assert mount_blob(connection, digest, "base/debian") is None
    assert list(registry.tokens.values()) == [("repository:me/app:pull,push", "repository:base/debian:pull")]


@pytest.mark.parametrize("header", ["", "Negotiate", "Digest realm=x"])
def test_a_challenge_that_is_unknown_is_an_error(registry: MemoryRegistry, header: str) -> None:
    registry.fail("GET", "/v2/$", answer_with(401, {"WWW-Authenticate": header}))
    expected = pytest.raises(RegistryError, match="expected one of Bearer and Basic")
    with connect(registry, credentials=GOOD) as connection, expected:
        find_blob(connection, digest_of(b"x"))


# --- the token server


def test_a_token_server_that_fails_for_a_moment_is_asked_again(registry: MemoryRegistry) -> None:
    registry.authentication = "token"
    registry.fail("GET", "/token", answer_with(503))
    registry.fail("GET", "/token", cut_connection)
    with connect(registry, credentials=GOOD) as connection:
        assert not find_blob(connection, digest_of(b"x"))


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (200, b"tOkEn", RegistryError, "got no JSON, expected a token in JSON"),
        (200, b"[]", RegistryError, "got no token"),
        (200, b'{"token": "a\\nb"}', RegistryError, "got no token"),
        (200, b'{"token": "%s"}' % (b"a" * (1 << 20)), RegistryError, "expected at most"),
        (404, b"", RegistryError, "got HTTP 404, expected a token"),
        (400, b'{"error": "invalid_grant", "error_description": "x"}', AuthError, r"HTTP 400 \(invalid_grant: x\)"),
        (403, b"hunter2/pass", AuthError, "HTTP 403, expected a token"),
        (401, b'{"errors": [{"code": "A", "message": "no hunter2/pass"}]}', AuthError, r"\(A: no \*\*\*\)"),
    ],
)
def test_an_answer_without_a_token_is_an_error(
    registry: MemoryRegistry, status: int, body: bytes, kind: type[Error], message: str
) -> None:
    registry.authentication = "token"
    registry.fail("GET", "/token", answer_with(status, {}, body), times=9)
    with connect(registry, credentials=GOOD) as connection, pytest.raises(kind, match=message) as caught:
        find_blob(connection, digest_of(b"x"))
    assert type(caught.value) is kind
    assert_no_secret(caught.value)


def test_a_registry_that_repeats_a_token_does_not_show_it(registry: MemoryRegistry) -> None:
    def repeat(handler: RegistryHandler) -> bool:
        sent = handler.headers["Authorization"]
        return handler.refuse(403, "DENIED", f"not with {sent}")

    registry.authentication = "token"
    registry.fail("POST", "/uploads/", repeat)
    with connect(registry, credentials=GOOD) as connection, pytest.raises(AuthError, match="not with Bearer") as caught:
        upload_blob(connection, blob())
    assert_no_secret(caught.value)


@pytest.mark.parametrize("realm", ["", "/token", "ftp://host/x", "http://auth.example/token", "http://10.0.0.1/token"])
def test_credentials_are_sent_to_no_token_server_over_plain_http(registry: MemoryRegistry, realm: str) -> None:
    registry.authentication, registry.realm = "token", realm
    with connect(registry, credentials=GOOD) as connection, pytest.raises(RegistryError, match="the token server"):
        find_blob(connection, digest_of(b"x"))
    assert len(registry.seen) == 1


def test_a_token_server_elsewhere_gets_the_credentials_and_the_registry_the_token(registry: MemoryRegistry) -> None:
    registry.authentication = "token"
    with serve_registry() as token_server:
        registry.realm = f"{token_server.url}/token"
        token_server.tokens = registry.tokens
        with connect(registry, credentials=GOOD) as connection:
            assert not find_blob(connection, digest_of(b"x"))
        assert [seen.authorization.partition(" ")[0] for seen in token_server.seen] == ["Basic"]
    assert [seen.authorization.partition(" ")[0] for seen in registry.seen] == ["", "Bearer"]
