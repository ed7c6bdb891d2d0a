"""A scripted server of the S3 protocol on loopback, a transport that uses it, and a check of request signatures."""

import hashlib
import hmac
import http.server
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.servers import LocalServer, run_server

from lamina.errors import Error
from lamina.transports import aws
from lamina.transports.retry import RetryPolicy
from lamina.transports.s3 import S3Transport

ID, SECRET, TOKEN = "AKIDEXAMPLE", "hunter2secret", "hunter2token"
QUICK_POLICY = RetryPolicy(
    connect_timeout=1, read_timeout=1, rate_window=5, attempts=2, initial_delay=0.001, max_delay=0.002
)


def without_settings(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Hide the machine's settings, and the metadata service that gives credentials to cloud machines."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name in ("NIX_SSL_CERT_FILE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(aws, "_EC2_MARKERS", {str(home / "sys_vendor"): "amazon ec2"})


def use_credentials(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Hide the machine's settings, and give the credentials `ID` and `SECRET` to all clients."""
    without_settings(monkeypatch, home)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


def make_transport(
    address: str, bucket: str = "cache/prefix", more: str = "", policy: RetryPolicy = QUICK_POLICY
) -> S3Transport:
    return S3Transport(f"s3://{bucket}?endpoint={address}&scheme=http{more}", policy)


def catch_error(kind: type[Error], work: Callable[[], object]) -> Error:
    """Return the error that ``work`` raises; check that neither it nor its causes contain a secret."""
    with pytest.raises(kind) as caught:
        work()
    error: BaseException | None = caught.value
    text = caught.value.hint
    while error is not None:
        text += f"{error} {error!r}"
        error = error.__cause__ or error.__context__
    assert "hunter2" not in text
    return caught.value


class S3Server(LocalServer):
    def __init__(self, script: Callable[["S3Request", int], object]) -> None:
        super().__init__(S3Request)
        self.script = script
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.bodies: list[bytes] = []


class S3Request(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: S3Server

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.bodies.append(self.rfile.read(int(headers.get("content-length", "0"))))
        self.server.seen.append((self.command, self.path, headers))
        self.server.script(self, len(self.server.seen))

    do_PUT = do_HEAD = do_POST = do_DELETE = do_GET  # noqa: N815 - the names are the library's

    def answer(self, status: int, content: bytes = b"", length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        length = len(content) if length is None else length
        fields = {"Content-Length": str(length), "ETag": '"one"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
        for name, value in (fields | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
            self.close_connection = length != len(content)

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def serve_s3(script: Callable[[S3Request, int], object]) -> Iterator[S3Server]:
    with run_server(S3Server(script)) as server:
        yield server


def transport_to(server: S3Server, more: str = "", policy: RetryPolicy = QUICK_POLICY) -> S3Transport:
    return make_transport(f"127.0.0.1:{server.server_port}", more=more, policy=policy)


def error_document(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>hunter3</Message></Error>".encode()


def check_signature(request: tuple[str, str, dict[str, str]], body: bytes, secret: str = SECRET) -> None:
    """Check a request as S3 does (S3 API reference, "Authenticating Requests: AWS Signature Version 4")."""
    method, target, headers = request
    path, _, query = target.partition("?")
    scheme, _, fields = headers["authorization"].partition(" ")
    assert scheme == "AWS4-HMAC-SHA256"
    given = dict(field.split("=", 1) for field in fields.split(", "))
    _, day, region, service, ending = given["Credential"].split("/")
    names = given["SignedHeaders"].split(";")
    assert {"host", "x-amz-content-sha256", "x-amz-date"} <= set(names)
    assert "x-amz-security-token" not in headers or "x-amz-security-token" in names
    digest = hashlib.sha256(body).hexdigest()
    assert headers["x-amz-content-sha256"] == digest
    signed = [f"{name}:{' '.join(headers[name].split())}" for name in names]
    asked = "\n".join((method, path, "&".join(sorted(query.split("&"))), *signed, "", ";".join(names), digest))
    scope = f"{day}/{region}/{service}/{ending}"
    text = "\n".join((scheme, headers["x-amz-date"], scope, hashlib.sha256(asked.encode()).hexdigest()))
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, ending):
        key = hmac.digest(key, part.encode(), "sha256")
    assert given["Signature"] == hmac.digest(key, text.encode(), "sha256").hex()
