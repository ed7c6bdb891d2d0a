"""A registry is reached over HTTP or HTTPS, and requests to it are repeated while that may help."""

import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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
from tests.support.tls import HOST, create_certificates

from lamina.errors import AuthError, RegistryError
from lamina.formats.registry_references import RegistryReference
from lamina.registry.blobs import find_blob
from lamina.registry.connection import RegistryConnection
from lamina.registry.credentials import Credentials, suggest_login
from lamina.registry.requests import RegistryRequest
from lamina.registry.uploads import BlobContent, upload_blob
from lamina.transports.retry import RetryPolicy

DIGEST = digest_of(b"x")
LOGIN = Credentials("user", "hunter2/pass")


def ask(connection: RegistryConnection) -> bool:
    return find_blob(connection, DIGEST)


@pytest.mark.parametrize(
    "fault", [cut_connection, *map(answer_with, (408, 425, 429, 500, 502, 503, 504))], ids=lambda _: "fault"
)
def test_a_passing_failure_is_repeated(registry: MemoryRegistry, fault: object) -> None:
    assert callable(fault)
    registry.fail("GET", "/v2/$", fault)
    registry.fail("HEAD", "/blobs/", fault, times=3)
    with connect(registry) as connection:
        assert not ask(connection)
    assert registry.methods() == ["GET", "GET", "HEAD", "HEAD", "HEAD", "HEAD"]


def test_a_lasting_failure_is_an_error_of_the_registry(registry: MemoryRegistry) -> None:
    registry.fail("HEAD", "/blobs/", cut_connection, times=99)
    with connect(registry) as connection, pytest.raises(RegistryError, match=r"5 times in a row, expected an answer"):
        ask(connection)
    assert registry.methods().count("HEAD") == 5


@pytest.mark.parametrize("status", [400, 404, 410, 501])
def test_a_failure_for_good_is_not_repeated(registry: MemoryRegistry, status: int) -> None:
    registry.fail("GET", "/x", answer_with(status), times=99)
    request = RegistryRequest("GET", "/v2/me/app/x", "x")
    with connect(registry) as connection, pytest.raises(RegistryError, match=f"HTTP {status}, expected y"):
        connection.perform(request, lambda response: _refuse(connection.make_error(response, "y")))
    assert len(registry.seen) == 2


@pytest.mark.parametrize(
    ("status", "is_transient"),
    [
        *((status, True) for status in (0, 408, 425, 429, 500, 502, 503, 504)),
        *((status, False) for status in (400, 401, 403, 405, 410, 413, 416, 501)),
    ],
)
def test_only_an_error_that_may_pass_is_transient(registry: MemoryRegistry, status: int, is_transient: bool) -> None:
    fault = answer_with(status) if status else cut_connection
    registry.fail("HEAD", "/blobs/", fault, times=99)
    with connect(registry) as connection, pytest.raises((RegistryError, AuthError)) as caught:
        ask(connection)
    assert caught.value.is_transient is is_transient


def _refuse(error: RegistryError) -> None:
    raise error


def test_the_registry_says_how_long_to_wait(registry: MemoryRegistry) -> None:
    pauses: list[float] = []
    policy = RetryPolicy(sleep=pauses.append)
    registry.fail("HEAD", "/blobs/", answer_with(429, {"Retry-After": "7"}))
    with connect(registry, policy=policy) as connection:
        ask(connection)
    assert pauses == [7.0]


@pytest.mark.parametrize("path", ["/v2/$", "/token", "/blobs/"])
def test_a_registry_that_limits_requests_for_a_day_is_not_asked_again(registry: MemoryRegistry, path: str) -> None:
    registry.authentication, registry.is_public = "token", True
    registry.fail("HEAD" if path == "/blobs/" else "GET", path, answer_with(429, {"Retry-After": "86400"}), times=9)
    with connect(registry, is_writer=False) as connection, pytest.raises(RegistryError) as caught:
        ask(connection)
    assert "HTTP 429" in str(caught.value)
    assert str(caught.value).endswith(" and 86400 seconds to wait, expected at most 60")
    assert len([request for request in registry.seen if re.search(path, request.path)]) <= 2
    if path == "/v2/$":  # nobody knows yet whether there are credentials
        assert caught.value.hint.startswith("try again later")
    else:
        assert "log in with docker login" in caught.value.hint
        assert caught.value.hint.endswith("registries answer more requests with an account")


def test_a_registry_that_limits_an_account_is_asked_later(registry: MemoryRegistry) -> None:
    registry.authentication = "token"
    registry.fail("HEAD", "/blobs/", answer_with(429), times=9)
    with connect(registry, credentials=LOGIN) as connection, pytest.raises(RegistryError) as caught:
        ask(connection)
    assert "HTTP 429 5 times in a row" in str(caught.value)
    assert caught.value.hint.startswith("try again later")


def test_a_registry_that_does_not_answer_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    reference = RegistryReference.parse(f"127.0.0.1:{port}/app")
    with RegistryConnection(reference, lambda _: None, policy=QUICK) as connection:
        with pytest.raises(RegistryError, match="5 times in a row") as caught:
            ask(connection)
        assert "check the network" in caught.value.hint


def test_another_host_is_not_asked_over_plain_http(registry: MemoryRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    found = socket.getaddrinfo("127.0.0.1", registry.server_port, type=socket.SOCK_STREAM)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **keywords: found)
    reference = RegistryReference.parse(f"registry.example:{registry.server_port}/app")
    with RegistryConnection(reference, lambda _: None, policy=QUICK) as connection:
        with pytest.raises(RegistryError) as caught:
            ask(connection)
        assert "--insecure allows plain HTTP" in caught.value.hint
    assert registry.seen == []
    with RegistryConnection(reference, lambda _: None, policy=QUICK, insecure=True) as connection:
        assert not ask(connection)


@pytest.fixture
def secure_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryRegistry]:
    """A registry with TLS, whose authority is trusted."""
    certificates = create_certificates(tmp_path)
    monkeypatch.setenv("NIX_SSL_CERT_FILE", str(certificates.bundle))
    with serve_registry(certificates.context) as server:
        yield server


def test_tls_is_used_on_this_machine_if_the_registry_speaks_only_that(secure_registry: MemoryRegistry) -> None:
    with connect(secure_registry) as connection:
        assert not ask(connection)
    assert secure_registry.methods() == ["GET", "HEAD"]


@pytest.mark.parametrize("insecure", [False, True])
def test_another_host_is_asked_with_tls(
    secure_registry: MemoryRegistry, monkeypatch: pytest.MonkeyPatch, *, insecure: bool
) -> None:
    found = socket.getaddrinfo("127.0.0.1", secure_registry.server_port, type=socket.SOCK_STREAM)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **keywords: found)
    reference = RegistryReference.parse(f"{HOST}:{secure_registry.server_port}/app")
    with RegistryConnection(reference, lambda _: None, policy=QUICK, insecure=insecure) as connection:
        assert not ask(connection)
    assert secure_registry.methods() == ["GET", "HEAD"]


@pytest.mark.parametrize("insecure", [False, True])
def test_a_certificate_that_is_not_trusted_is_always_an_error(
    secure_registry: MemoryRegistry, monkeypatch: pytest.MonkeyPatch, *, insecure: bool
) -> None:
    monkeypatch.delenv("NIX_SSL_CERT_FILE")
    with connect(secure_registry, insecure=insecure) as connection:
        with pytest.raises(RegistryError, match="a certificate that is not trusted") as caught:
            ask(connection)
        assert "SSL_CERT_FILE" in caught.value.hint
    assert secure_registry.seen == []


def test_an_upload_stays_on_tls_if_the_registry_does_not_know_of_it(secure_registry: MemoryRegistry) -> None:
    def answer_with_http(handler: RegistryHandler) -> bool:
        secure_registry.uploads["u9"] = bytearray()
        location = f"http://{secure_registry.host}/v2/me/app/blobs/uploads/u9"
        return handler.answer(202, {"Location": location})

    secure_registry.fail("POST", "/uploads/", answer_with_http)
    with connect(secure_registry) as connection:
        upload_blob(connection, BlobContent(DIGEST, 1, lambda start: (b"x",)))
    assert secure_registry.blobs["me/app"] == {str(DIGEST): b"x"}


def test_a_registry_that_fails_over_tls_is_not_asked_over_plain_http(secure_registry: MemoryRegistry) -> None:
    secure_registry.fail("GET", "/v2/$", answer_with(503), times=99)
    with connect(secure_registry) as connection, pytest.raises(RegistryError, match="HTTP 503 5 times in a row"):
        ask(connection)


def test_the_first_request_is_sent_once_for_all_threads(registry: MemoryRegistry) -> None:
    barrier = threading.Barrier(8)

    def find(number: int) -> bool:
        barrier.wait()
        return find_blob(connection, digest_of(b"%d" % number))

    with connect(registry) as connection, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(find, range(8))) == [False] * 8
    assert registry.methods().count("GET") == 1
    assert registry.methods().count("HEAD") == 8


def test_a_proxy_that_wants_credentials_is_no_error_of_authentication(registry: MemoryRegistry) -> None:
    registry.fail("HEAD", "/blobs/", answer_with(407))
    with connect(registry) as connection, pytest.raises(RegistryError, match="HTTP 407"):
        ask(connection)


def test_the_hint_of_a_refusal_is_how_to_log_in(registry: MemoryRegistry) -> None:
    registry.fail("HEAD", "/blobs/", answer_with(403))
    with connect(registry, login_hint=lambda name: f"look for {name}") as connection:
        with pytest.raises(AuthError, match="HTTP 403 with no credentials, expected accepted credentials") as caught:
            ask(connection)
        assert caught.value.hint == f"look for {registry.host}/me/app"
    assert suggest_login("ghcr.io/me/app") == "log in with docker login ghcr.io"
    assert suggest_login("docker.io/library/app") == "log in with docker login"
