"""What a response means: its status, its headers, its redirects and its content."""

import gzip
import io

import pytest
from urllib3 import HTTPResponse

from lamina.errors import FormatError, Unavailable
from lamina.transports.responses import Request, Response
from lamina.transports.retry import RetryPolicy, TransientError


def respond(status: int = 200, content: bytes = b"", method: str = "GET", **headers: str) -> Response:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = HTTPResponse(io.BytesIO(content), fields, status, preload_content=False, decode_content=False)
    asked = {"Range": "bytes=5-"} if method == "RANGE" else {}
    request = Request("GET" if method == "RANGE" else method, "https://host/x", asked, "the file")
    return Response(raw, request, RetryPolicy())


@pytest.mark.parametrize(
    ("status", "absent", "transient"),
    [(200, False, False), (404, True, False), (410, True, False), (403, True, False), (401, False, False)]
    + [(status, False, True) for status in (408, 425, 429, 500, 503, 599)]
    + [(status, False, False) for status in (501, 505, 511, 400, 418)],
)
def test_a_status_is_absent_transient_or_final(status: int, absent: bool, transient: bool) -> None:
    found = respond(status)
    assert (found.is_absent, found.is_transient) == (absent, transient)
    if transient:
        with pytest.raises(TransientError, match=f"HTTP {status}"):
            found.raise_for_status()
    elif not absent and status != 200:
        with pytest.raises(Unavailable, match=f"the file: got HTTP {status}"):
            found.raise_for_status()
    else:
        found.raise_for_status()


def test_a_403_that_asks_for_credentials_is_not_absent() -> None:
    found = respond(403, WWW_Authenticate="Basic")
    assert not found.is_absent
    with pytest.raises(Unavailable, match="expected accepted credentials"):
        found.raise_for_status()


def test_a_range_and_a_head_request_have_their_own_statuses() -> None:
    for found in (respond(206, method="RANGE"), respond(416, method="RANGE"), respond(405, method="HEAD")):
        found.raise_for_status()
    for found in (respond(206), respond(405)):
        with pytest.raises(Unavailable):
            found.raise_for_status()


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ({"Content_Length": "5"}, 5),
        ({"Content_Length": "+5"}, None),
        ({"Content_Length": "5" * 30}, None),
        ({"Content_Length": "5", "Transfer_Encoding": "chunked"}, None),
        ({}, None),
    ],
)
def test_a_length_is_a_number_of_bytes(headers: dict[str, str], length: int | None) -> None:
    assert respond(**headers).length == length  # type: ignore[arg-type]


def test_a_file_without_a_length_or_with_a_coding_has_no_size() -> None:
    assert respond(Content_Length="7").require_length() == 7
    for found in (respond(), respond(Content_Length="7", Content_Encoding="gzip")):
        with pytest.raises(Unavailable, match="no Content-Length"):
            found.require_length()


@pytest.mark.parametrize(
    ("location", "target"),
    [("/y", "https://host/y"), ("https://user:hunter2@other/z", "https://other/z"), ("//other/", "https://other/")],
)
def test_a_redirect_leads_to_a_url_without_credentials(location: str, target: str) -> None:
    assert respond(302, Location=location).resolve_redirect("https://host/x") == target


@pytest.mark.parametrize("location", ["", "ftp://x/", "file:///etc/passwd", "http://host/", "https://user:hunter2@["])
def test_a_redirect_that_leads_elsewhere_is_refused(location: str) -> None:
    with pytest.raises(Unavailable, match="got a redirect to") as caught:
        respond(302, Location=location).resolve_redirect("https://host/x")
    assert "hunter2" not in str(caught.value)


def test_content_is_decoded() -> None:
    assert b"".join(respond(content=b"text").content()) == b"text"
    packed = gzip.compress(gzip.compress(b"text"))
    assert b"".join(respond(content=packed, Content_Encoding="gzip, x-gzip").content()) == b"text"


def test_content_that_cannot_be_decoded_is_an_error() -> None:
    with pytest.raises(FormatError, match="the file"):
        list(respond(content=b"no gzip", Content_Encoding="gzip").content())
    for coding in ("compress", "gzip, gzip, gzip"):
        with pytest.raises(Unavailable, match="Content-Encoding"):
            list(respond(Content_Encoding=coding).content())
