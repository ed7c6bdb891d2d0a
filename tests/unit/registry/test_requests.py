"""Responses of a registry: their locations, their errors, and limits of what is read."""

import pytest
from tests.support.registry import QUICK, MemoryRegistry, answer_with
from urllib3 import HTTPResponse

from lamina.errors import FormatError, RegistryError, Unavailable, Unreachable
from lamina.registry.requests import UNREACHABLE_HINT, RegistryRequest, RegistryResponse, registry_errors
from lamina.registry.sender import RequestSender
from lamina.transports.responses import Request, Response
from lamina.transports.retry import NETWORK_HINT
from lamina.transports.urls import Origin

HERE = "https://registry.example:5000/v2/me/app/blobs/uploads/"


def respond(headers: dict[str, str], url: str = HERE) -> RegistryResponse:
    raw = HTTPResponse(b"", headers=headers, status=202, preload_content=False)
    return RegistryResponse(Response(raw, Request("POST", url, {}, "upload"), QUICK), url)


@pytest.mark.parametrize(
    ("location", "resolved"),
    [
        ("/v2/x?state=a", "https://registry.example:5000/v2/x?state=a"),
        ("u1", f"{HERE}u1"),
        ("https://other.example/x?a=b", "https://other.example/x?a=b"),
        ("http://registry.example/v2/x?a=b", "https://registry.example:5000/v2/x?a=b"),
        ("https://user:hunter2@registry.example/x", "https://registry.example/x"),
    ],
)
def test_a_location_is_resolved(location: str, resolved: str) -> None:
    assert respond({"Location": location}).resolve_location() == resolved


@pytest.mark.parametrize(
    ("location", "got"),
    [
        ("", "got no Location"),
        ("ftp://user:hunter2@host/x?a=secret", "got the location ftp://host/x,"),
        ("http://other.example/x?a=secret", "got the location http://other.example/x, expected https://"),
        ("https://[", "got the location https://"),
    ],
)
def test_a_location_that_cannot_be_used_is_an_error_without_secrets(location: str, got: str) -> None:
    with pytest.raises(RegistryError) as caught:
        respond({"Location": location}).resolve_location()
    assert got in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "described"),
    [
        (b"", "HTTP 400"),
        (b"<html>", "HTTP 400"),
        (b"[5]", "HTTP 400"),
        (b'{"errors": 5}', "HTTP 400"),
        (b'{"errors": [5]}', "HTTP 400"),
        (b'{"errors": [{"code": 5, "message": []}]}', "HTTP 400"),
        (b'{"errors": [{"code": "A", "message": "b"}, {"code": "C"}]}', "HTTP 400 (A: b)"),
        (b'{"errors": [{"code": "A"}]}', "HTTP 400 (A)"),
        (b'{"errors": [{"message": "b"}]}', "HTTP 400 (b)"),
        (b'{"error": "invalid_scope", "error_description": "b"}', "HTTP 400 (invalid_scope: b)"),
        (b'{"errors": [{"code": "%s"}]}' % (b"x" * 20_000), "HTTP 400"),
    ],
)
def test_a_status_is_described_with_the_first_error(registry: MemoryRegistry, body: bytes, described: str) -> None:
    registry.fail("GET", "/x", answer_with(400, {}, body))
    request = RegistryRequest("GET", f"{registry.url}/x", "x")
    with RequestSender(QUICK).open(request, "", Origin.of(registry.url)) as response:
        assert response.describe() == described
        assert response.describe(str.lower) == described.lower().replace("http", "HTTP")  # it is read once


def test_a_long_error_is_cut(registry: MemoryRegistry) -> None:
    registry.fail("GET", "/x", answer_with(400, {}, b'{"errors": [{"code": "%s"}]}' % (b"x" * 10_000)))
    request = RegistryRequest("GET", f"{registry.url}/x", "x")
    with RequestSender(QUICK).open(request, "", Origin.of(registry.url)) as response:
        assert len(response.describe()) < 200


def test_errors_of_connections_become_errors_of_the_registry() -> None:
    with pytest.raises(RegistryError, match="x: got y, expected z") as caught, registry_errors():
        raise Unreachable("x", "y", "z", hint=NETWORK_HINT)
    assert caught.value.hint == UNREACHABLE_HINT
    with pytest.raises(RegistryError) as caught, registry_errors():
        raise Unavailable("x", "y", "z", hint="w")
    assert caught.value.hint == "w"
    with pytest.raises(FormatError), registry_errors():
        raise FormatError("config.json", "y", "z")
