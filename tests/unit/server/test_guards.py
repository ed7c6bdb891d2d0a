"""Only those who may send a request get past a guard; all others are told how to log in."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.logins import ask, basic, hash_password, hash_token

from lamina.server.accounts import Accounts
from lamina.server.error_documents import RequestRefused
from lamina.server.guards import AccountGuard, Guard, OpenGuard, PasswordGuard, TokenGuard
from lamina.server.token_endpoint import TokenEndpoint
from lamina.server.tokens import Grant, TokenSigner

USERS = Accounts({"me": hash_password("se:cret").encode()}, {bytes.fromhex(hash_token("program")[7:]): "ci"})
SIGNER = TokenSigner(b"x" * 32)
GUARDS: dict[str, Guard] = {
    "account": AccountGuard("me", "se:cret"),
    "users": PasswordGuard(USERS),
    "tokens": TokenGuard(USERS, SIGNER),
}


@pytest.fixture
def pulling() -> str:
    """The header with a token, which is valid from now on for some minutes."""
    return f"Bearer {SIGNER.sign(Grant('me', frozenset({'hello', 'team/app'})))}"


@pytest.fixture(params=GUARDS)
def guard(request: pytest.FixtureRequest) -> Guard:
    return GUARDS[request.param]


def challenge_of(guard: Guard, path: str, authorization: str = "", **headers: str) -> str:
    with pytest.raises(RequestRefused) as refused:
        guard.identify(ask(path, authorization, **headers))
    assert (refused.value.status, refused.value.code) == (401, "UNAUTHORIZED")
    return dict(refused.value.headers)["WWW-Authenticate"]


def test_the_right_password_is_accepted_everywhere(guard: Guard) -> None:
    for path in ("/v2/", "/v2/hello/manifests/latest", "/", "/metrics"):
        assert guard.identify(ask(path, basic("me:se:cret"))) == "me"


@pytest.mark.parametrize("header", ["", "Basic", basic("me:wrong"), basic("nobody:se:cret"), "Bearer x"])
def test_browsers_are_asked_for_a_password(guard: Guard, header: str) -> None:
    for path in ("/", "/metrics", "/v3/"):
        assert challenge_of(guard, path, header).startswith("Basic realm=")


@pytest.mark.parametrize("name", ["account", "users"])
def test_without_tokens_all_clients_are_asked_for_a_password(name: str, pulling: str) -> None:
    for header in ("", "Basic", basic("me:wrong"), pulling):
        assert challenge_of(GUARDS[name], "/v2/hello/manifests/latest", header).startswith("Basic realm=")


@pytest.mark.parametrize("name", ["users", "tokens"])
def test_the_token_of_a_program_is_accepted(name: str) -> None:
    for path in ("/v2/", "/v2/other/tags/list", "/metrics"):
        assert GUARDS[name].identify(ask(path, "Bearer program")) == "ci"


def test_clients_are_told_where_to_get_a_token_and_for_what() -> None:
    guard = GUARDS["tokens"]
    common = 'Bearer realm="http://127.0.0.1:5000/token",service="lamina"'
    assert challenge_of(guard, "/v2/") == challenge_of(guard, "/v2") == common
    for path in ("manifests/latest", "blobs/sha256:" + "0" * 64, "tags/list", "referrers/sha256:" + "0" * 64):
        assert challenge_of(guard, f"/v2/a/b/{path}") == f'{common},scope="repository:a/b:pull"'
    assert challenge_of(guard, "/v2/", basic("me:wrong")) == common


def test_the_address_of_the_tokens_is_the_one_that_the_client_knows() -> None:
    guard = GUARDS["tokens"]
    assert 'realm="http://reg.example/token"' in challenge_of(guard, "/v2/", host="Reg.example")
    proxied = challenge_of(guard, "/v2/", host="reg.example", x_forwarded_proto="https")
    assert 'realm="https://reg.example/token"' in proxied
    assert 'realm="http://' in challenge_of(guard, "/v2/", x_forwarded_proto='https"')
    for host in ("", 'a",realm="http://evil', "a/b"):
        with pytest.raises(RequestRefused) as refused:
            guard.identify(ask("/v2/", host=host))
        assert refused.value.status == 400


def test_a_token_is_for_its_repositories_only(pulling: str) -> None:
    guard = GUARDS["tokens"]
    for path in ("/v2/", "/v2", "/v2/hello/manifests/latest", "/v2/team/app/tags/list", "/v2/hello/blobs/sha512:00"):
        assert guard.identify(ask(path, pulling)) == "me"
    for name in ("other", "team", "team/app/x", "hello/world"):
        answer = challenge_of(guard, f"/v2/{name}/manifests/latest", pulling)
        assert answer.endswith(f',scope="repository:{name}:pull",error="insufficient_scope"')


@pytest.mark.parametrize("path", ["/v2/hello/../secret/manifests/latest", "/v2/%68ello%2F../manifests/x", "/v2/x"])
def test_a_path_that_names_no_repository_is_for_everybody_with_a_token(path: str, pulling: str) -> None:
    """Whatever such a path means to `respond`, it finds nothing there."""
    assert GUARDS["tokens"].identify(ask(path, pulling)) == "me"
    assert challenge_of(GUARDS["tokens"], path).startswith("Bearer")


def test_an_encoded_name_is_the_same_repository(pulling: str) -> None:
    assert GUARDS["tokens"].identify(ask("/v2/%68ello/manifests/latest", pulling)) == "me"
    assert "insufficient_scope" in challenge_of(GUARDS["tokens"], "/v2/%6fther/manifests/latest", pulling)


def test_a_wrong_token_is_called_invalid() -> None:
    assert challenge_of(GUARDS["tokens"], "/v2/", "Bearer x").endswith(',error="invalid_token"')


def test_without_a_guard_nobody_has_a_name() -> None:
    assert OpenGuard().identify(ask("/v2/", basic("me:x"))) == ""


# Headers and paths reach the guards as Latin-1, whatever bytes the client sent.
TEXTS = st.text(st.characters(max_codepoint=255))
HEADERS = st.one_of(TEXTS, st.builds("{} {}".format, st.sampled_from(["Basic", "Bearer", "bearer"]), TEXTS))


@given(path=st.one_of(TEXTS, st.builds("/v2/{}/manifests/{}".format, TEXTS, TEXTS)), header=HEADERS, host=TEXTS)
def test_any_other_request_is_refused(path: str, header: str, host: str) -> None:
    for guard in GUARDS.values():
        with pytest.raises(RequestRefused) as refused:
            guard.identify(ask(path, header, host=host))
        assert refused.value.status in (400, 401)
        # A header of the answer has no characters that the request brought in and that would end it.
        assert all(text.isprintable() for pair in refused.value.headers for text in pair)


@given(query=TEXTS, header=HEADERS)
def test_any_other_request_for_a_token_is_refused(query: str, header: str) -> None:
    endpoint = TokenEndpoint(USERS, SIGNER)
    with pytest.raises(RequestRefused):
        endpoint.respond(ask("/token", header, query))
    with suppress(RequestRefused):
        response, user = endpoint.respond(ask("/token", basic("me:se:cret"), query))
        assert (response.status, user) == (200, "me")
