"""Clients that send or read nothing are cut off, and others are not; there is a limit on their number."""

from __future__ import annotations

import contextlib
import http.client
import resource
import select
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

import pytest
from tests.support.processes import wait_until
from tests.support.running_registry import RunningRegistry, run_registry

from lamina.core.names import Digest
from lamina.formats.referrers import Referrer
from lamina.server import connections
from lamina.server.http_messages import Content
from lamina.server.repositories import Manifest

BLOB = f"/v2/x/blobs/sha256:{'0' * 64}"
SIZE = 64 << 20
LIMIT = 0.5  # of the time limits in these tests, in seconds


class Zeros:
    """A blob of zeros."""

    size = SIZE

    def read(self, start: int, end: int) -> Iterator[bytes]:
        while start < end:
            piece = bytes(min(1 << 18, end - start))
            start += len(piece)
            yield piece


class OneBlob:
    """Repositories with one blob, and a small manifest."""

    def is_ready(self, repository: str, target: str | Digest) -> bool:
        return True

    def find_manifest(self, repository: str, target: str | Digest) -> Manifest | None:
        return Manifest.of("application/json", b"{}")

    def find_blob(self, repository: str, digest: Digest) -> Content | None:
        return Zeros()

    def list_tags(self, repository: str) -> Sequence[str] | None:
        return ["latest"]

    def list_referrers(self, repository: str, digest: Digest) -> Sequence[Referrer]:
        return ()


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningRegistry]:
    monkeypatch.setattr(connections, "REQUEST_TIMEOUT", LIMIT)
    monkeypatch.setattr(connections, "READ_TIMEOUT", LIMIT)
    with run_registry(OneBlob()) as running:
        yield running


@contextmanager
def connect(registry: RunningRegistry) -> Iterator[socket.socket]:
    with closing(socket.create_connection(("127.0.0.1", registry.port), timeout=60)) as client:
        yield client


def can_connect(registry: RunningRegistry) -> bool:
    with contextlib.suppress(ConnectionError, http.client.RemoteDisconnected):
        return registry.get("/healthz").status == 200
    return False


def read_to_end(client: socket.socket) -> bytes:
    received = bytearray()
    try:
        while piece := client.recv(1 << 20):
            received += piece
    except ConnectionResetError:
        pass
    return bytes(received)


def receive_answer(client: socket.socket) -> int:
    """Receive a whole answer, and return its status."""
    response = http.client.HTTPResponse(client)
    response.begin()
    response.read()
    return response.status


def send_pieces(client: socket.socket, piece: bytes) -> None:
    """Send something again and again until the connection is cut off, which is an `OSError`."""
    client.settimeout(LIMIT / 20)
    began = time.monotonic()
    while time.monotonic() - began < 60:
        client.sendall(piece)
        with contextlib.suppress(TimeoutError):
            if not client.recv(1000):
                raise ConnectionResetError


def request(path: str, more: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode()


@pytest.mark.parametrize(
    "begun", [b"", b"G", b"GET /v2/ HTTP/1.1\r\n", request("/v2/")[:-2], request("/v2/")[:-2] + b"X: "]
)
def test_a_client_that_sends_no_whole_request_is_cut_off(registry: RunningRegistry, begun: bytes) -> None:
    with connect(registry) as client:
        client.sendall(begun)
        assert read_to_end(client) == b""


def test_a_client_that_sends_a_header_a_letter_at_a_time_is_cut_off(registry: RunningRegistry) -> None:
    with connect(registry) as client:
        client.sendall(b"GET /v2/ HTTP/1.1\r\nX: ")
        with pytest.raises(ConnectionError):
            send_pieces(client, b"a")


def test_a_client_that_begins_its_second_request_and_does_not_end_it_is_cut_off(registry: RunningRegistry) -> None:
    with connect(registry) as client:
        client.sendall(request("/v2/"))
        assert receive_answer(client) == 200
        client.sendall(b"GET /v2/ HTT")
        assert read_to_end(client) == b""


def test_a_client_whose_request_has_an_endless_body_is_cut_off(registry: RunningRegistry) -> None:
    with connect(registry) as client:
        client.sendall(request("/v2/", "Content-Length: 1000000000\r\n"))
        assert receive_answer(client) == 200
        with pytest.raises(ConnectionError):
            send_pieces(client, b"a" * 100)


def test_a_client_that_reads_nothing_is_cut_off_and_the_log_says_so(registry: RunningRegistry) -> None:
    with connect(registry) as client:
        client.sendall(request(BLOB))
        answered = registry.answered.get(timeout=60)
        assert (answered.status, answered.is_complete, answered.problem) == (200, False, "the client left")
        assert len(read_to_end(client)) < SIZE
    assert registry.get("/v2/").status == 200


def test_a_client_that_reads_slowly_gets_the_whole_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes several times as long as a client may read nothing."""
    limit = 1.0  # enough for a busy machine
    monkeypatch.setattr(connections, "REQUEST_TIMEOUT", limit)
    monkeypatch.setattr(connections, "READ_TIMEOUT", limit)
    size, began = 0, time.monotonic()
    with run_registry(OneBlob()) as registry, connect(registry) as client, closing(socket.socket()) as clock:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        client.sendall(request(BLOB, "Connection: close\r\n"))
        while piece := client.recv(1 << 18):
            size += len(piece)
            due = began + 3 * limit * size / SIZE
            select.select([], [], [clock], max(due - time.monotonic(), 0))
        assert registry.answered.get(timeout=60).is_complete
    assert size > SIZE
    assert time.monotonic() - began > 2 * limit


def test_a_client_that_sends_one_request_after_the_other_is_not_cut_off(registry: RunningRegistry) -> None:
    began = time.monotonic()
    with connect(registry) as client:
        while time.monotonic() - began < 3 * LIMIT:
            client.sendall(request("/v2/x/manifests/latest"))
            assert receive_answer(client) == 200


def test_pipelined_requests_are_answered_in_order(registry: RunningRegistry) -> None:
    with connect(registry) as client:
        client.sendall(request("/v2/") + request("/v2/x/tags/list") + request("/readyz", "Connection: close\r\n"))
        received = read_to_end(client)
    assert received.count(b"HTTP/1.1 200") == 3
    assert received.index(b"{}") < received.index(b'"tags"') < received.index(b"ready")


@pytest.mark.parametrize(
    "path", ["http://x/v2/", "HTTP://other:80/v2/x/tags/list?n=1", "http://x/v2/x/manifests/latest"]
)
def test_a_request_may_have_a_whole_url(registry: RunningRegistry, path: str) -> None:
    with connect(registry) as client:
        client.sendall(request(path))
        assert receive_answer(client) == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"\0" * 100,
        b"GET\r\n\r\n",
        b"GET /v2/ HTTP/a.b\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 100_000 + b"\r\n",
        b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX: \0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    ],
)
def test_what_is_no_request_is_refused(registry: RunningRegistry, sent: bytes) -> None:
    with connect(registry) as client:
        with contextlib.suppress(OSError):  # it may be refused before all of it was sent
            client.sendall(sent)
        received = read_to_end(client)
    assert received[:10] in (b"", b"HTTP/1.1 4")
    assert registry.get("/v2/").status == 200


def test_connections_above_the_limit_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 5)
    with run_registry(OneBlob()) as registry, ExitStack() as clients:
        opened = [clients.enter_context(connect(registry)) for _ in range(8)]
        for client in opened[5:]:
            assert read_to_end(client) == b""
        for client in opened[:5]:
            client.sendall(request("/v2/"))
            assert receive_answer(client) == 200
        opened[0].close()
        wait_until(lambda: can_connect(registry))


def test_the_limit_on_open_files_limits_the_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [(1024, 1024), (256, resource.RLIM_INFINITY), (resource.RLIM_INFINITY, resource.RLIM_INFINITY), (10, 10)]
    counted = []
    for current in limits:
        changed: list[tuple[int, int]] = []
        monkeypatch.setattr(resource, "getrlimit", lambda _, current=current: current)
        monkeypatch.setattr(resource, "setrlimit", lambda _, new, changed=changed: changed.append(new))
        counted.append((connections.count_connections(), changed))
    most = connections.MAX_CONNECTIONS
    raised = [(2 * most + 128, resource.RLIM_INFINITY)]
    assert counted == [(448, []), (most, raised), (most, []), (1, [])]
