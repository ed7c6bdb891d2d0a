"""A registry is reached over HTTP or HTTPS, and requests to it are repeated while that may help."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.registry import QUICK, MemoryRegistry, answer_with, connect, cut_connection, digest_of

from lamina.errors import AuthError, RegistryError
from lamina.formats.registry_references import RegistryReference
from lamina.registry.blobs import find_blob
from lamina.registry.connection import RegistryConnection, suggest_login
from lamina.registry.requests import RegistryRequest
from lamina.transports.retry import RetryPolicy

DIGEST = digest_of(b"x")


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


def _refuse(error: RegistryError) -> None:
    raise error


def test_the_registry_says_how_long_to_wait(registry: MemoryRegistry) -> None:
    pauses: list[float] = []
    policy = RetryPolicy(sleep=pauses.append)
    registry.fail("HEAD", "/blobs/", answer_with(429, {"Retry-After": "7"}))
    with connect(registry, policy=policy) as connection:
        ask(connection)
    assert pauses == [7.0]


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
        with pytest.raises(AuthError, match="HTTP 403 with no credentials, expected to be let in") as caught:
            ask(connection)
        assert caught.value.hint == f"look for {registry.host}/me/app"
    assert suggest_login("ghcr.io/me/app") == "log in with docker login ghcr.io"
    assert suggest_login("docker.io/library/app") == "log in with docker login"
