"""Proxies, certificate authorities and credentials that the environment names."""

import base64
import os
from pathlib import Path

import certifi
import pytest

from lamina.errors import InvalidArgument, Unavailable
from lamina.transports.environment import (
    create_tls_context,
    find_ca_bundle,
    find_proxy,
    format_basic_auth,
    read_credentials,
)
from lamina.transports.urls import Origin

HTTPS, HTTP = Origin.of("https://host/x"), Origin.of("http://host:81/x")


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return an empty home folder, without the machine's own settings."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name in ("NETRC", "NIX_SSL_CERT_FILE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_proxy_is_found_by_the_scheme_or_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_proxy(HTTPS) is None
    monkeypatch.setenv("all_proxy", "proxy:3128")
    monkeypatch.setenv("https_proxy", "http://user:p%40ss@secure:3129")
    plain, secure = find_proxy(HTTP), find_proxy(HTTPS)
    assert plain
    assert secure
    assert (plain.url, plain.authorization) == ("http://proxy:3128", "")
    assert secure.url == "http://secure:3129"
    assert base64.b64decode(secure.authorization.removeprefix("Basic ")) == b"user:p@ss"
    assert "p@ss" not in repr(secure)
    monkeypatch.setenv("no_proxy", "other,host")
    assert find_proxy(HTTPS) is None


@pytest.mark.parametrize(
    "url", ["socks5://proxy:1", "http://", "http://http:/user:hunter2@host", "http://a:hunter2#@b"]
)
def test_what_is_no_http_proxy_is_refused_without_its_password(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("http_proxy", url)
    with pytest.raises(InvalidArgument, match="got an unsupported proxy") as caught:
        find_proxy(HTTP)
    assert "hunter2" not in str(caught.value)
    assert "http_proxy" in caught.value.hint


def test_the_first_variable_that_is_set_names_the_authorities(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    assert find_ca_bundle() is None
    monkeypatch.setenv("CURL_CA_BUNDLE", str(home / "nothing"))
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    assert find_ca_bundle() == Path(certifi.where())
    assert create_tls_context().get_ca_certs()
    monkeypatch.setenv("NIX_SSL_CERT_FILE", str(home / "nothing"))
    with pytest.raises(Unavailable, match="nothing") as caught:
        find_ca_bundle()
    assert "NIX_SSL_CERT_FILE" in caught.value.hint


def test_a_file_without_certificates_is_an_error(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    (home / "text").write_text("no certificates")
    monkeypatch.setenv("SSL_CERT_FILE", str(home / "text"))
    with pytest.raises(Unavailable, match="expected certificates in PEM"):
        create_tls_context()


def test_credentials_are_those_of_the_host(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    assert read_credentials("host") is None
    (home / ".netrc").write_text("machine host login user password hunter2\n")
    (home / ".netrc").chmod(0o600)
    assert read_credentials("host") == ("user", "hunter2")
    assert read_credentials("other") is None
    (home / "other").write_text("default login any password thing\n")
    monkeypatch.setenv("NETRC", str(home / "other"))
    assert read_credentials("host") == ("any", "thing")


@pytest.mark.parametrize("text", [b"machine host passwort hunter2\n", b"\xff\xfe", None], ids=["text", "bytes", "none"])
def test_a_netrc_that_cannot_be_read_is_an_error_without_its_words(
    monkeypatch: pytest.MonkeyPatch, home: Path, text: bytes | None
) -> None:
    if text is not None:
        (home / "netrc").write_bytes(text)
    monkeypatch.setenv("NETRC", str(home / "netrc"))
    with pytest.raises(Unavailable, match="netrc") as caught:
        read_credentials("host")
    assert "hunter2" not in str(caught.value)


def test_basic_authentication_is_that_of_its_rfc() -> None:
    """RFC 7617, 2: the example."""
    assert format_basic_auth("Aladdin", "open sesame") == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
