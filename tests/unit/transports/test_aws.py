"""Credentials for S3 come from every source of AWS, and errors say what is missing; every service is on loopback."""

import hashlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.credentials import SSOProvider
from botocore.utils import ContainerMetadataFetcher
from tests.support.examples import mark_rest
from tests.support.fake_nix_store import run
from tests.support.s3_server import (
    ID,
    QUICK_POLICY,
    SECRET,
    TOKEN,
    S3Request,
    S3Server,
    catch_error,
    check_signature,
    make_transport,
    serve_s3,
    transport_to,
    without_settings,
)

from lamina import __version__
from lamina.errors import InvalidArgument, OutputError, Unavailable
from lamina.transports.aws import AwsSession
from lamina.transports.retry import use_policy
from lamina.transports.s3 import S3Transport

FAR = "2999-01-01T00:00:00Z"
ROLE = "arn:aws:iam::123456789012:role/x"
START = "https://sso.example/start"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    without_settings(monkeypatch, tmp_path)
    monkeypatch.setattr(ContainerMetadataFetcher, "SLEEP_TIME", 0)
    monkeypatch.setattr(SSOProvider, "_SSO_TOKEN_CACHE_DIR", str(tmp_path / ".aws/sso/cache"))  # found at import
    (tmp_path / ".aws").mkdir()
    return tmp_path


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


def identity(server: S3Server, more: str = "") -> tuple[str, str]:
    """Return the key and region that a request is signed with, and its token."""
    transport_to(server, more).read("x", 1)
    return signer(server.seen[-1])


def signer(request: tuple[str, str, dict[str, str]]) -> tuple[str, str]:
    headers = request[2]
    signed = headers.get("authorization", "").partition("Credential=")[2].split("/")
    return (f"{signed[0]} {signed[2]}" if len(signed) > 2 else "", headers.get("x-amz-security-token", ""))


# --- the environment and profiles


def test_keys_come_from_where_awss_own_tools_look_for_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_s3(lambda asked, _: asked.answer(404)) as server:
        assert identity(server) == ("", "")
        (home / ".aws/credentials").write_text(
            f"[default]\naws_access_key_id = D\naws_secret_access_key = {SECRET}%\n"
            f"[other]\naws_access_key_id = O\naws_secret_access_key = {SECRET}\naws_session_token = {TOKEN}\n"
        )
        (home / ".aws/config").write_text(
            f"[profile other]\nregion = eu-west-3\n"
            f"[profile third]\naws_access_key_id = T\naws_secret_access_key = {SECRET}\n"
        )
        assert identity(server) == ("D us-east-1", "")
        check_signature(server.seen[-1], b"", f"{SECRET}%")
        assert identity(server, "&profile=other") == ("O eu-west-3", TOKEN)
        check_signature(server.seen[-1], b"")
        assert identity(server, "&profile=other&region=eu-west-2") == ("O eu-west-2", TOKEN)
        monkeypatch.setenv("AWS_PROFILE", "third")
        assert identity(server) == ("T us-east-1", "")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", ID)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        assert identity(server) == (f"{ID} us-east-1", "")
        monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "sa-east-1")
        assert identity(server) == (f"{ID} sa-east-1", TOKEN)
        monkeypatch.setenv("AWS_REGION", "sa-west-1")
        assert identity(server) == (f"{ID} sa-west-1", TOKEN)
        assert identity(server, "&profile=third") == ("T sa-west-1", "")
        assert all(headers["user-agent"] == f"lamina/{__version__}" for *_, headers in server.seen)


def test_files_of_profiles_may_be_elsewhere(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "keys").write_text(f"[x]\naws_access_key_id = X\naws_secret_access_key = {SECRET}\n")
    (home / "conf").write_text("[profile x]\nregion = eu-west-3\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "keys"))
    monkeypatch.setenv("AWS_CONFIG_FILE", "~/conf")
    with serve_s3(lambda asked, _: asked.answer(404)) as server:
        assert identity(server, "&profile=x") == ("X eu-west-3", "")


@pytest.mark.parametrize(
    ("config", "environment", "is_asked"),
    [
        ("[default]\nendpoint_url = {url}\n", {}, True),
        ("[default]\nservices = own\n[services own]\ns3 =\n  endpoint_url = {url}\n", {}, True),
        (
            "[default]\nendpoint_url = http://localhost:1\nservices = a\n[services a]\ns3 =\n  endpoint_url = {url}\n",
            {},
            True,
        ),
        ("[default]\nendpoint_url = http://localhost:1\n", {"AWS_ENDPOINT_URL": "{url}"}, True),
        ("", {"AWS_ENDPOINT_URL": "http://localhost:1", "AWS_ENDPOINT_URL_S3": "{url}"}, True),
        ("[default]\nservices = none\nendpoint_url = {url}\n", {}, True),
        ("[default]\nservices = a\nendpoint_url = {url}\n[services a]\ns3 = hunter2\n", {}, True),
        ("[default]\nendpoint_url = {url}\n", {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, False),
    ],
)
def test_an_endpoint_comes_from_the_environment_or_a_profile(
    keys: None,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: str,
    environment: dict[str, str],
    is_asked: bool,
) -> None:
    with serve_s3(lambda asked, _: asked.answer(404)) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        (home / ".aws/config").write_text(config.format(url=url))
        for name, value in environment.items():
            monkeypatch.setenv(name, value.format(url=url))
        if is_asked:
            assert S3Transport("s3://cache", QUICK_POLICY).read("x", 1) is None
            assert server.seen[0][1] == "/cache/x"
        else:
            assert AwsSession("", "", QUICK_POLICY).endpoint == ""


@pytest.mark.parametrize("variable", ["AWS_PROFILE", "AWS_DEFAULT_PROFILE", ""])
def test_a_named_profile_must_exist(home: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    if variable:
        monkeypatch.setenv(variable, "x")
    error = catch_error(InvalidArgument, lambda: make_transport("127.0.0.1:1", more="" if variable else "&profile=x"))
    assert str(error) == f"profile 'x': got no such profile, expected a profile in {home}/.aws/credentials"


@pytest.mark.parametrize("variable", ["AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_REGION"])
def test_an_empty_variable_means_no_profile(keys: None, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "")
    with serve_s3(lambda asked, _: asked.answer(404)) as server:
        assert identity(server) == (f"{ID} us-east-1", "")


@pytest.mark.parametrize("name", ["credentials", "config"])
def test_a_file_of_profiles_that_cannot_be_read_is_an_error(home: Path, name: str) -> None:
    (home / ".aws" / name).mkdir()
    error = catch_error(Unavailable, lambda: make_transport("127.0.0.1:1"))
    assert str(error) == f"{home}/.aws/{name}: got Is a directory, expected profiles of AWS"


@pytest.mark.parametrize("word", ["user:hunter2@host", "https://u:hunter2@host/?x", "aws_secret_access_key=hunter2"])
def test_a_secret_in_place_of_a_profile_is_not_shown(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setenv("AWS_PROFILE", word)
    catch_error(InvalidArgument, lambda: make_transport("127.0.0.1:1"))


@pytest.mark.parametrize(
    "lines",
    [
        "region = eu-west-3",
        "sso_session = hunter2",
        "sso_start_url = hunter2",
        "role_arn = hunter2",
        "role_arn = hunter2\nsource_profile = hunter2",
        "role_arn = hunter2\ncredential_source = hunter2",
        "credential_process = hunter2",
        "credential_process = sh -c 'echo hunter2; echo hunter2 >&2'",
        "credential_process = sh -c 'echo hunter2 >&2; exit 1'",
        """credential_process = echo '{"Version": 1, "AccessKeyId": "hunter2"}'""",
        """credential_process = echo '{"Version": 2, "AccessKeyId": "hunter2"}'""",
        "credential_process = 'hunter2",
        "web_identity_token_file = /hunter2\nrole_arn = hunter2",
        "aws_access_key_id = hunter2",
    ],
)
def test_a_profile_that_gives_no_keys_says_what_helps(home: Path, lines: str) -> None:
    (home / ".aws/config").write_text(f"[profile x]\n{lines}\n")
    with serve_s3(lambda asked, _: asked.answer(200, b"x")) as server:
        error = catch_error(Unavailable, lambda: transport_to(server, "&profile=x").read("x", 1))
        assert server.seen == []
    assert str(error).startswith("AWS credentials of the profile 'x': got ")
    assert "aws sso login --profile x" in error.hint


@pytest.mark.parametrize("name", ["credentials", "config"])
@pytest.mark.parametrize("content", [b"hunter2\n", b"[default\nhunter2 = 1", b"\xff hunter2", b"[a]\nb =\n hunter2\n"])
def test_a_broken_file_of_profiles_is_named_and_not_shown(home: Path, name: str, content: bytes) -> None:
    (home / ".aws" / name).write_bytes(content)
    error = catch_error(Unavailable, lambda: make_transport("127.0.0.1:1"))
    assert str(error).startswith(f"{home}/.aws/{name}: got ")


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_half_a_key_is_an_error(keys: None, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)
    catch_error(Unavailable, lambda: make_transport("127.0.0.1:1"))


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
@pytest.mark.parametrize(
    "value", ["hunter2\nx", "hunter2\r\nX-Header: x", "hunter2 ü", "hunter2 \U0001f600", "hunter2\udcff"]
)
def test_a_key_that_no_header_can_hold_is_not_shown(
    keys: None, monkeypatch: pytest.MonkeyPatch, home: Path, name: str, value: str
) -> None:
    """A key may have been copied together with the line below it."""
    monkeypatch.setenv(name, value)
    with use_policy(QUICK_POLICY), serve_s3(lambda asked, _: asked.answer(404)) as server:
        url = f"s3://cache?endpoint=127.0.0.1:{server.server_port}&scheme=http"
        ran = run("store", "fetch", f"/nix/store/{'0' * 32}-x", "--store", url, "--debug", "--to", home / "store")
    assert ran.code != 0
    assert "hunter2" not in ran.stderr
    assert "x-header" not in str(server.seen)


# --- services that issue keys


def keys_document(until: str, name: str = "M") -> bytes:
    return json.dumps({"AccessKeyId": name, "SecretAccessKey": SECRET, "Token": TOKEN, "Expiration": until}).encode()


def sts_document(action: str, until: str) -> bytes:
    pairs = {"AccessKeyId": "M", "SecretAccessKey": SECRET, "SessionToken": TOKEN, "Expiration": until}
    fields = "".join(f"<{name}>{value}</{name}>" for name, value in pairs.items())
    content = f"<{action}Result><Credentials>{fields}</Credentials></{action}Result>"
    return f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">{content}</{action}Response>'.encode()


def services(until: str = FAR) -> Callable[[S3Request, int], None]:
    """All services that issue keys, on one server."""

    def script(asked: S3Request, number: int) -> None:
        _, path, headers = asked.server.seen[number - 1]
        body = asked.server.bodies[number - 1].decode()
        if path == "/c" and headers.get("authorization") == TOKEN:
            asked.answer(200, keys_document(until))
        elif path == "/latest/api/token" and asked.command == "PUT":
            asked.answer(200, b"session")
        elif path.endswith("/security-credentials/") and headers.get("x-aws-ec2-metadata-token") == "session":
            asked.answer(200, b"role")
        elif path.endswith("/security-credentials/role"):
            asked.answer(200, keys_document(until))
        elif path.startswith("/federation/credentials?") and headers.get("x-amz-sso_bearer_token") == TOKEN:
            found = {"accessKeyId": "M", "secretAccessKey": SECRET, "sessionToken": TOKEN, "expiration": 32503680000000}
            asked.answer(200, json.dumps({"roleCredentials": found}).encode())
        elif asked.command == "POST" and "Action=AssumeRoleWithWebIdentity&" in body and TOKEN in body:
            asked.answer(200, sts_document("AssumeRoleWithWebIdentity", until))
        elif asked.command == "POST" and "Action=AssumeRole&" in body and "Credential=S/" in headers["authorization"]:
            asked.answer(200, sts_document("AssumeRole", until))
        else:
            asked.answer(404)

    return script


def settings(name: str, home: Path, address: str) -> dict[str, str]:
    """Return the environment in which a source of keys is found, and write the files that it needs."""
    (home / "token").write_text(TOKEN)
    document = json.dumps({"Version": 1, "AccessKeyId": "M", "SecretAccessKey": SECRET, "SessionToken": TOKEN})
    (home / "document").write_text(document)
    configs = {
        "process": f"credential_process = cat {home}/document\n",
        "single sign-on": f"sso_start_url = {START}\nsso_region = eu-west-3\nsso_account_id = 1\nsso_role_name = r\n",
        "assumed role": f"role_arn = {ROLE}\nsource_profile = source\n"
        f"[profile source]\naws_access_key_id = S\naws_secret_access_key = {SECRET}\n",
        "role of an instance": f"role_arn = {ROLE}\ncredential_source = Ec2InstanceMetadata\n",
        "instance in a file": f"ec2_metadata_service_endpoint = http://{address}\n",
    }
    (home / ".aws/config").write_text(f"[default]\n{configs.get(name, '')}")
    session = {"startUrl": START, "region": "eu-west-3", "accessToken": TOKEN, "expiresAt": FAR}
    folder = home / ".aws/sso/cache"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{hashlib.sha1(START.encode()).hexdigest()}.json").write_text(json.dumps(session))
    container = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{address}/c"}
    environments = {
        "container": {**container, "AWS_CONTAINER_AUTHORIZATION_TOKEN": TOKEN},
        "container with a file": {**container, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(home / "token")},
        "instance": {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{address}"},
        "web identity": {
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(home / "token"),
            "AWS_ENDPOINT_URL_STS": f"http://{address}",
            "AWS_ROLE_ARN": ROLE,
        },
        "assumed role": {"AWS_ENDPOINT_URL_STS": f"http://{address}"},
        "single sign-on": {"AWS_ENDPOINT_URL_SSO": f"http://{address}"},
    }
    return environments.get(name, {})


@pytest.fixture
def source(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, S3Server], None]:
    """Set up one source of keys, whose services are on the server."""

    def set_up(name: str, server: S3Server) -> None:
        for variable, value in settings(name, home, f"127.0.0.1:{server.server_port}").items():
            monkeypatch.setenv(variable, value)

    return set_up


SOURCES = [
    "container",
    "container with a file",
    "instance",
    "instance in a file",
    "web identity",
    "assumed role",
    "single sign-on",
    "process",
]


@pytest.mark.parametrize("name", SOURCES)
def test_keys_are_asked_for_once(source: Callable[[str, S3Server], None], name: str) -> None:
    with serve_s3(services()) as server, serve_s3(lambda asked, _: asked.answer(404)) as bucket:
        source(name, server)
        transport = transport_to(bucket)
        assert server.seen == []
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: transport.read("x", 1), range(16)))
        for request in bucket.seen:
            assert signer(request) == ("M us-east-1", TOKEN)
            check_signature(request, b"")
        assert len(server.seen) == (3 if name.startswith("instance") else 0 if name == "process" else 1)


@pytest.mark.parametrize("name", ["container", "instance"])
def test_a_service_of_the_machine_is_asked_through_no_proxy(
    source: Callable[[str, S3Server], None], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with serve_s3(services()) as server, serve_s3(lambda asked, _: asked.answer(404)) as proxy:
        source(name, server)
        for variable in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.server_port}")
        monkeypatch.setenv("no_proxy", "")
        make_transport("s3.example").read("x", 1)
        assert [path for _, path, _ in proxy.seen] == ["http://s3.example/cache/prefix/x"]
        assert signer(proxy.seen[0]) == ("M us-east-1", TOKEN)


def soon(seconds: int) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(("seconds", "times"), [(60, 2), (300, 2), (7200, 1)])
def test_keys_are_asked_for_again_before_they_expire(
    source: Callable[[str, S3Server], None], seconds: int, times: int
) -> None:
    def script(asked: S3Request, number: int) -> None:
        asked.answer(200, keys_document(soon(seconds) if number == 1 else FAR, f"M{number}"))

    with serve_s3(script) as server, serve_s3(lambda asked, _: asked.answer(404)) as bucket:
        source("container", server)
        transport = transport_to(bucket)
        for _ in range(3):
            transport.read("x", 1)
        assert len(server.seen) == times
        assert signer(bucket.seen[-1]) == (f"M{times} us-east-1", TOKEN)


def test_keys_that_have_expired_are_an_error(source: Callable[[str, S3Server], None]) -> None:
    with serve_s3(services(soon(-60))) as server, serve_s3(lambda asked, _: asked.answer(200, b"x")) as bucket:
        source("container", server)
        catch_error(Unavailable, lambda: transport_to(bucket).read("x", 1))
        catch_error(OutputError, lambda: transport_to(bucket).write("x", b"x"))
        assert bucket.seen == []


BAD = [
    (200, b""),
    (200, b"{}"),
    (200, b"[]"),
    (200, TOKEN.encode()),
    (200, b'{"AccessKeyId": 1, "SecretAccessKey": [], "Token": {}, "Expiration": "2999-01-01T00:00:00Z"}'),
    (200, keys_document(TOKEN)),
    (200, keys_document(FAR, "hunter2\n")),
    (200, b"[" * 10_000),
    (200, b"\xff"),
    (302, b""),
    (400, TOKEN.encode()),
    (403, f"<Error><Code>{TOKEN}</Code></Error>".encode()),
    (500, TOKEN.encode()),
]


@pytest.mark.parametrize(
    "name", mark_rest(["container", "instance", "web identity", "assumed role", "single sign-on"], 1)
)
@pytest.mark.parametrize("answer", BAD)
def test_a_service_with_an_invalid_response_is_an_error_or_means_unsigned_requests(
    source: Callable[[str, S3Server], None], caplog: pytest.LogCaptureFixture, name: str, answer: tuple[int, bytes]
) -> None:
    """An instance without a role is common, and can read public buckets."""
    caplog.set_level(logging.DEBUG)

    def script(asked: S3Request, number: int) -> None:
        if asked.path == "/latest/api/token":
            asked.answer(200, b"session")
        elif asked.path.endswith("/security-credentials/"):
            asked.answer(200, b"role")
        else:
            asked.answer(*answer, Location=f"http://localhost:{bucket.server_port}/{TOKEN}")

    with serve_s3(lambda asked, _: asked.answer(200, b"x")) as bucket, serve_s3(script) as server:
        source(name, server)
        if name == "instance" and answer != (200, keys_document(FAR, "hunter2\n")):
            with suppress(Unavailable):
                assert transport_to(bucket).read("x", 1) == b"x"
            assert all(signer(request) == ("", "") for request in bucket.seen)
        else:
            error = catch_error(Unavailable, lambda: transport_to(bucket).read("x", 1))
            assert str(error).startswith("AWS credentials: got ")
            assert bucket.seen == []
        assert server.seen
    assert "hunter2" not in caplog.text


def test_a_containers_keys_come_from_no_other_machine_without_encryption(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://cache.example/c")
    catch_error(Unavailable, lambda: make_transport("127.0.0.1:1").read("x", 1))


@pytest.mark.parametrize(
    ("vendor", "environment", "is_asked"),
    [
        ("Amazon EC2\n", {}, True),
        ("QEMU\n", {}, False),
        ("QEMU\n", {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1"}, True),
        (b"\xff", {}, False),
    ],
)
def test_only_machines_of_amazon_are_asked_for_keys(
    home: Path, monkeypatch: pytest.MonkeyPatch, vendor: str | bytes, environment: dict[str, str], is_asked: bool
) -> None:
    (home / "sys_vendor").write_bytes(vendor if isinstance(vendor, bytes) else vendor.encode())
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    session = AwsSession("", "", QUICK_POLICY)
    monkeypatch.setattr(session._session, "get_credentials", lambda: None)  # asks nobody
    session.sign("GET", "http://127.0.0.1/x", {}, b"")
    methods = [provider.METHOD for provider in session._session.get_component("credential_provider").providers]
    assert ("iam-role" in methods) is is_asked


def test_an_instance_that_must_not_be_asked_is_not(
    source: Callable[[str, S3Server], None], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "sys_vendor").write_text("Amazon EC2\n")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with serve_s3(services()) as server, serve_s3(lambda asked, _: asked.answer(404)) as bucket:
        source("instance", server)
        assert identity(bucket) == ("", "")
        assert server.seen == []


@pytest.mark.integration
def test_an_instance_that_does_not_answer_is_not_waited_for(source: Callable[[str, S3Server], None]) -> None:
    over = threading.Event()

    def script(asked: S3Request, number: int) -> None:
        over.wait(30)
        services()(asked, number)  # too late

    with serve_s3(script) as server, serve_s3(lambda asked, _: asked.answer(404)) as bucket:
        source("instance", server)
        assert identity(bucket) == ("", "")
        over.set()


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_of_credentials_is_logged(
    source: Callable[[str, S3Server], None], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    caplog.set_level(logging.DEBUG)
    with serve_s3(services()) as server, serve_s3(lambda asked, _: asked.answer(404)) as bucket:
        source(name, server)
        assert identity(bucket) == ("M us-east-1", TOKEN)
    assert "hunter2" not in caplog.text
    assert not [record for record in caplog.records if record.name.startswith("botocore")]
    assert [record for record in caplog.records if record.name.startswith("urllib3")]


def test_authorities_that_cannot_be_read_are_an_error(keys: None, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "bundle").write_text("-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(home / "bundle"))
    error = catch_error(Unavailable, lambda: S3Transport("s3://cache?endpoint=127.0.0.1:1", QUICK_POLICY).read("x", 1))
    assert "expected certificates in PEM" in str(error)


def test_authorities_that_the_environment_names_are_those_of_services_too(
    source: Callable[[str, S3Server], None], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "bundle").write_text("-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(home / "bundle"))
    session = AwsSession("", "", QUICK_POLICY)
    session.sign("GET", "http://127.0.0.1/x", {}, b"")
    assert session._session.get_config_variable("ca_bundle") == str(home / "bundle")


def test_a_private_bucket_without_credentials_says_where_they_are_looked_for(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with use_policy(QUICK_POLICY), serve_s3(lambda asked, _: asked.answer(403)) as server:
        url = f"s3://cache?endpoint=127.0.0.1:{server.server_port}&scheme=http"
        ran = run("store", "fetch", f"/nix/store/{'0' * 32}-x", "--store", url, "--to", home / "store")
    assert ran.code == 5
    assert "AWS_ACCESS_KEY_ID or profile=NAME" in ran.stderr


def test_botocore_is_imported_for_s3_alone() -> None:
    code = (
        "import sys, lamina.api.images, lamina.cli.main, lamina.transports.open as opening\n"
        "opening.open_transport('https://cache.example').close()\n"
        "opening.open_transport('file:///nowhere').close()\n"
        "sys.exit('botocore' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ}, check=False).returncode == 0
