"""Connections to web servers: kept for the next request, and errors of other libraries as lamina's own."""

import http.client
import http.server
import itertools
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.binary_cache import CacheServer, serve_cache
from urllib3 import exceptions

from lamina.errors import Error, Unavailable, Unreachable
from lamina.transports.connections import Connections, credentials_error, is_private_host, translate_errors
from lamina.transports.retry import RetryPolicy, TooSlowError, TransientError

POLICY = RetryPolicy(connect_timeout=5, read_timeout=5)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CacheServer]:
    (tmp_path / "file").write_bytes(b"content")
    with serve_cache(tmp_path) as server:
        yield server


def test_a_connection_is_used_again_until_all_are_closed(server: CacheServer) -> None:
    connections = Connections(POLICY, is_direct=True)
    for _ in range(3):
        response = connections.send("GET", f"{server.url}/file", {}, "file")
        assert (response.status, response.read()) == (200, b"content")
        response.release_conn()
    assert len(server.ports) == 1
    connections.close()
    connections.send("GET", f"{server.url}/file", {}, "file").close()
    assert len(server.ports) == 2
    connections.close()


def test_a_server_that_takes_long_before_it_answers_is_not_slow(server: CacheServer) -> None:
    now = itertools.count(step=100)
    policy = RetryPolicy(connect_timeout=5, read_timeout=5, clock=lambda: next(now))
    response = Connections(policy, is_direct=True).send("GET", f"{server.url}/file", {}, "file", read_timeout=300)
    assert response.status == 200
    response.close()


def test_a_server_may_pause_while_it_reads_a_body_for_longer_than_a_connection_takes() -> None:
    policy = RetryPolicy(connect_timeout=0.05, read_timeout=10)
    body = b"x" * (32 << 20)  # more than the buffers of both sockets
    received: list[int] = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            threading.Event().wait(0.2)  # the connection's limit has passed when reading begins
            received.append(len(self.rfile.read(len(body))))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        thread = threading.Thread(target=receiver.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{receiver.server_port}/x"
        headers = {"Content-Length": str(len(body))}
        Connections(policy, is_direct=True).send("PUT", url, headers, "blob", (body,)).close()
        thread.join()
    assert received == [len(body)]


def test_no_query_reaches_the_log(server: CacheServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    Connections(POLICY, is_direct=True).send("GET", f"{server.url}/file?signature=hunter2", {}, "file").close()
    assert "GET /file" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_body_in_pieces_is_sent_with_its_length_and_not_in_chunks() -> None:
    received: list[tuple[str | None, str | None, bytes]] = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_PATCH(self) -> None:
            length = int(self.headers["Content-Length"])
            received.append((self.headers["Transfer-Encoding"], str(length), self.rfile.read(length)))
            self.send_response(202)
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    pieces = [b"a" * 300_000, b"", b"b"]
    with http.server.HTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        thread = threading.Thread(target=receiver.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{receiver.server_port}/x"
        headers = {"Content-Length": "300001"}
        response = Connections(POLICY, is_direct=True).send("PATCH", url, headers, "blob", iter(pieces))
        assert response.status == 202
        response.close()
        thread.join()
    assert received == [(None, "300001", b"".join(pieces))]


HEAD = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nLocation: /upload/1\r\n\r\n"


@pytest.mark.parametrize("size", [8, 24, 40, 60, len(HEAD) - 2])
def test_a_response_that_is_cut_within_its_headers_can_be_asked_for_again(size: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(HEAD[:size])

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        with pytest.raises(TransientError, match="the end of the connection within the answer"):
            Connections(POLICY, is_direct=True).send("POST", url, {}, "upload")
        thread.join()


@pytest.mark.parametrize("raised", [OSError("disk"), ValueError("x"), Unavailable("source", "nothing", "a file")])
def test_an_error_of_a_body_is_raised_unchanged(server: CacheServer, raised: Exception) -> None:
    def fail() -> Iterator[bytes]:
        yield b"x"
        raise raised

    with pytest.raises(type(raised)) as caught:
        Connections(POLICY, is_direct=True).send("PUT", f"{server.url}/x", {"Content-Length": "2"}, "blob", fail())
    assert caught.value is raised


def test_nothing_is_sent_to_a_private_address_where_only_public_ones_are_allowed(server: CacheServer) -> None:
    connections = Connections(POLICY, is_direct=True)
    with pytest.raises(Unavailable, match=r"got the private address of 127\.0\.0\.1, expected a public address"):
        connections.send("GET", f"{server.url}/file", {}, "file", is_public_only=True)
    assert server.ports == set()


def test_a_name_that_leads_to_a_private_address_is_found_out_when_it_is_connected(
    server: CacheServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = server.url.rpartition(":")[2]
    found = socket.getaddrinfo("127.0.0.1", int(port), type=socket.SOCK_STREAM)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **keywords: found)
    connections = Connections(POLICY, is_direct=True)
    with pytest.raises(Unavailable, match=r"got the private address of cdn\.example"):
        connections.send("GET", f"http://cdn.example:{port}/file", {}, "file", is_public_only=True)
    assert server.ports == set()
    connections.send("GET", f"http://cdn.example:{port}/file", {}, "file").close()
    assert len(server.ports) == 1


@pytest.mark.parametrize(
    ("host", "is_private"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("169.254.169.254", True),
        ("::1", True),
        ("fe80::1%eth0", True),
        ("::ffff:10.0.0.1", True),
        ("8.8.8.8", False),
        ("2606:4700::1", False),
        ("ghcr.io", False),
    ],
)
def test_private_hosts_are_recognised_without_a_look_up(host: str, *, is_private: bool) -> None:
    assert is_private_host(host) is is_private


def test_a_server_that_refuses_may_be_there_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TransientError) as caught:
        Connections(POLICY, is_direct=True).send("GET", f"http://127.0.0.1:{port}/x", {}, "file")
    assert caught.value.is_unreachable


def test_a_url_of_another_scheme_is_unavailable_without_its_password() -> None:
    with pytest.raises(Unavailable, match=r"file: got .*expected http:// or https://") as caught:
        Connections(POLICY).send("GET", "ftp://user:hunter2@host/x", {}, "file")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        (http.client.IncompleteRead(b"x"), TransientError, ""),
        (ConnectionResetError(104, "Connection reset by peer"), TransientError, ""),
        (exceptions.ProtocolError("cut", ConnectionResetError()), TransientError, ""),
        (TooSlowError("5 bytes in 60 s"), Unreachable, "expected a faster server"),
        (socket.gaierror(socket.EAI_NONAME, "unknown"), Unreachable, "got no address for its host"),
        (socket.gaierror(socket.EAI_AGAIN, "later"), TransientError, "no address for its host"),
        (ssl.SSLCertVerificationError("bad"), Unreachable, "a certificate that is not trusted"),
        (OSError("Tunnel connection failed: 403 Forbidden"), Unreachable, "HTTP 403 from the proxy"),
        (OSError("Tunnel connection failed: 407 Proxy"), Unavailable, "HTTP 407 from the proxy"),
        (OSError("Tunnel connection failed: 502 Bad"), TransientError, "HTTP 502 from the proxy"),
        (exceptions.LocationParseError("http://user:hunter2@"), Unavailable, "expected an HTTP response"),
    ],
)
def test_an_error_of_another_library_is_translated(raised: Exception, kind: type[Exception], message: str) -> None:
    if isinstance(raised, ssl.SSLCertVerificationError):
        raised.verify_message = "self-signed"
    with pytest.raises(kind) as caught, translate_errors("file", POLICY):
        raise raised
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert type(caught.value) is kind


def test_a_status_that_asks_for_credentials_says_who_sent_it() -> None:
    errors: list[Error] = [credentials_error("file", status) for status in (401, 407)]
    assert ["the server" in str(errors[0]), "the proxy" in str(errors[1])] == [True, True]
    assert ["netrc" in errors[0].hint, "https_proxy" in errors[1].hint] == [True, True]
