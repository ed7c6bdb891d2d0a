"""Only tokens that this family of servers signed lately, for this service, are valid."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey

from lamina.errors import FormatError, InputError
from lamina.server.tokens import LEEWAY, LIFETIME, MAX_TOKEN, Grant, TokenSigner, parse_scopes, read_token_key

SECRET = b"0123456789abcdef" * 2
NOW = 1_800_000_000
GRANT = Grant("me", frozenset({"hello", "team/app"}))


def signer(now: float = NOW, secret: bytes = SECRET) -> TokenSigner:
    return TokenSigner(secret, lambda: now)


def encode(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def sign_with(claims: dict[str, Any], header: dict[str, Any] | None = None) -> str:
    """Sign claims with the key of `signer`, as nobody else can."""
    return jwt.encode(header or {"alg": "HS256"}, claims, signer()._key, algorithms=["HS256", "HS512"])


def test_every_process_with_the_same_secret_takes_a_token() -> None:
    assert signer().verify(signer().sign(GRANT)) == GRANT
    assert signer(secret=SECRET + b"\n").verify(signer().sign(GRANT)) is None


def test_the_claims_are_those_that_tools_for_registries_show() -> None:
    claims = claims_of(signer().sign(GRANT))
    assert claims.keys() == {"iss", "aud", "sub", "iat", "nbf", "exp", "access"}
    assert (claims["aud"], claims["sub"], claims["exp"] - claims["iat"]) == ("lamina", "me", LIFETIME)
    assert claims["access"][0] == {"type": "repository", "name": "hello", "actions": ["pull"]}


@pytest.mark.parametrize(
    ("later", "is_valid"),
    [
        (-LEEWAY - 1, False),
        (-LEEWAY, True),
        (0, True),
        (LIFETIME + LEEWAY - 1, True),
        (LIFETIME + LEEWAY, False),
        (10**9, False),
    ],
)
def test_a_token_is_valid_for_some_minutes_and_clocks_may_differ_by_one(later: int, is_valid: bool) -> None:
    assert (signer(NOW + later).verify(signer().sign(GRANT)) == GRANT) == is_valid


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "other"},
        {"aud": None},
        {"aud": []},
        {"iss": "other"},
        {"sub": None},
        {"sub": 5},
        {"exp": None},
        {"exp": "9999999999"},
        {"exp": True},
        {"nbf": None},
        {"access": None},
        {"access": 5},
        {"access": "repository"},
        {"access": [5]},
        {"access": [{"type": "repository", "name": ["hello"], "actions": ["pull"]}]},
        {"access": [{"type": "repository", "name": "hello"}]},
    ],
)
def test_a_signed_token_with_other_claims_is_not_valid(change: dict[str, Any]) -> None:
    claims = claims_of(signer().sign(GRANT)) | change
    assert signer().verify(sign_with({name: value for name, value in claims.items() if value is not None})) is None


def test_other_rights_than_pulling_give_nothing() -> None:
    access = [{"type": "repository", "name": "a", "actions": ["push"]}, {"type": "x", "name": "b", "actions": ["pull"]}]
    grant = signer().verify(sign_with(claims_of(signer().sign(GRANT)) | {"access": access}))
    assert grant == Grant("me", frozenset())


def test_another_algorithm_is_not_accepted() -> None:
    header, claims, signature = signer().sign(GRANT).split(".")
    for algorithm in ("none", "None", "HS512", "RS256", None, 5, ["HS256"]):
        changed = encode(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())
        for end in ("", signature):
            assert signer().verify(f"{changed}.{claims}.{end}") is None
    assert signer().verify(sign_with(claims_of(f"{header}.{claims}."), {"alg": "HS512"})) is None


def test_the_key_cannot_come_with_the_token() -> None:
    own = OctKey.import_key(b"y" * 32)
    claims = claims_of(signer().sign(GRANT))
    for more in ({"jwk": own.as_dict()}, {"kid": "x"}, {"jku": "http://evil.example/keys"}, {"crit": ["x"], "x": 1}):
        head = encode(json.dumps({"alg": "HS256", **more}).encode())
        unsigned = f"{head}.{encode(json.dumps(claims).encode())}"
        signature = jwt.encode({"alg": "HS256"}, claims, own).split(".")[2]
        assert signer().verify(f"{unsigned}.{signature}") is None


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "x" * MAX_TOKEN,
        "x" * 1_000_000,
        encode(b"[" * 5000) + ".e30.AA",
        encode(b'{"alg":"HS256","x":' + b"9" * 5000 + b"}") + ".e30.AA",
        encode(b"[]") + ".e30.AA",
        encode(b"null") + ".e30.AA",
        encode(b"\xff") + ".e30.AA",
        "e30.e30.e30",
    ],
)
def test_garbage_is_not_valid(token: str) -> None:
    assert signer().verify(token) is None


@given(st.data())
def test_a_token_with_any_character_changed_is_not_valid(data: st.DataObject) -> None:
    token = signer().sign(GRANT)
    # The last character of a part has bits that base64 ignores, so it is left alone here.
    place = data.draw(st.sampled_from([i for i in range(len(token) - 1) if "." not in token[i : i + 2]]))
    other = data.draw(st.sampled_from([c for c in "AZaz09-_." if c != token[place]]))
    assert signer().verify(token[:place] + other + token[place + 1 :]) is None


def test_the_name_of_a_user_may_have_any_bytes() -> None:
    grant = signer().verify(signer().sign(Grant("ann\udcff", frozenset())))
    assert grant
    assert grant.user == "ann?"


@pytest.mark.parametrize(
    ("scopes", "repositories"),
    [
        (["repository:hello:pull"], {"hello"}),
        (["repository:a/b:push,pull", "repository:c:pull"], {"a/b", "c"}),
        (["repository:hello:push", "repository:hello:*", "repository:hello:", "repository:hello"], set()),
        (["registry:catalog:*", "repository(plugin):hello:pull", "", ":", "::", "repository::pull"], set()),
        (
            ["repository:../etc:pull", "repository:host:5000/x:pull", "repository:Hello:pull", "repository:*:pull"],
            set(),
        ),
        (["repository:" + "a" * 300 + ":pull", "repository:a b:pull"], set()),
    ],
)
def test_only_pulling_from_repositories_is_granted(scopes: list[str], repositories: set[str]) -> None:
    assert parse_scopes(scopes) == repositories


def test_a_secret_that_is_too_short_or_missing_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    with pytest.raises(InputError):
        read_token_key("--token-key", file)
    file.write_bytes(b"x" * 31)
    with pytest.raises(FormatError, match="got 31 bytes, expected at least 32 random bytes"):
        read_token_key("--token-key", file)
    file.write_bytes(SECRET)
    assert read_token_key("--token-key", file).verify(TokenSigner(SECRET).sign(GRANT)) == GRANT
