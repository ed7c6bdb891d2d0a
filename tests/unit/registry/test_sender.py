"""Redirects are followed without credentials to other hosts, and never from a public registry to a private address."""

import socket

import pytest
from tests.support.registry import QUICK, MemoryRegistry, answer_with, connect, digest_of, serve_registry

from lamina.errors import RegistryError
from lamina.formats.registry_references import RegistryReference
from lamina.registry.blobs import find_blob, read_blob
from lamina.registry.connection import RegistryConnection
from lamina.registry.credentials import Credentials
from lamina.registry.requests import RegistryRequest, RequestBody
from lamina.registry.sender import RequestSender
from lamina.registry.uploads import BlobContent, upload_blob
from lamina.transports import connections
from lamina.transports.urls import Origin

DATA = b"x" * 1000
GOOD = Credentials("user", "hunter2/pass")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_another_host_gets_no_credentials(registry: MemoryRegistry, status: int) -> None:
    registry.authentication = "basic"
    with serve_registry() as storage:
        digest = storage.add_blob("x", DATA)
        location = f"{storage.url}/v2/x/blobs/{digest}?signature=secret"
        registry.fail("GET", "/blobs/", answer_with(status, {"Location": location}))
        with connect(registry, credentials=GOOD) as connection:
            assert b"".join(read_blob(connection, digest, len(DATA))) == DATA
        assert [seen.authorization for seen in storage.seen] == [""]
    assert registry.seen[-1].authorization.startswith("Basic ")


@pytest.mark.parametrize("status", [401, 403])
def test_a_host_that_refuses_a_redirected_request_is_named_and_no_login_blamed(
    registry: MemoryRegistry, status: int
) -> None:
    registry.authentication = "basic"
    with serve_registry() as storage:
        digest = registry.add_blob("me/app", DATA)
        registry.fail("GET", "/blobs/", answer_with(307, {"Location": f"{storage.url}/x?signature=secret"}), times=9)
        storage.fail("GET", "/x", answer_with(status), times=9)
        with connect(registry, credentials=GOOD) as connection, pytest.raises(RegistryError) as caught:
            list(read_blob(connection, digest, len(DATA)))
        assert f"got HTTP {status} from {storage.host}, expected" in str(caught.value)
    assert caught.value.hint.startswith("try again, because such URLs expire")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("status", "times"), [(404, ""), (429, " 5 times in a row"), (500, " 5 times in a row")])
def test_an_error_names_the_host_that_answered(registry: MemoryRegistry, status: int, times: str) -> None:
    with serve_registry() as storage:
        registry.fail("PUT", "/uploads/", answer_with(307, {"Location": f"{storage.url}/x"}), times=9)
        storage.fail("PUT", "/x", answer_with(status, {}, b'{"errors": [{"code": "ODD"}]}'), times=9)
        with connect(registry) as connection, pytest.raises(RegistryError) as caught:
            upload_blob(connection, BlobContent(digest_of(DATA), len(DATA), lambda start: (DATA[start:],)))
        assert f"got HTTP {status} (ODD) from {storage.host}{times}, expected" in str(caught.value)
        assert caught.value.hint == ""


def test_the_same_host_gets_the_credentials_again(registry: MemoryRegistry) -> None:
    registry.authentication = "basic"
    digest = registry.add_blob("x", DATA)
    registry.fail("GET", "/me/app/blobs/", answer_with(307, {"Location": f"/v2/x/blobs/{digest}"}))
    with connect(registry, credentials=GOOD) as connection:
        assert b"".join(read_blob(connection, digest, len(DATA))) == DATA


def test_a_url_in_a_message_has_no_signature(registry: MemoryRegistry) -> None:
    registry.fail("GET", "/blobs/", answer_with(307, {"Location": "ftp://user:hunter2@host/x?signature=secret"}))
    with connect(registry) as connection, pytest.raises(RegistryError, match="a redirect to ftp://host/x") as caught:
        list(read_blob(connection, digest_of(DATA), len(DATA)))
    assert "hunter2" not in f"{caught.value}"
    assert "secret" not in f"{caught.value}"


def test_redirects_in_a_circle_end(registry: MemoryRegistry) -> None:
    registry.fail("GET", "/blobs/", answer_with(307, {"Location": f"/v2/me/app/blobs/{digest_of(DATA)}"}), times=99)
    with connect(registry) as connection, pytest.raises(RegistryError, match="more than 10 redirects"):
        list(read_blob(connection, digest_of(DATA), len(DATA)))


def test_an_upload_follows_only_redirects_that_keep_its_method(registry: MemoryRegistry) -> None:
    blob = BlobContent(digest_of(DATA), len(DATA), lambda start: (DATA[start:],))
    registry.fail("POST", "/me/app/", answer_with(307, {"Location": "/v2/me/app/blobs/uploads/"}))
    with connect(registry) as connection:
        upload_blob(connection, blob)
    registry.fail("POST", "/me/app/", answer_with(302, {"Location": "/v2/me/app/blobs/uploads/"}))
    with connect(registry) as connection, pytest.raises(RegistryError, match="HTTP 302 for POST"):
        upload_blob(connection, blob)


def test_a_body_is_opened_again_after_a_redirect(registry: MemoryRegistry) -> None:
    opened: list[int] = []

    def read() -> tuple[bytes]:
        opened.append(1)
        return (b"body",)

    registry.fail("PUT", "/first", answer_with(308, {"Location": "/second"}))
    request = RegistryRequest("PUT", f"{registry.url}/first", "x", body=RequestBody(4, read))
    with RequestSender(QUICK).open(request, "", Origin.of(registry.url)) as response:
        assert response.url == f"{registry.url}/second"
    assert len(opened) == 2


@pytest.fixture
def public_registry(registry: MemoryRegistry, monkeypatch: pytest.MonkeyPatch) -> MemoryRegistry:
    """Make the registry reachable as registry.example, whose address counts as public; other addresses do not."""
    found = socket.getaddrinfo("127.0.0.1", registry.server_port, type=socket.SOCK_STREAM)
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *args, **keywords: found if host == "registry.example" else real(host, *args, **keywords),
    )
    is_private = connections.is_private_peer
    monkeypatch.setattr(
        "lamina.transports.responses.is_private_peer",
        lambda response: response.connection.host != "registry.example" and is_private(response),
    )
    return registry


@pytest.mark.parametrize("named", ["redirect", "location"])
def test_a_public_registry_cannot_lead_to_a_private_address(public_registry: MemoryRegistry, named: str) -> None:
    sender = RequestSender(QUICK)
    root = f"http://registry.example:{public_registry.server_port}"
    with serve_registry() as inner, sender.open(RegistryRequest("GET", f"{root}/v2/", "x"), "", Origin.of(root)):
        target = f"{inner.url}/metadata"
        public_registry.fail("GET", "/x", answer_with(307, {"Location": target}))
        request = RegistryRequest("GET", f"{root}/x" if named == "redirect" else target, "x")
        with pytest.raises(RegistryError, match=r"got the private address of 127\.0\.0\.1, expected a public address"):
            sender.open(request, "", Origin.of(root)).__enter__()
        assert inner.seen == []


def test_a_public_registry_cannot_name_a_token_server_with_a_private_address(public_registry: MemoryRegistry) -> None:
    reference = RegistryReference.parse(f"registry.example:{public_registry.server_port}/app")
    public_registry.authentication = "token"
    with serve_registry() as inner:
        public_registry.realm = f"{inner.url}/token"
        refused = pytest.raises(RegistryError, match=r"got the private address of 127\.0\.0\.1")
        with RegistryConnection(reference, lambda _: GOOD, policy=QUICK, insecure=True) as connection, refused:
            find_blob(connection, digest_of(DATA))
        assert inner.seen == []


def test_no_proxy_is_used_for_this_machine(registry: MemoryRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_registry() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        with RequestSender(QUICK).open(
            RegistryRequest("GET", f"{registry.url}/v2/", "x"), "", Origin.of(registry.url)
        ) as response:
            assert response.status == 200
        assert proxy.seen == []
        url = "http://registry.example/v2/"
        with RequestSender(QUICK).open(RegistryRequest("GET", url, "x"), "", Origin.of(url)) as response:
            assert response.status == 200
        assert [str(seen) for seen in proxy.seen] == [f"GET {url}"]


def test_a_private_registry_may_lead_to_a_private_address(registry: MemoryRegistry) -> None:
    sender = RequestSender(QUICK)
    with serve_registry() as inner:
        registry.fail("GET", "/x", answer_with(307, {"Location": f"{inner.url}/v2/"}))
        with sender.open(RegistryRequest("GET", f"{registry.url}/x", "x"), "", Origin.of(registry.url)) as response:
            assert response.status == 200
