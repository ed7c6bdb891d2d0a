"""The page at ``/`` is answered like all else, and an address in it is one that a registry can have."""

from __future__ import annotations

import pytest
from tests.support.served_images import RegistryAnswer

from lamina.server.error_documents import RequestRefused
from lamina.server.http_messages import ServerRequest
from lamina.server.registry_address import parse_registry_address
from lamina.server.web_page import WebPage, respond_with_page


def make(address: str) -> WebPage:
    return WebPage(f"<p>{address}</p>".encode(), "default-src 'none'")


def ask(method: str = "GET", **headers: str) -> RegistryAnswer:
    named = {"host": "localhost:5000", **{name.replace("_", "-"): text for name, text in headers.items()}}
    return RegistryAnswer.read(respond_with_page(ServerRequest(method, "/", "", named), make))


def parse(host: str, scheme: str = "http") -> str:
    return parse_registry_address(ServerRequest("GET", "/", "", {"host": host}, scheme))


def test_the_page_has_its_policy_and_its_length() -> None:
    answer = ask()
    assert (answer.status, answer.body) == (200, b"<p>localhost:5000</p>")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers["content-length"] == str(len(answer.body))


def test_head_has_the_headers_of_get_and_no_body() -> None:
    got, head = ask(), ask("HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers == got.headers


def test_a_page_that_the_browser_has_is_not_sent_again() -> None:
    tag = ask().headers["etag"]
    known = ask(if_none_match=tag)
    assert (known.status, known.body, known.headers["etag"]) == (304, b"", tag)
    assert ask(if_none_match=tag, host="other:1").status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_not_allowed(method: str) -> None:
    with pytest.raises(RequestRefused, match="only GET, HEAD are allowed") as refused:
        ask(method)
    assert (refused.value.status, refused.value.headers) == (405, (("Allow", "GET, HEAD"),))


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("localhost", "localhost"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
        ("[::1]:5000", "[::1]:5000"),
        ("Registry.Example.org", "registry.example.org"),
        ("registry", "registry:80"),  # "registry/hello" would be an image of Docker Hub
    ],
)
def test_the_address_is_that_of_the_client(host: str, address: str) -> None:
    assert parse(host) == address


def test_a_host_without_a_dot_gets_the_port_of_https() -> None:
    assert parse("registry", "https") == "registry:443"


@pytest.mark.parametrize(
    "host",
    [
        "",
        "<script>alert(1)</script>",
        'a.b"><img src=x>',
        "a.b/../../etc",
        "a.b/team",
        "team/a",
        "user:password@a.b",
        "a.b; rm -rf x",
        "a.b$(id)",
        "a.b, c.d",
        "a.b:80:80",
        "a.b:x",
        "a_b",
        "h\xf6st.example",
        "a." * 5000,
        " a.b",
        "a.b\n",
    ],
)
def test_a_header_that_is_no_address_is_refused(host: str) -> None:
    with pytest.raises(RequestRefused, match="the Host header is") as refused:
        parse(host)
    assert refused.value.status == 400
    assert len(str(refused.value)) < 300
