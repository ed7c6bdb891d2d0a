"""A cache in a bucket: a real server of S3's protocol, and one that is scripted, on loopback."""

import http.server
import json
import os
import random
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from moto.server import ThreadedMotoServer
from tests.fakestore import run

from lamina import __version__
from lamina.errors import Error, FormatError, InvalidName, NotFound, OutputError, Unavailable
from lamina.transports import opening, profiles
from lamina.transports.buckets import BucketUrl
from lamina.transports.machinekeys import MachineKeys
from lamina.transports.patience import Patience
from lamina.transports.s3 import S3Transport
from lamina.transports.signing import signed_headers

ID, SECRET, TOKEN = "AKIDEXAMPLE", "hunter2secret", "hunter2token"
CONTENT = random.Random(1).randbytes(3 << 20)
IMPATIENT = Patience(connect=1, read=1, window=5, attempts=2, pause=0.001, longest=0.002)


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Nothing of the machine's own settings."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name in ("NIX_SSL_CERT_FILE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(profiles, "_MACHINE", tmp_path / "sys_vendor")
    return tmp_path


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """HOST:PORT of a server with a bucket that is public to read, and one that is not."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = _client(f"{host}:{port}")
    client.create_bucket(Bucket="cache")
    client.create_bucket(Bucket="public")
    client.put_bucket_policy(Bucket="public", Policy=_PUBLIC)
    yield f"{host}:{port}"
    server.stop()


_PUBLIC = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",'
    ' "Resource": "arn:aws:s3:::public/*"}]}'
)


def _client(address: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=f"http://{address}",
        aws_access_key_id=ID,
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )


def cache(address: str, place: str = "cache/prefix", more: str = "", patience: Patience = IMPATIENT) -> S3Transport:
    return S3Transport(f"s3://{place}?endpoint={address}&scheme=http{more}", patience)


def refusal(kind: type[Error], work: Callable[[], object]) -> Error:
    """The error that ``work`` ends in; neither it nor what it came from says a secret."""
    with pytest.raises(kind) as caught:
        work()
    error: BaseException | None = caught.value
    said = caught.value.hint
    while error is not None:
        said += f"{error} {error!r}"
        error = error.__cause__
    assert "hunter2" not in said
    return caught.value


# --- against a server


def test_what_is_written_is_read(moto: str, keys: None) -> None:
    bucket = cache(moto)
    bucket.write("a.narinfo", b"hello")
    assert bucket.read("a.narinfo", 5) == b"hello"
    assert b"".join(bucket.stream("a.narinfo", 5)) == b"hello"
    assert bucket.size("a.narinfo") == 5
    assert _client(moto).get_object(Bucket="cache", Key="prefix/a.narinfo")["Body"].read() == b"hello"
    bucket.write("a.narinfo", b"")
    assert bucket.read("a.narinfo", 0) == b""
    assert bucket.size("a.narinfo") == 0


def test_a_file_is_uploaded_in_parts(moto: str, keys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamina.transports.s3._PART", 5 << 20)
    (tmp_path / "nar").write_bytes(CONTENT * 4)
    bucket = cache(moto)
    bucket.upload("nar/a.nar.xz", tmp_path / "nar")
    assert b"".join(bucket.stream("nar/a.nar.xz", len(CONTENT) * 4)) == CONTENT * 4
    assert _client(moto).head_object(Bucket="cache", Key="prefix/nar/a.nar.xz")["ETag"].endswith('-3"')


def test_without_a_prefix_names_are_keys(moto: str, keys: None) -> None:
    cache(moto, "cache").write("nar/b", b"b")
    assert cache(moto, "cache/").read("nar/b", 1) == b"b"
    assert cache(moto, "cache/nar/").read("b", 1) == b"b"


@pytest.mark.parametrize("name", ["a?b=c", "a%20b", "a b", "ü", "a:b+c", "...", "a~b"])
def test_a_name_is_a_key_as_it_stands(moto: str, keys: None, name: str) -> None:
    cache(moto).write(name, name.encode())
    assert _client(moto).get_object(Bucket="cache", Key=f"prefix/{name}")["Body"].read() == name.encode()
    assert cache(moto).read(name, 100) == name.encode()


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
    cache(moto).write(name, b"x")
    assert _client(moto).head_object(Bucket="cache", Key=f"prefix/{name}")["ContentType"] == kind


def test_an_object_may_be_absent(moto: str, keys: None) -> None:
    bucket = cache(moto)
    assert bucket.read("none", 1) is None
    assert bucket.size("none") is None
    error = refusal(NotFound, lambda: next(bucket.stream("none", 1)))
    assert str(error) == "s3://cache/prefix/none: got HTTP 404, expected the file"


def test_an_object_above_its_limit_is_refused(moto: str, keys: None) -> None:
    bucket = cache(moto)
    bucket.write("large", b"12345")
    for work in (lambda: bucket.read("large", 4), lambda: next(bucket.stream("large", 4))):
        error = refusal(FormatError, work)
        assert re.fullmatch(r"s3://cache/prefix/large: got .*bytes, expected at most (4|that many)", str(error))


@pytest.mark.parametrize("name", ["", "..", "../x", "a//b", "/a", "a/", "a\0"])
def test_a_name_that_leads_elsewhere_is_refused(moto: str, keys: None, tmp_path: Path, name: str) -> None:
    bucket = cache(moto)
    (tmp_path / "x").write_bytes(b"")
    for work in (
        lambda: bucket.read(name, 1),
        lambda: bucket.size(name),
        lambda: bucket.write(name, b""),
        lambda: bucket.upload(name, tmp_path / "x"),
    ):
        refusal(FormatError, work)


def test_a_bucket_that_is_not_there_is_no_absent_object(moto: str, keys: None) -> None:
    error = refusal(Unavailable, lambda: cache(moto, "nothing").read("x", 1))
    assert str(error) == "s3://nothing/x: got no such bucket, expected the object"
    error = refusal(OutputError, lambda: cache(moto, "nothing").write("x", b""))
    assert str(error) == "s3://nothing/x: got no such bucket, expected to write it"


def test_nobody_reads_what_is_public(moto: str) -> None:
    _client(moto).put_object(Bucket="public", Key="a", Body=b"a")
    assert cache(moto, "public").read("a", 1) == b"a"


def test_what_nobody_may_see_is_absent(moto: str, keys: None, monkeypatch: pytest.MonkeyPatch) -> None:
    cache(moto).write("secret", b"a")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert cache(moto).read("secret", 1) is None
    assert cache(moto).size("secret") is None


def test_many_threads_read_at_once(moto: str, keys: None) -> None:
    bucket = cache(moto)
    bucket.write("a", b"a" * 1000)
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda _: bucket.read("a", 1000), range(64))) == {b"a" * 1000}


def test_an_upload_of_nothing_is_unavailable(moto: str, keys: None, tmp_path: Path) -> None:
    bucket = cache(moto)
    refusal(Unavailable, lambda: bucket.upload("none", tmp_path / "none"))
    refusal(Unavailable, lambda: bucket.upload("none", tmp_path))
    assert bucket.size("none") is None


# --- against what a server may say


class Bucket(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, script: Callable[["Asked", int], object]) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.script = script
        self.seen: list[tuple[str, str, dict[str, str]]] = []

    def handle_error(self, *arguments: object) -> None:
        pass  # the client hung up


class Asked(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Bucket

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.rfile.read(int(headers.get("content-length", "0")))
        self.server.seen.append((self.command, self.path, headers))
        self.server.script(self, len(self.server.seen))

    do_PUT = do_HEAD = do_POST = do_DELETE = do_GET  # noqa: N815 - the names are the library's

    def answer(self, status: int, content: bytes = b"", length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        length = len(content) if length is None else length
        said = {"Content-Length": str(length), "ETag": '"one"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
        for name, value in (said | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
            self.close_connection = length != len(content)

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def scripted(script: Callable[[Asked, int], object]) -> Iterator[Bucket]:
    with Bucket(script) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def at(server: Bucket, more: str = "", patience: Patience = IMPATIENT) -> S3Transport:
    return cache(f"127.0.0.1:{server.server_port}", more=more, patience=patience)


def said(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>hunter3</Message></Error>".encode()


@pytest.mark.parametrize("body", [b"", said("AccessDenied")])
def test_a_refusal_that_hides_whether_there_is_something_is_absence(keys: None, body: bytes) -> None:
    with scripted(lambda asked, _: asked.answer(403, body)) as server:
        assert at(server).read("x", 1) is None
        assert at(server).size("x") is None
        error = refusal(OutputError, lambda: at(server).write("x", b""))
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
def test_credentials_that_are_wrong_are_no_absence(keys: None, status: int, code: str) -> None:
    with scripted(lambda asked, _: asked.answer(status, said(code))) as server:
        for kind, work in (
            (Unavailable, lambda: at(server).read("x", 1)),
            (OutputError, lambda: at(server).write("x", b"")),
        ):
            error = refusal(kind, work)
            assert f"s3://cache/prefix/x: got HTTP {status} ({code}), expected" in str(error)
            assert "AWS_ACCESS_KEY_ID" in error.hint
            assert "hunter3" not in str(error)


def test_a_server_that_is_busy_is_asked_again(keys: None) -> None:
    def script(asked: Asked, number: int) -> None:
        asked.answer(503, said("SlowDown")) if number == 1 else asked.answer(200, b"x")

    with scripted(script) as server:
        assert at(server).read("x", 1) == b"x"
        assert len(server.seen) == 2
        server.script = lambda asked, _: asked.answer(503, said("SlowDown"))
        error = refusal(Unavailable, lambda: at(server).read("x", 1))
    assert str(error) == "s3://cache/prefix/x: got HTTP 503 (SlowDown) 2 times in a row, expected the whole file"
    assert len(server.seen) == 4


def test_a_bucket_elsewhere_is_an_error_with_a_hint(keys: None) -> None:
    with scripted(lambda asked, _: asked.answer(301, said("PermanentRedirect"))) as server:
        error = refusal(Unavailable, lambda: at(server).read("x", 1))
    assert "got a redirect to another region" in str(error)
    assert "region=" in error.hint


def test_nobody_there_is_an_error(keys: None) -> None:
    error = refusal(Unavailable, lambda: cache("127.0.0.1:1").read("x", 1))
    assert str(error) == "s3://cache/prefix/x: got Connection refused 2 times in a row, expected the whole file"
    refusal(OutputError, lambda: cache("127.0.0.1:1").write("x", b""))


def test_an_answer_that_is_not_s3s_is_an_error(keys: None) -> None:
    def script(asked: Asked, number: int) -> None:
        asked.wfile.write(b"SSH-2.0-OpenSSH\r\n")

    with scripted(script) as server:
        error = refusal(Unavailable, lambda: at(server).read("x", 1))
    assert "s3://cache/prefix/x: got " in str(error)


def test_a_cut_object_goes_on_from_there(keys: None) -> None:
    def script(asked: Asked, number: int) -> None:
        if number == 1:
            asked.answer(200, CONTENT[: 1 << 20], len(CONTENT))
        else:
            start = int(asked.headers["Range"].removeprefix("bytes=").partition("-")[0])
            asked.answer(206, CONTENT[start:], Content_Range=f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")

    with scripted(script) as server:
        assert b"".join(at(server).stream("x", len(CONTENT))) == CONTENT
    assert len(server.seen) == 2


def test_an_object_that_is_cut_for_ever_is_an_error(keys: None) -> None:
    with scripted(lambda asked, _: asked.answer(200, b"x", 100)) as server:
        refusal(Unavailable, lambda: at(server).read("x", 100))


def test_a_server_that_trickles_is_not_waited_for(keys: None) -> None:
    def script(asked: Asked, number: int) -> None:
        asked.answer(200, b"x", 5000)
        for _ in range(4000):
            asked.wfile.write(b"x")
            threading.Event().wait(0.002)

    patience = Patience(connect=1, read=1, window=0.03, attempts=1)
    with scripted(script) as server:
        error = refusal(Unavailable, lambda: at(server, patience=patience).read("x", 5000))
    assert "in 0.03 seconds, which are less than" in str(error)


def test_a_server_that_says_nothing_is_not_waited_for(keys: None) -> None:
    hold = threading.Event()

    def script(asked: Asked, number: int) -> None:
        hold.wait(5)

    with scripted(script) as server:
        error = refusal(Unavailable, lambda: at(server, patience=Patience(read=0.02, attempts=1)).read("x", 1))
        hold.set()
    assert "nothing for 0.02 seconds" in str(error)


# --- where secrets go

SECRET_HEADERS = {"authorization", "x-amz-security-token"}


@pytest.fixture
def token(keys: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
@pytest.mark.parametrize("verb", ["read", "size", "write", "upload"])
def test_a_redirect_is_not_followed(token: None, tmp_path: Path, verb: str, status: int) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with scripted(lambda asked, _: asked.answer(200, b"x")) as other:
        location = f"http://localhost:{other.server_port}/{TOKEN}"
        with scripted(lambda asked, _: asked.answer(status, Location=location)) as server:
            bucket = at(server)
            work: dict[str, Callable[[], object]] = {
                "read": lambda: bucket.read("x", 1),
                "size": lambda: bucket.size("x"),
                "write": lambda: bucket.write("x", b"x"),
                "upload": lambda: bucket.upload("x", tmp_path / "file"),
            }
            with pytest.raises((Unavailable, OutputError), match=r"expected (the object|to write it)"):
                work[verb]()
            assert {*server.seen[0][2]} > SECRET_HEADERS
        assert other.seen == []


def test_a_region_that_the_server_names_is_in_the_hint(keys: None) -> None:
    with scripted(lambda asked, _: asked.answer(301, x_amz_bucket_region="eu-west-3")) as server:
        assert "region=eu-west-3" in refusal(Unavailable, lambda: at(server).read("x", 1)).hint


def test_a_traceback_says_no_secret(token: None, home: Path) -> None:
    """What `--debug` prints of it: every error that it came from, with all that is said there."""
    scripts: list[Callable[[Asked, int], object]] = [
        lambda asked, _: asked.answer(403, said("InvalidAccessKeyId") + f"{TOKEN}{SECRET}".encode()),
        lambda asked, _: asked.answer(500, f"{TOKEN}".encode(), X_Echo=TOKEN),
        lambda asked, _: asked.answer(302, Location=f"http://{ID}:{SECRET}@localhost:1/?t={TOKEN}"),
        lambda asked, _: asked.wfile.write(f"HTTP/1.1 {TOKEN}\r\n\r\n".encode()),
        lambda asked, _: asked.wfile.write(f"{TOKEN}\r\n\r\n".encode()),
        lambda asked, _: asked.answer(200, b"x", 100),
    ]
    for script in scripts:
        with scripted(script) as server:
            url = f"s3://cache?endpoint=127.0.0.1:{server.server_port}&scheme=http"
            root = "/nix/store/" + "0" * 32 + "-x"
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(opening.open_transport, "__defaults__", (IMPATIENT,))
                ran = run("store", "fetch", root, "--store", url, "--debug", "--store", home / "store")
        assert ran.code != 0
        assert "Traceback" in ran.stderr
        assert "hunter2" not in ran.stderr


@pytest.mark.parametrize(
    ("query", "signature"),
    [
        ("lifecycle=", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)
def test_signatures_are_those_of_amazons_examples(query: str, signature: str) -> None:
    """S3 API reference, "Signature Calculations for the Authorization Header: Examples"."""
    example = profiles.Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "")
    url = f"https://examplebucket.s3.amazonaws.com/?{query}"
    made = signed_headers("GET", url, b"", example, "us-east-1", datetime(2013, 5, 24, tzinfo=UTC))
    assert made["Authorization"].endswith(f"Signature={signature}")


# --- what is large


class Parts:
    """A server that takes parts, and fails where ``fails`` says so."""

    def __init__(self, fails: Callable[[Asked], tuple[int, bytes] | None]) -> None:
        self.fails = fails
        self.asked: list[str] = []

    def __call__(self, asked: Asked, number: int) -> None:
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
        ("PUT partNumber", (403, said("AccessDenied")), "DELETE uploadId"),
        ("POST uploadId", (200, said("InternalError")), "DELETE uploadId"),
        ("POST uploadId", (500, b""), "DELETE uploadId"),
        ("POST uploads", (200, b"<X></X>"), "POST uploads"),
        ("POST uploads", (403, b""), "POST uploads"),
    ],
)
def test_an_upload_that_fails_leaves_no_parts(
    keys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str, failure: tuple[int, bytes], last: str
) -> None:
    monkeypatch.setattr("lamina.transports.s3._PART", 1000)
    (tmp_path / "nar").write_bytes(bytes(3500))
    parts = Parts(lambda asked: failure if parts.asked[-1] == which else None)
    with scripted(parts) as server:
        refusal(OutputError, lambda: at(server).upload("x", tmp_path / "nar"))
    assert parts.asked[-1] == last


def test_a_part_is_sent_again(keys: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamina.transports.s3._PART", 1000)
    (tmp_path / "nar").write_bytes(bytes(3500))
    parts = Parts(lambda asked: (503, said("SlowDown")) if parts.asked.count(parts.asked[-1]) == 1 else None)
    with scripted(parts) as server:
        at(server).upload("x", tmp_path / "nar")
    assert parts.asked.count("PUT partNumber") == 5
    assert parts.asked[-1] == "POST uploadId"


def test_an_answer_without_an_etag_that_is_cut_is_asked_for_again(keys: None) -> None:
    def script(asked: Asked, number: int) -> None:
        if number == 1:
            asked.answer(200, CONTENT[: 1 << 20], len(CONTENT), ETag="", Last_Modified="")
        else:
            asked.answer(200, CONTENT, ETag="", Last_Modified="")

    with scripted(script) as server:
        assert b"".join(at(server).stream("x", len(CONTENT))) == CONTENT
        assert at(server).read("x", len(CONTENT)) == CONTENT


# --- who we are


def keys_document(until: str) -> bytes:
    return json.dumps({"AccessKeyId": "M", "SecretAccessKey": SECRET, "Token": TOKEN, "Expiration": until}).encode()


def machine(home: Path, address: str) -> dict[str, dict[str, str]]:
    """The environments in which a machine gives keys."""
    (home / "token").write_text(TOKEN)
    return {
        "container": {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{address}/c",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": TOKEN,
        },
        "container with a file": {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{address}/c",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(home / "token"),
        },
        "instance": {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{address}"},
        "web identity": {
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(home / "token"),
            "AWS_ENDPOINT_URL_STS": f"http://{address}",
            "AWS_ROLE_ARN": "arn:aws:iam::1:role/x",
        },
    }


def give_keys(until: str) -> Callable[[Asked, int], None]:
    """A machine's services, and a bucket."""

    def script(asked: Asked, number: int) -> None:
        headers = asked.server.seen[number - 1][2]
        if asked.path == "/c" and headers.get("authorization") == TOKEN:
            asked.answer(200, keys_document(until))
        elif asked.path == "/latest/api/token" and asked.command == "PUT":
            asked.answer(200, b"session")
        elif asked.path.endswith("/security-credentials/") and headers.get("x-aws-ec2-metadata-token") == "session":
            asked.answer(200, b"role")
        elif asked.path.endswith("/security-credentials/role"):
            asked.answer(200, keys_document(until))
        elif asked.command == "POST":
            pairs = {"AccessKeyId": "M", "SecretAccessKey": SECRET, "SessionToken": TOKEN, "Expiration": until}
            asked.answer(200, "".join(f"<{name}>{value}</{name}>" for name, value in pairs.items()).encode())
        else:
            asked.answer(404)

    return script


@pytest.mark.parametrize("name", ["container", "container with a file", "instance", "web identity"])
def test_a_machine_gives_keys(home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (home / "sys_vendor").write_text("Amazon EC2\n")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    for until, times in (("2999-01-01T00:00:00Z", 1), ("2001-01-01T00:00:00Z", 2), ("soon", 1)):
        with scripted(give_keys(until)) as server:
            for variable, value in machine(home, f"127.0.0.1:{server.server_port}")[name].items():
                monkeypatch.setenv(variable, value)
            source = MachineKeys("us-east-1", IMPATIENT)
            assert source.keys() == source.keys() == profiles.Keys("M", SECRET, TOKEN)
            assert len(server.seen) == (3 if name == "instance" else 1) * times


@pytest.mark.parametrize("name", ["container", "instance", "web identity"])
@pytest.mark.parametrize(
    "answer",
    [
        (200, b""),
        (200, b"{}"),
        (200, b"[]"),
        (200, TOKEN.encode()),
        (200, b'{"AccessKeyId": 1, "SecretAccessKey": [], "Token": {}}'),
        (200, b"[" * 10_000),
        (200, b"x" * 100_000),
        (302, b""),
        (403, TOKEN.encode()),
        (500, b""),
    ],
)
def test_a_machine_that_gives_none_is_an_error(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, answer: tuple[int, bytes]
) -> None:
    with scripted(lambda asked, _: asked.answer(*answer)) as server:
        for variable, value in machine(home, f"127.0.0.1:{server.server_port}")[name].items():
            monkeypatch.setenv(variable, value)
        error = refusal(Unavailable, MachineKeys("us-east-1", IMPATIENT).keys)
    assert str(error).startswith("AWS credentials of this machine: got ")


def test_a_containers_keys_come_from_no_other_machine_without_encryption(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://cache.example/c")
    refusal(Unavailable, MachineKeys("us-east-1", IMPATIENT).keys)


def who(server: Bucket, more: str = "") -> tuple[str, str]:
    """The key and region that a request is signed with, and its token."""
    at(server, more).read("x", 1)
    headers = server.seen[-1][2]
    signed = headers.get("authorization", "").partition("Credential=")[2].split("/")
    return (f"{signed[0]} {signed[2]}" if len(signed) > 2 else "", headers.get("x-amz-security-token", ""))


def test_keys_come_from_where_others_look_for_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(lambda asked, _: asked.answer(404)) as server:
        assert who(server) == ("", "")
        (home / ".aws").mkdir()
        (home / ".aws/credentials").write_text(
            f"[default]\naws_access_key_id = D\naws_secret_access_key = {SECRET}%\n"
            f"[other]\naws_access_key_id = O\naws_secret_access_key = {SECRET}\naws_session_token = {TOKEN}\n"
        )
        (home / ".aws/config").write_text(
            f"[profile other]\nregion = eu-west-3\n"
            f"[profile third]\naws_access_key_id = T\naws_secret_access_key = {SECRET}\n"
        )
        assert who(server) == ("D us-east-1", "")
        assert who(server, "&profile=other") == ("O eu-west-3", TOKEN)
        assert who(server, "&profile=other&region=eu-west-2") == ("O eu-west-2", TOKEN)
        monkeypatch.setenv("AWS_PROFILE", "third")
        assert who(server) == ("T us-east-1", "")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        assert who(server) == (f"{ID} us-east-1", "")
        monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "sa-east-1")
        assert who(server) == (f"{ID} sa-east-1", TOKEN)
        assert who(server, "&profile=third") == ("T sa-east-1", "")
        assert all(headers["user-agent"] == f"lamina/{__version__}" for *_, headers in server.seen)


def test_files_of_profiles_may_be_elsewhere(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "keys").write_text(f"[x]\naws_access_key_id = X\naws_secret_access_key = {SECRET}\n")
    (home / "conf").write_text("[profile x]\nregion = eu-west-3\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "keys"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / "conf"))
    with scripted(lambda asked, _: asked.answer(404)) as server:
        assert who(server, "&profile=x") == ("X eu-west-3", "")


def test_a_profile_that_is_named_has_to_be_there(home: Path) -> None:
    error = refusal(InvalidName, lambda: cache("127.0.0.1:1", more="&profile=x"))
    assert str(error) == f"profile 'x': got none of that name, expected one in {home}/.aws/credentials"


def test_a_profile_without_keys_says_how_to_get_some(home: Path) -> None:
    (home / ".aws").mkdir()
    (home / ".aws/config").write_text("[profile x]\nsso_session = hunter2\n")
    error = refusal(Unavailable, lambda: cache("127.0.0.1:1", more="&profile=x"))
    assert "aws configure export-credentials --profile x" in error.hint


@pytest.mark.parametrize("content", [b"hunter2\n", b"[default\nhunter2 = 1", b"\xff hunter2"])
def test_a_broken_file_of_profiles_is_named_and_not_shown(home: Path, content: bytes) -> None:
    (home / ".aws").mkdir()
    (home / ".aws/credentials").write_bytes(content)
    error = refusal(Unavailable, lambda: cache("127.0.0.1:1"))
    assert str(error).startswith(f"{home}/.aws/credentials: got ")


@pytest.mark.parametrize(
    ("vendor", "environment", "is_nobody"),
    [
        ("Amazon EC2\n", {}, False),
        ("Amazon EC2\n", {"AWS_EC2_METADATA_DISABLED": "true"}, True),
        ("QEMU\n", {}, True),
        ("QEMU\n", {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/x"}, False),
        ("QEMU\n", {"AWS_WEB_IDENTITY_TOKEN_FILE": "/x"}, False),
    ],
)
def test_only_machines_of_amazon_are_asked_for_keys(
    home: Path, monkeypatch: pytest.MonkeyPatch, vendor: str, environment: dict[str, str], is_nobody: bool
) -> None:
    (home / "sys_vendor").write_text(vendor)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert profiles.identity("").is_nobody is is_nobody


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_half_a_key_is_an_error(keys: None, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)
    refusal(Unavailable, lambda: cache("127.0.0.1:1"))


def test_authorities_that_cannot_be_read_are_an_error(keys: None, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "bundle").write_text("-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(home / "bundle"))
    error = refusal(Unavailable, lambda: S3Transport("s3://cache?endpoint=127.0.0.1:1", IMPATIENT).read("x", 1))
    assert "expected certificates in PEM" in str(error)


def test_keys_are_not_shown() -> None:
    shown = repr(profiles.Identity(profiles.Keys(ID, SECRET, TOKEN)))
    assert ID not in shown
    assert "hunter2" not in shown


# --- URLs


@pytest.mark.parametrize("style", ["", "&addressing-style=auto", "&addressing-style=path"])
def test_an_endpoint_is_asked_by_path(keys: None, style: str) -> None:
    with scripted(lambda asked, _: asked.answer(404)) as server:
        at(server, style).read("x", 1)
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
    assert parsed.root(parsed.endpoint, parsed.region or "us-east-1") == ROOTS[url]


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_an_endpoint_may_be_in_the_environment(keys: None, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    with scripted(lambda asked, _: asked.answer(404)) as server:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{server.server_port}/")
        S3Transport("s3://cache", IMPATIENT).read("x", 1)
    assert server.seen[0][1] == "/cache/x"


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:{}", "http%3A%2F%2F127.0.0.1%3A{}/"])
def test_an_endpoint_may_be_a_url(keys: None, endpoint: str) -> None:
    with scripted(lambda asked, _: asked.answer(404)) as server:
        S3Transport(f"s3://cache?endpoint={endpoint.format(server.server_port)}", IMPATIENT).read("x", 1)
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
def test_a_url_that_cannot_be_is_refused(url: str) -> None:
    assert str(refusal(InvalidName, lambda: S3Transport(url))).startswith("cache s3:")


def test_settings_of_nix_are_passed_over(moto: str, keys: None) -> None:
    assert cache(moto, more="&compression=zstd&parallel-compression=true&secret-key=/x").size("none") is None
