"""A binary cache is read over HTTP from servers that work, fail, stall and lie, on loopback."""

import base64
import gzip
import http.server
import itertools
import random
import re
import socket
import socketserver
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.support.servers import LocalServer, run_server
from tests.support.tls import create_certificates

from lamina import __version__
from lamina.compression import libraries
from lamina.errors import Error, FormatError, IntegrityError, InvalidArgument, NotFound, Unavailable
from lamina.transports.http import HttpTransport
from lamina.transports.responses import PIECE
from lamina.transports.retry import RetryPolicy

SECRET = "hunter2%2F"
SECRETS = ("hunter2", base64.b64encode(b"user:hunter2/").decode(), "tOkEn")
CONTENT = bytes(range(256)) * 40
ETAG = '"one"'
DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


# --- the servers


@dataclass(frozen=True)
class SeenRequest:
    method: str
    path: str
    headers: dict[str, str]
    port: int


class ScriptedHandler(http.server.BaseHTTPRequestHandler):
    """One request; the script of the server handles it."""

    protocol_version = "HTTP/1.1"
    server: "ScriptedServer"

    def do_GET(self) -> None:
        port = self.client_address[1]
        seen = SeenRequest(self.command, self.path, {key.lower(): value for key, value in self.headers.items()}, port)
        self.server.seen.append(seen)
        self.server.script(self, len(self.server.seen))

    do_HEAD = do_CONNECT = do_GET  # noqa: N815 - the names are the library's

    def answer(self, status: int = 200, content: bytes = b"", length: int | None = None, **headers: str) -> None:
        """Announce ``length`` bytes and send ``content``. Close the connection if the lengths differ."""
        self.send_response(status)
        length = len(content) if length is None else length
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
            self.close_connection = self.close_connection or length != len(content)

    def range_start(self) -> int:
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(found[1]) if found else 0

    def part(self, content: bytes, start: int, stop: int | None = None, total: int | None = None) -> None:
        """Send a 206 with ``content`` from ``start`` on, cut at ``stop``."""
        total = len(content) if total is None else total
        content_range = f"bytes {start}-{len(content) - 1}/{total}"
        self.answer(206, content[start:stop], len(content) - start, Content_Range=content_range, ETag=ETAG)

    def log_message(self, *arguments: object) -> None:
        pass


Script = Callable[[ScriptedHandler, int], None]


class ScriptedServer(LocalServer):
    def __init__(self, script: Script) -> None:
        super().__init__(ScriptedHandler)
        self.script = script
        self.seen: list[SeenRequest] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def connections(self) -> int:
        return len({seen.port for seen in self.seen})


@contextmanager
def serve(script: Script, server: type[ScriptedServer] = ScriptedServer) -> Iterator[ScriptedServer]:
    with run_server(server(script)) as web:
        yield web


@contextmanager
def raw_server(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """Start a server that reads a request and then calls ``talk``, and yield its URL."""

    class Talker(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1 << 16)
            with suppress(OSError):  # the client may hang up
                talk(self.request)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Talker) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def wait(connection: socket.socket) -> None:
    """Wait until the client closes the connection."""
    connection.recv(1)


def always(status: int = 200, content: bytes = CONTENT, **headers: str) -> Script:
    return lambda handler, number: handler.answer(status, content, None, **headers)


def in_turn(*steps: Callable[[ScriptedHandler], None]) -> Script:
    """Return a script with one step for each request; the last step is repeated."""
    return lambda handler, number: steps[min(number, len(steps)) - 1](handler)


# --- the client


@dataclass
class Pauses:
    """Makes retry policies that do not sleep, and records in ``slept`` how long they would have slept."""

    slept: list[float] = field(default_factory=list)

    def policy(self, **changes: Any) -> RetryPolicy:
        defaults: dict[str, Any] = {
            "connect_timeout": 2.0,
            "read_timeout": 2.0,
            "rate_window": 5.0,
            "min_bytes": 1 << 20,
            "attempts": 3,
        }
        defaults |= {"initial_delay": 1.0, "max_delay": 30.0, "sleep": self.slept.append, "jitter": lambda: 0.0}
        return RetryPolicy(**(defaults | changes))


@contextmanager
def transport(url: str, **changes: Any) -> Iterator[HttpTransport]:
    with closing(HttpTransport(url, Pauses().policy(**changes))) as opened:
        yield opened


def read(url: str, name: str = "x", limit: int = 1 << 20, **changes: Any) -> bytes | None:
    with transport(url, **changes) as opened:
        return opened.read(name, limit)


def stream_file(url: str, name: str = "x", limit: int = 1 << 20, **changes: Any) -> bytes:
    with transport(url, **changes) as opened:
        return b"".join(opened.stream(name, limit))


def catch_error(kind: type[Error], function: Callable[..., object], *arguments: Any, **keywords: Any) -> Error:
    """Return the error that ``function`` raises, and check that no error in its chain shows a secret."""
    with pytest.raises(kind) as caught:
        function(*arguments, **keywords)
    error: BaseException | None = caught.value
    text = caught.value.hint
    while error is not None:
        text += f"{error} {error!r}"
        error = error.__cause__
    for secret in SECRETS:
        assert secret not in text
    return caught.value


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Hide the machine's own network settings, and return an empty home folder."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("NETRC", "NIX_SSL_CERT_FILE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


# --- files that exist, and files that do not


def test_a_small_file_is_read_whole() -> None:
    with serve(always()) as web:
        assert read(web.url) == CONTENT
        assert read(web.url, limit=len(CONTENT)) == CONTENT
        assert stream_file(web.url, limit=len(CONTENT)) == CONTENT


def test_an_empty_file_is_there() -> None:
    with serve(always(content=b"")) as web, transport(web.url) as opened:
        assert opened.read("x", 0) == b""
        assert list(opened.stream("x", 0)) == []
        assert web.connections == 1


@pytest.mark.parametrize(
    ("status", "headers"), [(404, {}), (410, {}), (403, {}), (403, {"x_amz_request_id": "4442587FB7D0A2F9"})]
)
def test_a_file_may_be_absent(status: int, headers: dict[str, str]) -> None:
    with serve(always(status, b"no", **headers)) as web, transport(web.url) as opened:
        assert opened.read("x", 10) is None
        error = catch_error(NotFound, list, opened.stream("nar/x", 10))
    assert str(error) == f"{web.url}/nar/x: got HTTP {status}, expected the file"


@pytest.mark.parametrize("verb", [read, stream_file])
def test_a_file_above_its_limit_is_refused(verb: Callable[..., object]) -> None:
    with serve(always()) as web:
        catch_error(FormatError, verb, web.url, limit=len(CONTENT) - 1)


@pytest.mark.parametrize("verb", [read, stream_file])
@pytest.mark.parametrize("framing", ["Transfer-Encoding: chunked", "Connection: close"])
def test_a_file_that_never_ends_is_cut_at_its_limit(verb: Callable[..., object], framing: str) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode())
        while True:
            connection.sendall(b"1000\r\n" + bytes(0x1000) + b"\r\n")

    with raw_server(talk) as url:
        error = catch_error(FormatError, verb, url, limit=1 << 18)
    assert re.search(r"expected (at most \d+|a smaller file)$", str(error))


def test_a_length_above_the_limit_is_refused_at_once() -> None:
    def script(handler: ScriptedHandler, number: int) -> None:
        handler.answer(content=b"x", length=1 << 40)

    with serve(script) as web:
        error = catch_error(FormatError, stream_file, web.url, limit=1 << 20)
    assert "got more than 1.0 MiB" in str(error)


def test_pieces_are_bounded_and_in_order() -> None:
    content = CONTENT * 300
    with serve(always(content=content)) as web, transport(web.url) as opened:
        pieces = list(opened.stream("x", len(content)))
    assert b"".join(pieces) == content
    assert len(pieces) >= len(content) // PIECE
    assert max(map(len, pieces)) <= PIECE


def test_chunks_are_put_together() -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n"
        )

    with raw_server(talk) as url:
        assert read(url) == b"hello!"
        assert stream_file(url) == b"hello!"


def test_bytes_after_the_announced_length_are_ignored() -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\nevil")

    with raw_server(talk) as url, transport(url) as opened:
        assert [opened.read("x", 100), opened.read("y", 100)] == [b"hello", b"hello"]


def test_a_request_has_a_user_agent() -> None:
    with serve(always()) as web:
        read(web.url)
        stream_file(web.url)
    assert [seen.headers["user-agent"] for seen in web.seen] == [f"lamina/{__version__}"] * 2
    assert [seen.headers["accept-encoding"] for seen in web.seen] == ["zstd, br, gzip", "identity"]


# --- content codings


def _encoded(coding: str, data: bytes) -> bytes:
    if coding == "br":
        return bytes(brotli.compress(data, quality=3))
    return bytes(libraries.zstd().compress(data)) if coding == "zstd" else gzip.compress(data)


@pytest.mark.parametrize("verb", [read, stream_file])
@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "br", "zstd", "GZIP"])
def test_content_is_decoded(verb: Callable[..., object], coding: str) -> None:
    with serve(always(content=_encoded(coding, CONTENT), Content_Encoding=coding)) as web:
        assert verb(web.url) == CONTENT


def test_codings_are_decoded_from_the_last_one() -> None:
    content = _encoded("zstd", _encoded("br", CONTENT))
    with serve(always(content=content, Content_Encoding="br, zstd")) as web:
        assert read(web.url) == CONTENT


@pytest.mark.parametrize("coding", ["", "identity"])
def test_identity_and_an_empty_coding_mean_no_coding(coding: str) -> None:
    with serve(always(Content_Encoding=coding)) as web:
        assert read(web.url) == CONTENT


@pytest.mark.parametrize("coding", ["deflate", "lzma", "gzip, gzip, gzip"])
def test_other_codings_are_refused(coding: str) -> None:
    with serve(always(Content_Encoding=coding)) as web:
        error = catch_error(Unavailable, read, web.url)
    assert f"got Content-Encoding '{coding}'" in str(error)


@pytest.mark.parametrize("verb", [read, stream_file])
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_decoding_is_limited(verb: Callable[..., object], coding: str) -> None:
    with serve(always(content=_encoded(coding, bytes(8 << 20)), Content_Encoding=coding)) as web:
        catch_error(FormatError, verb, web.url, limit=1 << 16)


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_broken_coding_names_the_file(coding: str) -> None:
    with serve(always(content=b"\xff" + _encoded(coding, CONTENT), Content_Encoding=coding)) as web:
        error = catch_error(FormatError, read, web.url)
    assert str(error).startswith(f"{web.url}/x: ")
    assert len(web.seen) == 1


@pytest.mark.parametrize("verb", [read, stream_file])
def test_encoded_content_that_was_cut_is_requested_from_the_start(verb: Callable[..., object]) -> None:
    plain = random.Random(1).randbytes(1 << 20)
    data = gzip.compress(plain)
    script = in_turn(
        lambda handler: handler.answer(200, data[: len(data) // 2], len(data), Content_Encoding="gzip", ETag=ETAG),
        lambda handler: handler.answer(200, data, Content_Encoding="gzip", ETag=ETAG),
    )
    with serve(script) as web:
        assert verb(web.url, limit=len(plain)) == plain
    assert "range" not in web.seen[1].headers


# --- transient failures


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_a_transient_status_is_retried(status: int) -> None:
    pauses = Pauses()
    script = in_turn(
        *[lambda handler: handler.answer(status, b"busy")] * 2, lambda handler: handler.answer(content=CONTENT)
    )
    with serve(script) as web, closing(HttpTransport(web.url, pauses.policy())) as opened:
        assert opened.read("x", 1 << 20) == CONTENT
    assert pauses.slept == [1, 2]
    assert web.connections == 1


@pytest.mark.parametrize("verb", [read, stream_file])
def test_retries_are_limited(verb: Callable[[str], object]) -> None:
    with serve(always(503, b"")) as web:
        error = catch_error(Unavailable, verb, web.url)
    assert str(error) == f"{web.url}/x: got HTTP 503 3 times in a row, expected the whole file"
    assert len(web.seen) == 3


@pytest.mark.parametrize("status", [201, 204, 206, 300, 304, 400, 416, 451, 501, 505, 511])
def test_another_status_is_an_error_at_once(status: int) -> None:
    with serve(always(status, b"")) as web:
        error = catch_error(Unavailable, read, web.url)
    assert str(error) == f"{web.url}/x: got HTTP {status}, expected the file"
    assert len(web.seen) == 1


@pytest.mark.parametrize(("status", "hint"), [(401, "netrc"), (403, "netrc"), (407, "https_proxy")])
def test_a_server_that_refuses_access_is_an_error_with_a_hint(status: int, hint: str) -> None:
    with serve(always(status, b"", WWW_Authenticate='Basic realm="cache"')) as web:
        error = catch_error(Unavailable, read, web.url.replace("//", f"//user:{SECRET}@"))
    assert f"got HTTP {status} from the " in str(error)
    assert hint in error.hint
    assert len(web.seen) == 1


_LATER = datetime(2026, 10, 21, 7, 28, tzinfo=UTC) + timedelta(seconds=7)


@pytest.mark.parametrize(
    ("retry_after", "slept"),
    [
        ("7", 7),
        ("0", 1),
        ("30", 30),
        ("999999999999", 1),
        ("-5", 1),
        ("soon", 1),
        (_LATER.strftime("%a, %d %b %Y %H:%M:%S GMT"), 7),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 1),
    ],
)
def test_a_server_may_say_how_long_to_wait(retry_after: str, slept: float) -> None:
    def busy(handler: ScriptedHandler) -> None:
        handler.send_response_only(429)
        for name, value in (("Content-Length", "0"), ("Retry-After", retry_after), ("Date", DATE)):
            handler.send_header(name, value)
        handler.end_headers()

    pauses = Pauses()
    with (
        serve(in_turn(busy, lambda handler: handler.answer())) as web,
        closing(HttpTransport(web.url, pauses.policy())) as opened,
    ):
        assert opened.read("x", 10) == b""
    assert pauses.slept == [slept]


def test_a_connection_that_is_refused_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    pauses = Pauses()
    error = catch_error(Unavailable, HttpTransport(f"http://127.0.0.1:{port}", pauses.policy()).read, "x", 1)
    assert str(error).endswith("got Connection refused 3 times in a row, expected the whole file")
    assert pauses.slept == [1, 2]


@pytest.mark.parametrize(
    ("response", "got"),
    [
        (b"", "the connection closed without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no HTTP (BadStatusLine)"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "the end of the connection within the answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "the end of the connection within the answer"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
            "the end of the connection within the answer",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "the end of the connection within"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "the end of the connection within"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n", "no HTTP (HTTPException)"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000, "no HTTP (LineTooLong)"),
    ],
)
def test_an_invalid_response_is_retried(response: bytes, got: str) -> None:
    count = itertools.count()

    def talk(connection: socket.socket) -> None:
        next(count)
        connection.sendall(response)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass

    with raw_server(talk) as url:
        error = catch_error(Unavailable, read, url)
        assert got in str(error)
        assert next(count) == 3
        catch_error(Unavailable, stream_file, url)


def test_a_silent_server_is_a_timeout() -> None:
    with raw_server(wait) as url:
        error = catch_error(Unavailable, read, url, read_timeout=0.02, attempts=2)
    assert "got nothing for 0.02 seconds 2 times in a row" in str(error)


def test_a_server_that_stops_within_a_file_is_a_timeout() -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
        wait(connection)

    with raw_server(talk) as url:
        error = catch_error(Unavailable, stream_file, url, read_timeout=0.02, attempts=1)
    assert "got nothing for 0.02 seconds, expected" in str(error)


@pytest.mark.parametrize(
    "begun",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
        b"HTTP/1.1 200 OK\r\nA: ",
        b"HT",
    ],
)
def test_a_server_that_trickles_is_too_slow(begun: bytes) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(begun)
        for _ in range(2000):
            connection.sendall(b"a")
            threading.Event().wait(0.002)

    with raw_server(talk) as url:
        for verb in (read, stream_file):
            error = catch_error(Unavailable, verb, url, rate_window=0.03, attempts=1)
            assert "in 0.03 seconds, which is less than" in str(error)


def test_the_time_of_a_slow_reader_does_not_count() -> None:
    times = itertools.count(0, 0.001)
    content = CONTENT * 100
    with (
        serve(always(content=content)) as web,
        transport(web.url, clock=lambda: next(times), rate_window=1.0, min_bytes=1 << 30) as opened,
    ):
        pieces = opened.stream("x", len(content))
        got = next(pieces)
        times = itertools.count(1000, 0.001)  # as if it had been long
        assert got + b"".join(pieces) == content


@pytest.mark.parametrize(
    ("begun", "more"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n" * 1000),
    ],
)
def test_headers_that_never_end_are_cut(begun: bytes, more: bytes) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(begun)
        while True:
            connection.sendall(more)

    with raw_server(talk) as url:
        catch_error(Unavailable, read, url, attempts=1)


# --- connections that are cut within a file


def cut_once(validators: dict[str, str], then: Callable[[ScriptedHandler], None], at: int = 1000) -> Script:
    return in_turn(lambda handler: handler.answer(200, CONTENT[:at], len(CONTENT), **validators), then)


@pytest.mark.parametrize(
    ("validators", "sent"),
    [
        ({"ETag": ETAG}, ETAG),
        ({"ETag": ETAG, "Last_Modified": DATE}, ETAG),
        ({"Last_Modified": DATE}, DATE),
        ({"ETag": 'W/"one"', "Last_Modified": DATE}, DATE),
    ],
)
def test_a_cut_file_is_resumed(validators: dict[str, str], sent: str) -> None:
    with serve(cut_once(validators, lambda handler: handler.part(CONTENT, handler.range_start()))) as web:
        assert stream_file(web.url) == CONTENT
    assert web.seen[1].headers["range"] == "bytes=1000-"
    assert web.seen[1].headers["if-range"] == sent


@pytest.mark.parametrize("validators", [{}, {"ETag": 'W/"one"'}, {"ETag": "one"}, {"ETag": '"one'}])
def test_without_a_strong_validator_the_whole_file_is_requested_again(validators: dict[str, str]) -> None:
    with serve(cut_once(validators, lambda handler: handler.answer(content=CONTENT))) as web:
        assert stream_file(web.url) == CONTENT
    assert "range" not in web.seen[1].headers


def test_a_server_without_ranges_sends_the_whole_file_again() -> None:
    with serve(cut_once({"ETag": ETAG}, lambda handler: handler.answer(content=CONTENT, ETag=ETAG))) as web:
        assert stream_file(web.url) == CONTENT


def test_a_file_whose_length_changed_meanwhile_is_an_integrity_error() -> None:
    with serve(cut_once({"ETag": ETAG}, lambda handler: handler.answer(content=CONTENT + b"!"))) as web:
        error = catch_error(IntegrityError, stream_file, web.url)
    assert (
        f"got {len(CONTENT) + 1} bytes, expected {len(CONTENT)} as before: the file changed during the download"
        in str(error)
    )


def test_a_file_that_became_shorter_than_what_was_received_is_an_integrity_error() -> None:
    def shorter(handler: ScriptedHandler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(CONTENT[:999])

    with serve(cut_once({}, shorter)) as web:
        error = catch_error(IntegrityError, stream_file, web.url)
    assert "got 999 bytes, expected 1000 as before" in str(error)


def test_a_range_of_a_file_of_another_length_is_an_integrity_error() -> None:
    with serve(cut_once({"ETag": ETAG}, lambda handler: handler.part(CONTENT, 1000, total=len(CONTENT) + 1))) as web:
        catch_error(IntegrityError, stream_file, web.url)


@pytest.mark.parametrize(
    "content_range", ["bytes 999-10239/10240", "bytes */10240", "1000-10239", "", "bytes 0-10239/10240"]
)
def test_a_range_that_was_not_requested_is_not_used(content_range: str) -> None:
    wrong = b"?" * 100
    script = in_turn(
        lambda handler: handler.answer(200, CONTENT[:1000], len(CONTENT), ETag=ETAG),
        lambda handler: handler.answer(206, wrong, Content_Range=content_range),
        lambda handler: handler.answer(200, CONTENT, ETag=ETAG),
    )
    with serve(script) as web:
        assert stream_file(web.url) == CONTENT
    assert [seen.headers.get("range") for seen in web.seen] == [None, "bytes=1000-", None]


def test_a_shorter_range_than_requested_is_resumed() -> None:
    script = in_turn(
        lambda handler: handler.answer(200, CONTENT[:1000], len(CONTENT), ETag=ETAG),
        lambda handler: handler.answer(206, CONTENT[1000:1500], Content_Range="bytes 1000-1499/10240", ETag=ETAG),
        lambda handler: handler.part(CONTENT, handler.range_start()),
    )
    with serve(script) as web:
        assert stream_file(web.url) == CONTENT
    assert [seen.headers.get("range") for seen in web.seen] == [None, "bytes=1000-", "bytes=1500-"]


@pytest.mark.parametrize(("total", "is_whole"), [(1000, True), (999, False), (0, False)])
def test_a_file_cut_at_its_very_end_is_whole(total: int, is_whole: bool) -> None:
    def cut(handler: ScriptedHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.send_header("ETag", ETAG)
        handler.end_headers()
        handler.wfile.write(b"3e8\r\n" + CONTENT[:1000] + b"\r\n")
        handler.close_connection = True

    with serve(in_turn(cut, lambda handler: handler.answer(416, b"", Content_Range=f"bytes */{total}"))) as web:
        if is_whole:
            assert stream_file(web.url) == CONTENT[:1000]
        else:
            catch_error(IntegrityError, stream_file, web.url)


def test_attempts_that_received_enough_do_not_count() -> None:
    def step(handler: ScriptedHandler, number: int) -> None:
        start = handler.range_start()
        if start:
            handler.part(CONTENT, start, start + 1000)
        else:
            handler.answer(200, CONTENT[:1000], len(CONTENT), ETag=ETAG)

    with serve(step) as web:
        assert stream_file(web.url, min_bytes=1000) == CONTENT
        assert len(web.seen) > 10
        error = catch_error(Unavailable, stream_file, web.url, min_bytes=1001)
    assert "3 times in a row" in str(error)


def test_a_file_that_was_removed_meanwhile_is_not_found() -> None:
    with serve(cut_once({"ETag": ETAG}, lambda handler: handler.answer(404))) as web:
        catch_error(NotFound, stream_file, web.url)


def test_a_small_file_that_was_cut_is_read_again() -> None:
    with serve(cut_once({"ETag": ETAG}, lambda handler: handler.answer(content=CONTENT))) as web:
        assert read(web.url) == CONTENT


@examples(40)
@given(st.data())
def test_the_file_is_complete_and_in_order_wherever_it_was_cut(data: st.DataObject) -> None:
    """RFC 9110, 14.2: a client "can request the remainder"; the joined parts are what one response would contain."""
    content = data.draw(st.binary(max_size=3000))
    cuts = data.draw(st.lists(st.integers(0, 3000), max_size=6))
    has_ranges = data.draw(st.booleans())
    headers = data.draw(st.sampled_from([{}, {"ETag": ETAG}, {"Last_Modified": DATE}, {"ETag": 'W/"x"'}]))

    def script(handler: ScriptedHandler, number: int) -> None:
        start = handler.range_start() if has_ranges else 0
        stop = cuts[number - 1] if number <= len(cuts) else len(content)
        if start and start < len(content):
            handler.part(content, start, max(start, stop))
        elif start:
            handler.answer(416, Content_Range=f"bytes */{len(content)}")
        else:
            handler.answer(200, content[:stop], len(content), **headers)

    with serve(script) as web:
        assert stream_file(web.url, attempts=len(cuts) + 1) == content


# --- redirects


def test_a_redirect_is_followed_and_the_connection_kept() -> None:
    def script(handler: ScriptedHandler, number: int) -> None:
        if handler.path == "/cache/x":
            handler.answer(302, b"go on", Location="../elsewhere/y?z=%2F")
        else:
            handler.answer(content=handler.path.encode())

    with serve(script) as web, transport(f"{web.url}/cache/") as opened:
        assert opened.read("x", 100) == b"/elsewhere/y?z=%2F"
        assert b"".join(opened.stream("x", 100)) == b"/elsewhere/y?z=%2F"
        assert web.connections == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_in_a_circle_end(status: int) -> None:
    with serve(always(status, b"", Location="/x")) as web:
        error = catch_error(Unavailable, read, web.url)
    assert str(error) == f"{web.url}/x: got more than 10 redirects, expected the file"
    assert len(web.seen) == 11


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/", "http://[", "gopher:x"])
def test_a_redirect_to_another_scheme_is_refused(location: str) -> None:
    with serve(always(302, b"", Location=location)) as web:
        error = catch_error(Unavailable, read, web.url)
    assert "got a redirect to" in str(error)
    assert "expected http:// or https://" in str(error)


def test_a_redirect_to_nowhere_is_refused() -> None:
    with serve(always(302, b"")) as web:
        assert "a redirect to nowhere" in str(catch_error(Unavailable, read, web.url))


def test_only_a_short_body_of_a_redirect_is_drained() -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /y\r\n\r\n")
        while True:
            connection.sendall(bytes(1 << 16))

    with raw_server(talk) as url:
        catch_error(Unavailable, read, url)


def test_credentials_are_sent_to_their_host_only() -> None:
    with serve(always()) as other, serve(always(302, b"", Location=f"{other.url}/y?tOkEn=1")) as web:
        url = web.url.replace("//", f"//user:{SECRET}@")
        assert read(url) == CONTENT
        assert stream_file(url) == CONTENT
        assert read(url, f"{other.url}/z") == CONTENT
    assert [seen.headers.get("authorization") for seen in web.seen] == ["Basic " + SECRETS[1]] * 2
    assert [seen.headers.get("authorization") for seen in other.seen] == [None] * 3


@pytest.mark.parametrize("name", ["https://127.0.0.1:1/x", "HTTPS://127.0.0.1:1/x", "http://[", "http:///x"])
def test_a_name_with_another_scheme_or_without_a_host_is_refused(name: str) -> None:
    with serve(always()) as web:
        catch_error(FormatError, stream_file, web.url.replace("//", f"//user:{SECRET}@"), name)
    assert web.seen == []


def test_a_leading_slash_is_resolved_at_the_server_and_then_at_the_cache() -> None:
    """Nix 2.34 resolves it the first way, Nix 2.8 to 2.26 the second; both versions were tried."""

    def only(path: str) -> Script:
        return lambda handler, _: handler.answer(200 if handler.path == path else 404, CONTENT)

    for path, count in (("/nar/x?token=hunter2", 1), ("/prefix/nar/x?token=hunter2", 2)):
        with serve(only(path)) as web:
            url = web.url.replace("//", f"//user:{SECRET}@")
            assert stream_file(f"{url}/prefix?token=hunter2", "/nar/x") == CONTENT
            assert [seen.headers["authorization"] for seen in web.seen] == ["Basic " + SECRETS[1]] * count
    with serve(always(404)) as web:
        catch_error(NotFound, stream_file, web.url, "/nar/x")
        assert len(web.seen) == 1


def test_credentials_follow_a_redirect_on_their_own_host() -> None:
    script = in_turn(
        lambda handler: handler.answer(307, Location="/y"), lambda handler: handler.answer(content=CONTENT)
    )
    with serve(script) as web:
        assert read(web.url.replace("//", f"//user:{SECRET}@")) == CONTENT
    assert {seen.headers["authorization"] for seen in web.seen} == {"Basic " + SECRETS[1]}


def test_credentials_in_a_redirect_are_ignored() -> None:
    with serve(always()) as other:
        location = other.url.replace("//", "//user:hunter2@")
        with serve(always(302, b"", Location=location)) as web:
            assert read(web.url) == CONTENT
    assert "authorization" not in other.seen[0].headers


# --- names and URLs


@pytest.mark.parametrize(
    ("base", "name", "requested"),
    [
        ("", "nix-cache-info", "/nix-cache-info"),
        ("/", "nar/x.nar.xz", "/nar/x.nar.xz"),
        ("/cache", "nar/x.nar.xz", "/cache/nar/x.nar.xz"),
        ("/cache//", "nar/x.nar.xz", "/cache/nar/x.nar.xz"),
        ("/a%2Fb/%20", "x", "/a%2Fb/%20/x"),
        ("", "nar/a%20b%2Fc.nar?hash=1%2B1&x=a+b", "/nar/a%20b%2Fc.nar?hash=1%2B1&x=a+b"),
        ("", "nar/a b/ü.nar", "/nar/a%20b/%C3%BC.nar"),
        ("", "nar/a\r\nX: y", "/nar/a%0D%0AX:%20y"),
        ("", "nar/x#y", "/nar/x"),
        ("/c?tOkEn=a/b", "x", "/c/x?tOkEn=a/b"),
        ("/c?tOkEn=a&priority=30&trusted=1", "x?y=z", "/c/x?y=z&tOkEn=a"),
        ("/c/?compression=zstd", "x", "/c/x"),
    ],
)
def test_a_name_is_requested_unchanged(base: str, name: str, requested: str) -> None:
    with serve(always()) as web:
        assert read(web.url + base, name) == CONTENT
    assert web.seen[0].path == requested


def test_a_name_may_be_an_absolute_url() -> None:
    with serve(always()) as other, serve(always()) as web:
        assert read(f"{web.url}/c?tOkEn=1", f"{other.url}/nar/x?y=z") == CONTENT
    assert [seen.path for seen in other.seen] == ["/nar/x?y=z"]
    assert web.seen == []


@pytest.mark.parametrize("name", ["http://", "http://[", "https:///x", "http://user:hunter2@host:99999/x"])
def test_a_name_that_begins_like_a_url_must_be_valid(name: str) -> None:
    with serve(always()) as web:
        catch_error(FormatError, read, web.url.replace("//", f"//user:{SECRET}@"), name)


@examples(60)
@given(st.text(max_size=20))
def test_any_name_is_a_file_or_an_error_of_lamina(name: str) -> None:
    with serve(always()) as web:
        try:
            assert read(f"{web.url}/c", name) == CONTENT
        except Error:
            assert web.seen == []


def test_credentials_are_never_shown() -> None:
    with serve(always(500, b"")) as web:
        url = web.url.replace("//", f"//user:{SECRET}@") + "/c/?tOkEn=1"
        assert HttpTransport(url, RetryPolicy()).label == f"{web.url}/c"
        error = catch_error(Unavailable, read, url, "nar/x?tOkEn=2")
        assert str(error).startswith(f"{web.url}/c/nar/x: got HTTP 500")
        error = catch_error(Unavailable, read, url, web.url.replace("//", f"//user:{SECRET}@") + "/y?tOkEn=1")
    assert str(error).startswith(f"{web.url}/y: got HTTP 500")
    catch_error(FormatError, read, "https://127.0.0.1:1", f"http://user:{SECRET}@127.0.0.1:1/x?tOkEn=1")


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http:///x",
        f"http://user:{SECRET}@/x?tOkEn=1",
        f"http://user:{SECRET}@host:99999/x",
        f"http://user:{SECRET}@[/x",
        f"http://user:{SECRET}@host/x#y",
        f"http://user:{SECRET}@host/a b",
        f"http://user:{SECRET}@host/a\nb?tOkEn=1",
        "ftp://host",
    ],
)
def test_an_invalid_url_is_refused(url: str) -> None:
    catch_error(InvalidArgument, HttpTransport, url, RetryPolicy())


def test_a_host_without_an_address_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*arguments: object, **keywords: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    error = catch_error(Unavailable, read, "http://cache.invalid")
    assert str(error) == "http://cache.invalid/x: got no address for its host, expected a server that answers"


# --- connections


def test_connections_are_kept() -> None:
    steps = [
        lambda handler: handler.answer(content=CONTENT),
        lambda handler: handler.answer(404, b"nothing here"),
        lambda handler: handler.answer(503, b"busy"),
        lambda handler: handler.answer(content=CONTENT),
        lambda handler: handler.answer(content=gzip.compress(CONTENT), Content_Encoding="gzip"),
        lambda handler: handler.answer(content=b""),
    ]
    with serve(in_turn(*steps)) as web, transport(web.url) as opened:
        assert opened.read("x", 1 << 20) == CONTENT
        assert opened.read("x", 1 << 20) is None
        assert opened.read("x", 1 << 20) == CONTENT
        assert opened.read("x", 1 << 20) == CONTENT
        assert list(opened.stream("x", 1)) == []
        assert len(web.seen) == 6
        assert web.connections == 1


def test_closing_a_stream_early_closes_its_connection() -> None:
    content = CONTENT * 2000
    with serve(always(content=content)) as web, transport(web.url) as opened:
        pieces = opened.stream("x", len(content))
        assert content.startswith(next(pieces))
        cast("Generator[bytes]", pieces).close()
        assert opened.read("x", len(content)) == content
        assert web.connections == 2


def test_many_threads_read_at_once() -> None:
    barrier = threading.Barrier(32)

    def script(handler: ScriptedHandler, number: int) -> None:
        barrier.wait(60)  # no response before all requests have arrived
        handler.answer(content=handler.path.encode())

    with serve(script) as web, transport(web.url) as opened, ThreadPoolExecutor(32) as pool:
        for _ in range(3):
            names = [f"x{number}" for number in range(32)]
            assert list(pool.map(lambda name: opened.read(name, 10), names)) == [f"/{name}".encode() for name in names]
        assert web.connections == 32


# --- credentials


def netrc(path: Path, text: str) -> None:
    path.write_text(text)


def test_credentials_come_from_netrc(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc(home / ".netrc", "machine 127.0.0.1 login user password hunter2/\n")
    with serve(always()) as web:
        assert read(web.url) == CONTENT
        netrc(home / "other", "machine 127.0.0.1 login other password hunter2/\n")
        monkeypatch.setenv("NETRC", str(home / "other"))
        assert read(web.url) == CONTENT
        assert read(web.url.replace("//", f"//user:{SECRET}@")) == CONTENT
        monkeypatch.setenv("NETRC", str(home / "none"))
        assert read(web.url.replace("//", f"//user:{SECRET}@")) == CONTENT
    other = base64.b64encode(b"other:hunter2/").decode()
    sent = [seen.headers["authorization"] for seen in web.seen]
    assert sent == [f"Basic {who}" for who in (SECRETS[1], other, SECRETS[1], SECRETS[1])]


def test_netrc_is_for_the_hosts_it_names(home: Path) -> None:
    netrc(home / ".netrc", "machine elsewhere.example login user password hunter2/\n")
    with serve(always()) as web:
        assert read(web.url) == CONTENT
    assert "authorization" not in web.seen[0].headers


@pytest.mark.parametrize("content", [b"machine 127.0.0.1\nlogin user pasword hunter2\n", b"hunter2\n", b"\xffhunter2"])
def test_a_broken_netrc_is_named_and_not_shown(home: Path, content: bytes) -> None:
    (home / ".netrc").write_bytes(content)
    error = catch_error(Unavailable, HttpTransport, "http://127.0.0.1:1", RetryPolicy())
    assert str(error).startswith(f"{home}/.netrc")


def test_a_configured_netrc_must_exist(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETRC", str(home / "none"))
    error = catch_error(Unavailable, HttpTransport, "http://127.0.0.1:1", RetryPolicy())
    assert str(error) == f"{home}/none: got nothing there, expected a netrc file"


# --- proxies


def tunnel(handler: ScriptedHandler, host: str, port: int) -> None:
    """Connect to the requested host, as a proxy does for CONNECT."""
    with socket.create_connection((host, port)) as far:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.flush()

        def pump(source: socket.socket, target: socket.socket) -> None:
            try:
                while data := source.recv(1 << 16):
                    target.sendall(data)
                target.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        back = threading.Thread(target=pump, args=(far, handler.connection))
        back.start()
        pump(handler.connection, far)
        back.join()
    handler.close_connection = True


def test_a_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(always()) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("//", f"//user:{SECRET}@"))
        assert read("http://cache.example/c", "x?y=z") == CONTENT
    assert proxy.seen[0].path == "http://cache.example/c/x?y=z"
    assert proxy.seen[0].headers["proxy-authorization"] == "Basic " + SECRETS[1]
    assert proxy.seen[0].headers["host"] == "cache.example"


def test_a_proxy_may_be_for_all_and_without_a_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(always()) as proxy:
        monkeypatch.setenv("all_proxy", proxy.url.removeprefix("http://"))
        assert read("http://cache.example") == CONTENT
    assert "proxy-authorization" not in proxy.seen[0].headers


@pytest.mark.parametrize("hosts", ["127.0.0.1", "*", "other.example,127.0.0.1"])
def test_no_proxy_names_hosts_to_connect_to_directly(monkeypatch: pytest.MonkeyPatch, hosts: str) -> None:
    with serve(always(500)) as proxy, serve(always()) as web:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", hosts)
        assert read(web.url) == CONTENT
    assert proxy.seen == []


def test_a_proxy_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (f"socks5h://user:{SECRET}@127.0.0.1:1080", f"http://user:{SECRET}@:99999", "http://"):
        monkeypatch.setenv("http_proxy", url)
        error = catch_error(InvalidArgument, read, "http://cache.example")
        assert "got an unsupported proxy" in str(error)
        assert "http_proxy" in error.hint


def test_a_proxy_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://user:{SECRET}@127.0.0.1:{port}")
    for scheme in ("http", "https"):
        error = catch_error(Unavailable, read, f"{scheme}://cache.example")
        assert "got Connection refused 3 times in a row" in str(error)


@pytest.mark.parametrize(("status", "count"), [(407, 1), (403, 1), (503, 3)])
def test_a_proxy_may_refuse_a_tunnel(monkeypatch: pytest.MonkeyPatch, status: int, count: int) -> None:
    with serve(always(status, b"")) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url.replace("//", f"//user:{SECRET}@"))
        error = catch_error(Unavailable, read, "https://cache.example")
    assert f"got HTTP {status} from the proxy" in str(error)
    assert [seen.method for seen in proxy.seen] == ["CONNECT"] * count
    assert proxy.seen[0].headers["proxy-authorization"] == "Basic " + SECRETS[1]


# --- TLS


@dataclass(frozen=True)
class Authority:
    """A certificate authority, and a server that has a certificate of it for 127.0.0.1."""

    bundle: Path
    server: type[ScriptedServer]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    certificates = create_certificates(tmp_path_factory.mktemp("tls"))

    class Secure(ScriptedServer):
        def get_request(self) -> tuple[Any, Any]:
            connection, address = super().get_request()
            wrapped = certificates.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            return wrapped, address

        @property
        def url(self) -> str:
            return f"https://127.0.0.1:{self.server_port}"

    return Authority(certificates.bundle, Secure)


@pytest.mark.parametrize(
    "variables",
    [
        ["NIX_SSL_CERT_FILE", "SSL_CERT_FILE"],
        ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"],
        ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"],
        ["CURL_CA_BUNDLE"],
    ],
)
def test_the_environment_names_authorities(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, variables: list[str]
) -> None:
    first, *others = variables
    monkeypatch.setenv(first, str(authority.bundle))
    for name in others:
        monkeypatch.setenv(name, "/none")
    with serve(always(), authority.server) as web, transport(web.url) as opened:
        assert opened.read("x", 1 << 20) == CONTENT
        assert b"".join(opened.stream("x", 1 << 20)) == CONTENT
        assert web.connections == 1


def test_an_untrusted_certificate_is_refused_at_once(authority: Authority) -> None:
    with serve(always(), authority.server) as web:
        error = catch_error(Unavailable, read, web.url)
    assert "got a certificate that is not trusted" in str(error)
    assert "NIX_SSL_CERT_FILE" in error.hint
    assert web.seen == []


def test_a_certificate_for_another_host_is_refused(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.bundle))
    with serve(always(), authority.server) as web:
        error = catch_error(Unavailable, read, web.url.replace("127.0.0.1", "localhost"))
    assert "got a certificate that is not trusted" in str(error)


def test_a_configured_ca_bundle_must_exist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    error = catch_error(Unavailable, read, "https://127.0.0.1:1")
    assert error.hint == "the name comes from SSL_CERT_FILE"
    (tmp_path / "none").write_text("nothing")
    error = catch_error(Unavailable, read, "https://127.0.0.1:1")
    assert "expected certificates in PEM" in str(error)


def test_a_redirect_from_https_to_http_is_refused(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.bundle))
    with serve(always()) as other, serve(always(302, b"", Location=f"{other.url}/?tOkEn=1"), authority.server) as web:
        error = catch_error(Unavailable, read, web.url)
    assert "expected one that stays with https://" in str(error)
    assert other.seen == []


def test_a_redirect_may_lead_to_encryption(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.bundle))
    with serve(always(), authority.server) as secure, serve(always(302, b"", Location=secure.url)) as web:
        assert read(web.url.replace("//", f"//user:{SECRET}@")) == CONTENT
    assert "authorization" not in secure.seen[0].headers


def test_a_server_without_tls_is_an_error() -> None:
    with serve(always()) as web:
        error = catch_error(Unavailable, read, web.url.replace("http:", "https:"))
    assert "TLS" in str(error)


def test_encryption_goes_through_a_proxy(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.bundle))
    with ExitStack() as stack:
        web = stack.enter_context(serve(always(), authority.server))
        proxy = stack.enter_context(serve(lambda handler, number: tunnel(handler, "127.0.0.1", web.server_port)))
        monkeypatch.setenv("https_proxy", proxy.url.replace("//", f"//user:{SECRET}@"))
        assert read("https://cache.example/c") == CONTENT
    assert [seen.path for seen in proxy.seen] == ["cache.example:443"]
    assert proxy.seen[0].headers["proxy-authorization"] == "Basic " + SECRETS[1]
    assert [seen.path for seen in web.seen] == ["/c/x"]
    assert "proxy-authorization" not in web.seen[0].headers


def test_the_connection_to_a_proxy_may_be_encrypted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.bundle))
    with serve(always(), authority.server) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("//", f"//{quote('user')}:{SECRET}@"))
        assert read("http://cache.example/c") == CONTENT
    assert proxy.seen[0].path == "http://cache.example/c/x"
