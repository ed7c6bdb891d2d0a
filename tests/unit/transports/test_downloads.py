"""Downloads that are cut, resumed or too long, or whose file changes."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from urllib3 import HTTPResponse

from lamina.errors import FormatError, IntegrityError, NotFound, Unavailable
from lamina.transports.downloads import Downloader
from lamina.transports.responses import Request, Response
from lamina.transports.retry import RetryPolicy, TransientError

CONTENT = b"0123456789"
POLICY = RetryPolicy(attempts=3, min_bytes=1, initial_delay=0, sleep=lambda seconds: None)
REQUEST = Request("GET", "https://host/x", {}, "the file")


class Server:
    """A server in memory, which sends ``cuts`` bytes of each answer in turn and then cuts the connection."""

    def __init__(self, *cuts: int, content: bytes = CONTENT, **headers: str) -> None:
        self.content = content
        self.requests: list[Request] = []
        self._cuts = list(cuts)
        self._headers = headers

    @contextmanager
    def open(self, request: Request) -> Iterator[Response]:
        self.requests.append(request)
        start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        fields = {"Content-Length": str(len(self.content) - start), **self._headers}
        if start:
            fields["Content-Range"] = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
        end = start + self._cuts.pop(0) if self._cuts else len(self.content)
        yield self.respond(206 if start else 200, self.content[start:end], request, fields)

    def respond(self, status: int, content: bytes, request: Request, fields: dict[str, str]) -> Response:
        raw = HTTPResponse(io.BytesIO(content), fields, status, preload_content=False, decode_content=False)
        return Response(raw, request, POLICY)


def stream(server: Server, limit: int = 100) -> bytes:
    return b"".join(Downloader(server.open, POLICY).stream(REQUEST, limit))


def test_a_whole_file_is_read_or_streamed() -> None:
    assert Downloader(Server().open, POLICY).read(REQUEST, 10) == CONTENT
    assert stream(Server(), 10) == CONTENT
    assert Downloader(Server().open, POLICY).size(REQUEST) == 10


def test_a_download_continues_where_it_was_cut() -> None:
    server = Server(3, 4, ETag='"v1"')
    assert stream(server) == CONTENT
    asked = [request.headers for request in server.requests]
    assert asked == [{}, {"Range": "bytes=3-", "If-Range": '"v1"'}, {"Range": "bytes=7-", "If-Range": '"v1"'}]


def test_without_a_version_the_whole_file_is_sent_again_and_skipped() -> None:
    server = Server(3, ETag='W/"weak"')
    assert stream(server) == CONTENT
    assert [request.headers for request in server.requests] == [{}, {}]


def test_a_connection_that_is_always_cut_at_once_is_given_up() -> None:
    server = Server(*[0] * 9)
    with pytest.raises(Unavailable, match="3 times in a row"):
        stream(server)
    assert len(server.requests) == 3


def change_length(server: Server) -> None:
    server.content += b"more"


def cut_content(server: Server) -> None:
    server.content = CONTENT[:2]


@pytest.mark.parametrize("change", [change_length, cut_content])
@pytest.mark.parametrize("headers", [{}, {"ETag": '"v1"'}])
def test_a_file_that_changes_meanwhile_is_an_error(change: Callable[[Server], None], headers: dict[str, str]) -> None:
    server = Server(3, **headers)  # type: ignore[arg-type]
    pieces = Downloader(server.open, POLICY).stream(REQUEST, 100)
    assert next(pieces) == CONTENT[:3]
    change(server)
    with pytest.raises((IntegrityError, Unavailable), match="the file"):
        list(pieces)


def test_a_file_above_the_limit_is_refused() -> None:
    with pytest.raises(FormatError, match="the file: got more than 9 B, expected a smaller file"):
        stream(Server(), 9)
    with pytest.raises(FormatError, match="got more than 9 B"):
        Downloader(Server().open, POLICY).read(REQUEST, 9)


def test_an_absent_file_is_not_found() -> None:
    class Empty(Server):
        def respond(self, status: int, content: bytes, request: Request, fields: dict[str, str]) -> Response:
            return super().respond(404, b"", request, {"Content-Length": "0"})

    downloader = Downloader(Empty().open, POLICY)
    assert downloader.read(REQUEST, 10) is None
    assert downloader.size(REQUEST) is None
    with pytest.raises(NotFound, match="the file: got HTTP 404"):
        list(downloader.stream(REQUEST, 10))


def test_a_server_without_head_is_asked_for_the_file() -> None:
    class Old(Server):
        def respond(self, status: int, content: bytes, request: Request, fields: dict[str, str]) -> Response:
            return super().respond(405 if request.method == "HEAD" else status, content, request, fields)

    server = Old()
    request = Request("HEAD", REQUEST.url, {}, REQUEST.subject)
    assert Downloader(server.open, POLICY).size(request) == 10
    assert [asked.method for asked in server.requests] == ["HEAD", "GET"]


def test_a_request_that_fails_is_repeated() -> None:
    class Failing(Server):
        @contextmanager
        def open(self, request: Request) -> Iterator[Response]:
            if len(self.requests) < 2:
                self.requests.append(request)
                raise TransientError("a cut")
            with super().open(request) as response:
                yield response

    assert Downloader(Failing().open, POLICY).read(REQUEST, 10) == CONTENT
    policy = RetryPolicy(attempts=2, sleep=lambda seconds: None)
    with pytest.raises(Unavailable, match="the file: got a cut 2 times"):
        Downloader(Failing().open, policy).read(REQUEST, 10)
