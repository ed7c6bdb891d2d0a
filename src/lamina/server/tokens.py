"""Tokens with which clients pull from certain repositories for a few minutes.

They are JSON Web Tokens (RFC 7519) with the claims of distribution's "Token Authentication Implementation". They are
signed with HMAC-SHA256, so every process with the same key takes the tokens of all others.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamina.core.names import is_repository_path
from lamina.errors import FormatError
from lamina.server.required_libraries import require_library
from lamina.system.documents import read_document

TOKEN_PATH = "/token"  # noqa: S105 - it is no token
"""The path of the endpoint that gives tokens."""
SERVICE = "lamina"
"""The name of the service that the tokens are for."""
LIFETIME = 300
"""For how many seconds a token is valid."""
LEEWAY = 60
"""By how many seconds the clocks of two servers may differ."""
MAX_TOKEN = 12_000
"""The length of the longest token that is looked at. Those that this server gives are shorter."""
_ISSUER = "lamina serve"
_ALGORITHMS = ("HS256",)
_REPOSITORY, _PULL = "repository", "pull"
_MIN_KEY, _MAX_KEY = 32, 1 << 16
# The key of the tokens differs from every other key that is derived from the same file.
_PURPOSE = b"lamina serve: tokens, version 1"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token permits.

    Attributes:
        user: who asked for the token.
        repositories: the repositories that may be pulled from.
    """

    user: str
    repositories: frozenset[str]


class TokenSigner:
    """Signs tokens, and verifies them.

    Args:
        secret: what all servers that take the tokens have in common.
        clock: returns the time in seconds since 1970.
    """

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        from joserfc.jwk import OctKey

        self._key = OctKey.import_key(hmac.digest(secret, _PURPOSE, hashlib.sha256))
        self._clock = clock

    def sign(self, grant: Grant) -> str:
        """Return a token that is valid for `LIFETIME` seconds."""
        from joserfc import jwt

        now = int(self._clock())
        claims: dict[str, Any] = {
            "iss": _ISSUER,
            "aud": SERVICE,
            # A name that is no UTF-8 cannot be a claim.
            "sub": grant.user.encode("utf-8", "replace").decode(),
            "iat": now,
            "nbf": now,
            "exp": now + LIFETIME,
            "access": [{"type": _REPOSITORY, "name": name, "actions": [_PULL]} for name in sorted(grant.repositories)],
        }
        return jwt.encode({"alg": _ALGORITHMS[0]}, claims, self._key, algorithms=_ALGORITHMS)

    def verify(self, token: str) -> Grant | None:
        """Return what a token permits; None if it is not valid, or not one of these tokens."""
        from joserfc import jwt
        from joserfc.errors import JoseError

        if len(token) > MAX_TOKEN:
            return None
        registry = jwt.JWTClaimsRegistry(
            int(self._clock()),
            LEEWAY,
            iss={"essential": True, "value": _ISSUER},
            aud={"essential": True, "value": SERVICE},
            sub={"essential": True},
            nbf={"essential": True},
            exp={"essential": True},
        )
        try:
            claims = jwt.decode(token, self._key, algorithms=_ALGORITHMS).claims
            registry.validate(claims)
            return Grant(claims["sub"], frozenset(_list_repositories(claims["access"])))
        except (JoseError, ValueError, KeyError, TypeError):
            return None


def read_token_key(name: str, file: Path) -> TokenSigner:
    """Read the secret with which tokens are signed.

    Args:
        name: the start of an error message.
        file: the file.

    Raises:
        InvalidArgument: the library that signs tokens is not installed.
        InputError: the file is missing, or cannot be read.
        FormatError: it is too short or too long.

    """
    require_library(name, "joserfc")
    expected = f"at least {_MIN_KEY} random bytes"
    secret = read_document(file, str(file), expected, limit=_MAX_KEY)
    if len(secret) < _MIN_KEY:
        hint = "openssl rand -base64 32 makes one"
        raise FormatError(file, f"{len(secret)} bytes", expected, hint=hint)
    return TokenSigner(secret)


def write_scope(repository: str) -> str:
    """Return the scope of a token that permits to pull from a repository."""
    return f"{_REPOSITORY}:{repository}:{_PULL}"


def parse_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """Return the repositories from which tokens with these scopes may pull.

    All else that a client asks for, such as to push, is not granted, and is no error (distribution, "Token Scope
    Documentation" and "Requesting a Token").

    Args:
        scopes: texts of the form ``TYPE:NAME:ACTION[,ACTION…]``.

    """
    found = set()
    for scope in scopes:
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        if kind == _REPOSITORY and _PULL in actions.split(",") and is_repository_path(name):
            found.add(name)
    return frozenset(found)


def _list_repositories(access: Any) -> Iterable[str]:
    for entry in access:
        if entry["type"] == _REPOSITORY and _PULL in entry["actions"]:
            yield entry["name"]
