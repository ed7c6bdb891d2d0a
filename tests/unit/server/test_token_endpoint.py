"""The endpoint of tokens checks the password, and grants to pull what was asked for."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.support.logins import ask, basic, hash_password

from lamina.server.accounts import Accounts
from lamina.server.error_documents import RequestRefused
from lamina.server.token_endpoint import MAX_SCOPES, TokenEndpoint
from lamina.server.tokens import LIFETIME, MAX_TOKEN, Grant, TokenSigner

USERS = Accounts({"me": hash_password("secret").encode()}, {})
SIGNER = TokenSigner(b"x" * 32)
ENDPOINT = TokenEndpoint(USERS, SIGNER)


def get_grant(query: str) -> Grant | None:
    response, user = ENDPOINT.respond(ask("/token", basic("me:secret"), query))
    assert (response.status, user) == (200, "me")
    assert dict(response.headers)["Cache-Control"] == "no-store"
    document = json.loads(b"".join(map(bytes, response.body)))
    assert document["token"] == document["access_token"]
    assert document["expires_in"] == LIFETIME
    assert document["issued_at"].endswith("Z")
    return SIGNER.verify(document["token"])


@pytest.mark.parametrize(
    ("query", "repositories"),
    [
        ("", set()),
        ("account=me&client_id=docker&offline_token=true&service=lamina", set()),
        ("service=lamina&scope=repository%3Aa%2Fb%3Apull", {"a/b"}),
        ("scope=repository:a:pull&scope=repository:b:pull,push", {"a", "b"}),
        ("scope=repository:a:pull%20repository:b:pull", {"a", "b"}),
        ("scope=repository:a:push&scope=%ff", set()),
    ],
)
def test_a_user_gets_a_token_for_what_it_may_do(query: str, repositories: set[str]) -> None:
    assert get_grant(query) == Grant("me", frozenset(repositories))


def test_the_longest_token_is_accepted() -> None:
    names = ["a" * 100 + f"/{number:02}" + "b" * 140 for number in range(MAX_SCOPES)]
    assert get_grant("&".join(f"scope=repository:{name}:pull" for name in names)) == Grant("me", frozenset(names))
    assert len(SIGNER.sign(Grant("m" * 256, frozenset(names)))) < MAX_TOKEN


@pytest.mark.parametrize("header", ["", basic("me:wrong"), basic("nobody:secret"), "Bearer x", "Basic !"])
def test_nobody_else_gets_one(header: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        ENDPOINT.respond(ask("/token", header))
    assert refused.value.status == 401
    assert dict(refused.value.headers)["WWW-Authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize(
    "query", ["service=other", "service=lamina&service=other", "&".join(["scope=repository:a:pull"] * (MAX_SCOPES + 1))]
)
def test_a_request_for_another_service_or_too_much_is_refused(query: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        ENDPOINT.respond(ask("/token", basic("me:secret"), query))
    assert refused.value.status == 400


def test_the_variant_of_oauth_is_refused_so_that_clients_take_this_one() -> None:
    """containerd tries POST first, and GET after 405 (distribution, "Authenticate using OAuth2")."""
    with pytest.raises(RequestRefused) as refused:
        ENDPOINT.respond(replace(ask("/token", basic("me:secret")), method="POST"))
    assert refused.value.status == 405


def test_the_answer_to_head_has_no_body() -> None:
    response, _ = ENDPOINT.respond(replace(ask("/token", basic("me:secret")), method="HEAD"))
    assert (response.status, tuple(response.body)) == (200, ())
