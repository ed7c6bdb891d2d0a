"""A cache in an S3 bucket is read and written: on a real server of the protocol, and on a scripted one."""

import random
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from tests.support.buckets import make_client, serve_buckets
from tests.support.examples import scale
from tests.support.fake_nix_store import run
from tests.support.s3_server import (
    ID,
    QUICK_POLICY,
    SECRET,
    TOKEN,
    S3Request,
    catch_error,
    check_signature,
    error_document,
    make_transport,
    serve_s3,
    transport_to,
    without_settings,
)

from lamina.errors import FormatError, InvalidArgument, NotFound, OutputError, Unavailable
from lamina.transports.retry import RetryPolicy, use_policy
from lamina.transports.s3 import S3Transport
from lamina.transports.s3_urls import BucketUrl

CONTENT = random.Random(1).randbytes(3 << 20)


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    without_settings(monkeypatch, tmp_path)
    return tmp_path


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """Start a server with a bucket that everyone may read and one that is private, and return its HOST:PORT."""
    with serve_buckets("cache", "public") as address:
        make_client(address).put_bucket_policy(Bucket="public", Policy=_PUBLIC)
        yield address


_PUBLIC = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",'
    ' "Resource": "arn:aws:s3:::public/*"}]}'
)


# --- against a server


def test_what_is_written_is_read(moto: str, keys: None) -> None:
    bucket = make_transport(moto)
    bucket.write("a.narinfo", b"hello")
    assert bucket.read("a.narinfo", 5) == b"hello"
    assert b"".join(bucket.stream("a.narinfo", 5)) == b"hello"
    assert bucket.size("a.narinfo") == 5
    assert make_client(moto).get_object(Bucket="cache", Key="prefix/a.narinfo")["Body"].read() == b"hello"
    bucket.write("a.narinfo", b"")
    assert bucket.read("a.narinfo", 0) == b""
    assert bucket.size("a.narinfo") == 0


def test_an_object_is_created_once(moto: str, keys: None) -> None:
    bucket = make_transport(moto)
    assert bucket.create("claims/a", b"first")
    assert not bucket.create("claims/a", b"second")
    assert bucket.read("claims/a", 9) == b"first"


@pytest.mark.parametrize("status", [409, 412])
def test_an_object_that_exists_is_not_created(keys: None, status: int) -> None:
    with serve_s3(lambda asked, number: asked.answer(status, error_document("PreconditionFailed"))) as server:
        assert not transport_to(server).create("a", b"a")
        with pytest.raises(OutputError, match=f"HTTP {status}"):
            transport_to(server).write("a", b"a")
    assert [headers.get("if-none-match") for _, _, headers in server.seen] == ["*", None]


def test_a_file_is_uploaded_in_parts(moto: str, keys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamina.transports.s3._PART_SIZE", 5 << 20)
    (tmp_path / "nar").write_bytes(CONTENT * 4)
    bucket = make_transport(moto)
    bucket.upload("nar/a.nar.xz", tmp_path / "nar")
    assert b"".join(bucket.stream("nar/a.nar.xz", len(CONTENT) * 4)) == CONTENT * 4
    assert make_client(moto).head_object(Bucket="cache", Key="prefix/nar/a.nar.xz")["ETag"].endswith('-3"')


def test_without_a_prefix_names_are_keys(moto: str, keys: None) -> None:
    make_transport(moto, "cache").write("nar/b", b"b")
    assert make_transport(moto, "cache/").read("nar/b", 1) == b"b"
    assert make_transport(moto, "cache/nar/").read("b", 1) == b"b"


@pytest.mark.parametrize("name", ["a?b=c", "a%20b", "a b", "ü", "a:b+c", "...", "a~b"])
def test_a_name_is_a_key_as_it_stands(moto: str, keys: None, name: str) -> None:
    make_transport(moto).write(name, name.encode())
    assert make_client(moto).get_object(Bucket="cache", Key=f"prefix/{name}")["Body"].read() == name.encode()
    assert make_transport(moto).read(name, 100) == name.encode()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.narinfo", "text/x-nix-narinfo"),
        ("nix-cache-info", "text/x-nix-cache-info"),
        ("a.ls", "application/json"),
        ("nar/a.nar.zst", "application/x-nix-nar"),
        ("log/a.drv", "application/octet-stream"),
    ],
)
def test_objects_say_what_they_are(moto: str, keys: None, name: str, kind: str) -> None:
    make_transport(moto).write(name, b"x")
    assert make_client(moto).head_object(Bucket="cache", Key=f"prefix/{name}")["ContentType"] == kind


def test_an_object_may_be_absent(moto: str, keys: None) -> None:
    bucket = make_transport(moto)
    assert bucket.read("none", 1) is None
    assert bucket.size("none") is None
    error = catch_error(NotFound, lambda: next(bucket.stream("none", 1)))
    assert str(error) == "s3://cache/prefix/none: got HTTP 404, expected the file"


def test_an_object_above_its_limit_is_refused(moto: str, keys: None) -> None:
    bucket = make_transport(moto)
    bucket.write("large", b"12345")
    for work in (lambda: bucket.read("large", 4), lambda: next(bucket.stream("large", 4))):
        error = catch_error(FormatError, work)
        assert re.fullmatch(r"s3://cache/prefix/large: got more than 4 B, expected a smaller file", str(error))


@pytest.mark.parametrize("name", ["", "..", "../x", "a//b", "/a", "a/", "a\0"])
def test_a_name_that_leads_elsewhere_is_refused(moto: str, keys: None, tmp_path: Path, name: str) -> None:
    bucket = make_transport(moto)
    (tmp_path / "x").write_bytes(b"")
    for work in (
        lambda: bucket.read(name, 1),
        lambda: bucket.size(name),
        lambda: bucket.write(name, b""),
        lambda: bucket.upload(name, tmp_path / "x"),
    ):
        catch_error(FormatError, work)


def test_a_missing_bucket_is_not_an_absent_object(moto: str, keys: None) -> None:
    error = catch_error(Unavailable, lambda: make_transport(moto, "nothing").read("x", 1))
    assert str(error) == "s3://nothing/x: got no such bucket, expected the object"
    error = catch_error(OutputError, lambda: make_transport(moto, "nothing").write("x", b""))
    assert str(error) == "s3://nothing/x: got no such bucket, expected to write the object"


def test_a_public_bucket_is_read_without_credentials(moto: str) -> None:
    make_client(moto).put_object(Bucket="public", Key="a", Body=b"a")
    assert make_transport(moto, "public").read("a", 1) == b"a"


def test_a_private_object_is_absent_without_credentials(moto: str, keys: None, monkeypatch: pytest.MonkeyPatch) -> None:
    make_transport(moto).write("secret", b"a")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert make_transport(moto).read("secret", 1) is None
    assert make_transport(moto).size("secret") is None


def test_many_threads_read_at_once(moto: str, keys: None) -> None:
    bucket = make_transport(moto)
    bucket.write("a", b"a" * 1000)
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda _: bucket.read("a", 1000), range(64))) == {b"a" * 1000}


def test_an_upload_of_a_missing_file_is_unavailable(moto: str, keys: None, tmp_path: Path) -> None:
    bucket = make_transport(moto)
    catch_error(Unavailable, lambda: bucket.upload("none", tmp_path / "none"))
    catch_error(Unavailable, lambda: bucket.upload("none", tmp_path))
    assert bucket.size("none") is None


# --- against error responses


@pytest.mark.parametrize("body", [b"", error_document("AccessDenied")])
def test_a_403_that_hides_whether_an_object_exists_means_absent(keys: None, body: bytes) -> None:
    with serve_s3(lambda asked, _: asked.answer(403, body)) as server:
        assert transport_to(server).read("x", 1) is None
        assert transport_to(server).size("x") is None
        error = catch_error(OutputError, lambda: transport_to(server).write("x", b""))
    assert "got HTTP 403" in str(error)
    assert "AWS_ACCESS_KEY_ID" in error.hint


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "InvalidAccessKeyId"),
        (403, "SignatureDoesNotMatch"),
        (403, "RequestTimeTooSkewed"),
        (400, "ExpiredToken"),
        (401, "Whatever"),
    ],
)
def test_wrong_credentials_are_an_error_and_do_not_mean_absent(keys: None, status: int, code: str) -> None:
    with serve_s3(lambda asked, _: asked.answer(status, error_document(code))) as server:
        for kind, work in (
            (Unavailable, lambda: transport_to(server).read("x", 1)),
            (OutputError, lambda: transport_to(server).write("x", b"")),
        ):
            error = catch_error(kind, work)
            assert f"s3://cache/prefix/x: got HTTP {status} ({code}), expected" in str(error)
            assert "AWS_ACCESS_KEY_ID" in error.hint
            assert "hunter3" not in str(error)


def test_a_busy_server_is_retried(keys: None) -> None:
    def script(asked: S3Request, number: int) -> None:
        asked.answer(503, error_document("SlowDown")) if number == 1 else asked.answer(200, b"x")

    with serve_s3(script) as server:
        assert transport_to(server).read("x", 1) == b"x"
        assert len(server.seen) == 2
        server.script = lambda asked, _: asked.answer(503, error_document("SlowDown"))
        error = catch_error(Unavailable, lambda: transport_to(server).read("x", 1))
    assert str(error) == "s3://cache/prefix/x: got HTTP 503 (SlowDown) 2 times in a row, expected the whole file"
    assert len(server.seen) == 4


def test_a_bucket_elsewhere_is_an_error_with_a_hint(keys: None) -> None:
    with serve_s3(lambda asked, _: asked.answer(301, error_document("PermanentRedirect"))) as server:
        error = catch_error(Unavailable, lambda: transport_to(server).read("x", 1))
    assert "got a redirect to another region" in str(error)
    assert "region=" in error.hint


def test_an_unreachable_server_is_an_error(keys: None) -> None:
    error = catch_error(Unavailable, lambda: make_transport("127.0.0.1:1").read("x", 1))
    assert str(error) == "s3://cache/prefix/x: got Connection refused 2 times in a row, expected the whole file"
    catch_error(OutputError, lambda: make_transport("127.0.0.1:1").write("x", b""))


def test_a_response_that_is_not_from_s3_is_an_error(keys: None) -> None:
    def script(asked: S3Request, number: int) -> None:
        asked.wfile.write(b"SSH-2.0-OpenSSH\r\n")

    with serve_s3(script) as server:
        error = catch_error(Unavailable, lambda: transport_to(server).read("x", 1))
    assert "s3://cache/prefix/x: got " in str(error)


def test_a_cut_object_is_resumed(keys: None) -> None:
    def script(asked: S3Request, number: int) -> None:
        if number == 1:
            asked.answer(200, CONTENT[: 1 << 20], len(CONTENT))
        else:
            start = int(asked.headers["Range"].removeprefix("bytes=").partition("-")[0])
            asked.answer(206, CONTENT[start:], Content_Range=f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")

    with serve_s3(script) as server:
        assert b"".join(transport_to(server).stream("x", len(CONTENT))) == CONTENT
    assert len(server.seen) == 2


def test_an_object_that_is_always_cut_is_an_error(keys: None) -> None:
    with serve_s3(lambda asked, _: asked.answer(200, b"x", 100)) as server:
        catch_error(Unavailable, lambda: transport_to(server).read("x", 100))


def test_a_server_that_trickles_is_too_slow(keys: None) -> None:
    def script(asked: S3Request, number: int) -> None:
        asked.answer(200, b"x", 5000)
        for _ in range(4000):
            asked.wfile.write(b"x")
            threading.Event().wait(0.002)

    policy = RetryPolicy(connect_timeout=1, read_timeout=1, rate_window=0.03, attempts=1)
    with serve_s3(script) as server:
        error = catch_error(Unavailable, lambda: transport_to(server, policy=policy).read("x", 5000))
    assert "in 0.03 seconds, which is less than" in str(error)


def test_a_silent_server_is_a_timeout(keys: None) -> None:
    hold = threading.Event()

    def script(asked: S3Request, number: int) -> None:
        hold.wait(5)

    with serve_s3(script) as server:
        error = catch_error(
            Unavailable, lambda: transport_to(server, policy=RetryPolicy(read_timeout=0.02, attempts=1)).read("x", 1)
        )
        hold.set()
    assert "nothing for 0.02 seconds" in str(error)


# --- secrets

SECRET_HEADERS = {"authorization", "x-amz-security-token"}


@pytest.fixture
def token(keys: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
@pytest.mark.parametrize("verb", ["read", "size", "write", "upload"])
def test_a_redirect_is_not_followed(token: None, tmp_path: Path, verb: str, status: int) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with serve_s3(lambda asked, _: asked.answer(200, b"x")) as other:
        location = f"http://localhost:{other.server_port}/{TOKEN}"
        with serve_s3(lambda asked, _: asked.answer(status, Location=location)) as server:
            bucket = transport_to(server)
            work: dict[str, Callable[[], object]] = {
                "read": lambda: bucket.read("x", 1),
                "size": lambda: bucket.size("x"),
                "write": lambda: bucket.write("x", b"x"),
                "upload": lambda: bucket.upload("x", tmp_path / "file"),
            }
            with pytest.raises((Unavailable, OutputError), match=r"expected (the object|to write the object)"):
                work[verb]()
            assert {*server.seen[0][2]} > SECRET_HEADERS
        assert other.seen == []


def test_a_region_that_the_server_names_is_in_the_hint(keys: None) -> None:
    with serve_s3(lambda asked, _: asked.answer(301, x_amz_bucket_region="eu-west-3")) as server:
        assert "region=eu-west-3" in catch_error(Unavailable, lambda: transport_to(server).read("x", 1)).hint


def test_a_traceback_says_no_secret(token: None, home: Path) -> None:
    """`--debug` prints a traceback with the text of every error in the chain."""
    scripts: list[Callable[[S3Request, int], object]] = [
        lambda asked, _: asked.answer(403, error_document("InvalidAccessKeyId") + f"{TOKEN}{SECRET}".encode()),
        lambda asked, _: asked.answer(500, f"{TOKEN}".encode(), X_Echo=TOKEN),
        lambda asked, _: asked.answer(302, Location=f"http://{ID}:{SECRET}@localhost:1/?t={TOKEN}"),
        lambda asked, _: asked.wfile.write(f"HTTP/1.1 {TOKEN}\r\n\r\n".encode()),
        lambda asked, _: asked.wfile.write(f"{TOKEN}\r\n\r\n".encode()),
        lambda asked, _: asked.answer(200, b"x", 100),
    ]
    for script in scripts:
        with serve_s3(script) as server:
            url = f"s3://cache?endpoint=127.0.0.1:{server.server_port}&scheme=http"
            root = "/nix/store/" + "0" * 32 + "-x"
            with use_policy(QUICK_POLICY):
                ran = run("store", "fetch", root, "--store", url, "--debug", "--to", home / "store")
        assert ran.code != 0


# --- signatures


@pytest.mark.parametrize("name", ["nar/a.nar.xz", "a?b=c", "a%20b", "a b", "ü", "a:b+c", "a~b"])
def test_requests_are_signed_as_they_are_sent(token: None, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"file")
    with serve_s3(lambda asked, _: asked.answer(200, b"x")) as server:
        bucket = transport_to(server)
        bucket.read(name, 1)
        bucket.size(name)
        bucket.write(name, b"some data")
        bucket.write(name, b"")
        bucket.upload(name, tmp_path / "file")
        assert [method for method, *_ in server.seen] == ["GET", "HEAD", "PUT", "PUT", "PUT"]
        for request, body in zip(server.seen, server.bodies, strict=True):
            check_signature(request, body)


def test_any_name_in_any_folder_is_signed_as_it_is_sent(token: None) -> None:
    draw = random.Random(2)
    with serve_s3(lambda asked, _: asked.answer(404)) as server:
        for _ in range(scale(60)):
            name, folder = ("".join(draw.choices("aZ0 %+&=?#~*'()!,:;@$[]|\\^`\"<>{}üß漢😀-_.", k=9)) for _ in range(2))
            port = f"127.0.0.1:{server.server_port}"
            assert (
                make_transport(port, f"cache/a{quote(folder, safe='')}", "&region=eu-west-3").read(f"a{name}", 1)
                is None
            )
            assert unquote(server.seen[-1][1]) == f"/cache/a{folder}/a{name}"
            check_signature(server.seen[-1], b"")


def test_the_rest_of_an_object_and_its_parts_are_signed_too(
    token: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(asked: S3Request, number: int) -> None:
        end = len(CONTENT) - 1
        if asked.path.endswith("?uploads="):
            asked.answer(200, b"<X><UploadId>a/b+c d</UploadId></X>")
        elif "Range" in asked.headers:
            start = int(asked.headers["Range"].removeprefix("bytes=").partition("-")[0])
            asked.answer(206, CONTENT[start:], Content_Range=f"bytes {start}-{end}/{len(CONTENT)}")
        elif asked.command == "GET":
            asked.answer(200, CONTENT[: 1 << 20], len(CONTENT))
        else:
            asked.answer(200)

    monkeypatch.setattr("lamina.transports.s3._PART_SIZE", 1000)
    (tmp_path / "nar").write_bytes(bytes(2500))
    with serve_s3(script) as server:
        assert b"".join(transport_to(server).stream("x", len(CONTENT))) == CONTENT
        assert "range" in server.seen[-1][2]
        transport_to(server).upload("x", tmp_path / "nar")
        assert [method for method, *_ in server.seen] == ["GET", "GET", "POST", "PUT", "PUT", "PUT", "POST"]
        for request, body in zip(server.seen, server.bodies, strict=True):
            check_signature(request, body)


def test_a_request_is_sent_to_the_host_that_is_signed(keys: None) -> None:
    with serve_s3(lambda asked, _: asked.answer(404)) as server:
        transport_to(server).read("x", 1)
        make_transport(f"LOCALHOST:{server.server_port}").read("x", 1)
        assert server.seen[0][2]["host"] == f"127.0.0.1:{server.server_port}"
        assert server.seen[1][2]["host"] == f"localhost:{server.server_port}"
        for request in server.seen:
            check_signature(request, b"")


# --- uploads in parts


class Parts:
    """A server that accepts parts, and fails the requests that ``fails`` selects."""

    def __init__(self, fails: Callable[[S3Request], tuple[int, bytes] | None]) -> None:
        self.fails = fails
        self.asked: list[str] = []

    def __call__(self, asked: S3Request, number: int) -> None:
        query = asked.path.partition("?")[2].partition("=")[0]
        self.asked.append(f"{asked.command} {query}")
        failure = self.fails(asked)
        if failure:
            asked.answer(*failure)
        elif asked.command == "POST" and query == "uploads":
            asked.answer(200, b"<X><UploadId>a/b+c</UploadId></X>")
        else:
            asked.answer(200, b"<Y/>")


@pytest.mark.parametrize(
    ("which", "failure", "last"),
    [
        ("PUT partNumber", (403, error_document("AccessDenied")), "DELETE uploadId"),
        ("POST uploadId", (200, error_document("InternalError")), "DELETE uploadId"),
        ("POST uploadId", (500, b""), "DELETE uploadId"),
        ("POST uploads", (200, b"<X></X>"), "POST uploads"),
        ("POST uploads", (403, b""), "POST uploads"),
    ],
)
def test_an_upload_that_fails_leaves_no_parts(
    keys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str, failure: tuple[int, bytes], last: str
) -> None:
    monkeypatch.setattr("lamina.transports.s3._PART_SIZE", 1000)
    (tmp_path / "nar").write_bytes(bytes(3500))
    parts = Parts(lambda asked: failure if parts.asked[-1] == which else None)
    with serve_s3(parts) as server:
        catch_error(OutputError, lambda: transport_to(server).upload("x", tmp_path / "nar"))
    assert parts.asked[-1] == last


def test_a_part_is_sent_again(keys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamina.transports.s3._PART_SIZE", 1000)
    (tmp_path / "nar").write_bytes(bytes(3500))
    parts = Parts(lambda asked: (503, error_document("SlowDown")) if parts.asked.count(parts.asked[-1]) == 1 else None)
    with serve_s3(parts) as server:
        transport_to(server).upload("x", tmp_path / "nar")
    assert parts.asked.count("PUT partNumber") == 5
    assert parts.asked[-1] == "POST uploadId"


def test_a_cut_response_without_an_etag_is_requested_again(keys: None) -> None:
    def script(asked: S3Request, number: int) -> None:
        if number == 1:
            asked.answer(200, CONTENT[: 1 << 20], len(CONTENT), ETag="", Last_Modified="")
        else:
            asked.answer(200, CONTENT, ETag="", Last_Modified="")

    with serve_s3(script) as server:
        assert b"".join(transport_to(server).stream("x", len(CONTENT))) == CONTENT
        assert transport_to(server).read("x", len(CONTENT)) == CONTENT


# --- URLs


@pytest.mark.parametrize("style", ["", "&addressing-style=auto", "&addressing-style=path"])
def test_an_endpoint_is_asked_by_path(keys: None, style: str) -> None:
    with serve_s3(lambda asked, _: asked.answer(404)) as server:
        transport_to(server, style).read("x", 1)
    assert server.seen[0][1] == "/cache/prefix/x"


ROOTS = {
    "s3://cache": "https://cache.s3.us-east-1.amazonaws.com",
    "s3://cache?region=cn-north-1": "https://cache.s3.cn-north-1.amazonaws.com.cn",
    "s3://cache.example.org?region=eu-west-1": "https://s3.eu-west-1.amazonaws.com/cache.example.org",
    "s3://cache?scheme=http&region=eu-west-1": "http://s3.eu-west-1.amazonaws.com/cache",
    "s3://cache?endpoint=host:1": "https://host:1/cache",
    "s3://cache?endpoint=host:1&addressing-style=virtual": "https://cache.host:1",
    "s3://cache?addressing-style=path": "https://s3.us-east-1.amazonaws.com/cache",
}


@pytest.mark.parametrize("url", ROOTS)
def test_a_bucket_is_asked_by_host_or_by_path(url: str) -> None:
    parsed = BucketUrl.parse(url)
    assert parsed.build_root_url(parsed.endpoint, parsed.region or "us-east-1") == ROOTS[url]


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_an_endpoint_may_be_in_the_environment(keys: None, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    with serve_s3(lambda asked, _: asked.answer(404)) as server:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{server.server_port}/")
        S3Transport("s3://cache", QUICK_POLICY).read("x", 1)
    assert server.seen[0][1] == "/cache/x"


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:{}", "http%3A%2F%2F127.0.0.1%3A{}/"])
def test_an_endpoint_may_be_a_url(keys: None, endpoint: str) -> None:
    with serve_s3(lambda asked, _: asked.answer(404)) as server:
        S3Transport(f"s3://cache?endpoint={endpoint.format(server.server_port)}", QUICK_POLICY).read("x", 1)
    assert server.seen[0][1] == "/cache/x"


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3:///x",
        "s3:bucket",
        "s3://user:hunter2@bucket",
        "s3://bucket:1",
        "s3://bucket/a/../b",
        "s3://bucket/a//b",
        "s3://bucket#x",
        "s3://bucket?endpont=x",
        "s3://bucket?scheme=ftp",
        "s3://bucket?addressing-style=x",
        "s3://bucket?endpoint=ftp://host",
        "s3://bucket?endpoint=http://user:hunter2@host",
        "s3://bucket?endpoint=http://host?hunter2",
        "s3://bucket?endpoint=host:99999",
    ],
)
def test_an_invalid_url_is_refused(url: str) -> None:
    assert str(catch_error(InvalidArgument, lambda: S3Transport(url, QUICK_POLICY))).startswith("cache s3:")


def test_settings_of_nix_are_ignored(moto: str, keys: None) -> None:
    assert make_transport(moto, more="&compression=zstd&parallel-compression=true&secret-key=/x").size("none") is None
