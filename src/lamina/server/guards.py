"""Guards decide who may send which requests.

They know HTTP Basic authentication (RFC 7617), and the bearer tokens of registries: a client without a token gets the
address of the endpoint that gives it one (distribution, "Docker Registry v2 authentication via central service").
"""

from __future__ import annotations

import hmac
from typing import Protocol

from lamina.server.accounts import Accounts, parse_basic, parse_bearer
from lamina.server.error_documents import RequestRefused
from lamina.server.http_messages import ServerRequest
from lamina.server.registry_address import make_url
from lamina.server.routes import VersionRoute, parse_route
from lamina.server.tokens import SERVICE, TOKEN_PATH, TokenSigner, write_scope

_REGISTRY = "/v2/"


class Guard(Protocol):
    """Decides who may send which requests."""

    def identify(self, request: ServerRequest) -> str:
        """Return the user who sent a request; an empty name if nobody has to log in.

        Raises `RequestRefused` if the user is unknown or may not send it. It may take a tenth of a second.
        """


class OpenGuard:
    """Lets everybody in."""

    def identify(self, request: ServerRequest) -> str:
        """Return an empty name."""
        return ""


class AccountGuard:
    """Lets one user in."""

    def __init__(self, user: str, password: str) -> None:
        self._user = user
        self._expected = f"{user}:{password}".encode()

    def identify(self, request: ServerRequest) -> str:
        """Return the name of the user. Raises `RequestRefused`."""
        if hmac.compare_digest(parse_basic(_get_authorization(request)) or b"", self._expected):
            return self._user
        raise ask_for_password()


class PasswordGuard:
    """Lets users in who send their password or token with each request."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def identify(self, request: ServerRequest) -> str:
        """Return the name of the user. Raises `RequestRefused`."""
        if user := self._accounts.find(_get_authorization(request)):
            return user
        raise ask_for_password()


class TokenGuard:
    """Lets clients in that have a token for the repository that they ask for; and users, as `PasswordGuard` does.

    Clients of registries are told where to get a token. All others, such as browsers at ``/``, are asked for a
    password, because they know no such tokens.
    """

    def __init__(self, accounts: Accounts, signer: TokenSigner) -> None:
        self._accounts = accounts
        self._signer = signer

    def identify(self, request: ServerRequest) -> str:
        """Return the name of the user. Raises `RequestRefused`."""
        authorization = _get_authorization(request)
        if user := self._accounts.find(authorization):
            return user
        if f"{request.path}/".startswith(_REGISTRY):
            return self._check_token(request, parse_bearer(authorization))
        raise ask_for_password()

    def _check_token(self, request: ServerRequest, token: str | None) -> str:
        repository = _find_repository(request.path)
        grant = self._signer.verify(token) if token else None
        if grant is None:
            raise _ask_for_token(request, repository, "invalid_token" if token else "")
        if repository is not None and repository not in grant.repositories:
            raise _ask_for_token(request, repository, "insufficient_scope")
        return grant.user


def ask_for_password() -> RequestRefused:
    """Return the refusal of a request without a right password."""
    headers = (("WWW-Authenticate", 'Basic realm="lamina", charset="UTF-8"'),)
    return RequestRefused(401, "UNAUTHORIZED", "a user and a password of this registry are needed", headers=headers)


def _ask_for_token(request: ServerRequest, repository: str | None, problem: str) -> RequestRefused:
    """Return the refusal of a request without a right token, which says where to get one and for what."""
    values = {"realm": make_url(request, TOKEN_PATH), "service": SERVICE}
    if repository is not None:
        values["scope"] = write_scope(repository)
    if problem:
        values["error"] = problem
    challenge = ",".join(f'{name}="{value}"' for name, value in values.items())
    headers = (("WWW-Authenticate", f"Bearer {challenge}"),)
    return RequestRefused(401, "UNAUTHORIZED", "a token of this registry is needed", headers=headers)


def _get_authorization(request: ServerRequest) -> str:
    return request.headers.get("authorization", "")


def _find_repository(path: str) -> str | None:
    """Return the repository that a path names; None if it names none."""
    try:
        route = parse_route(path)
    except RequestRefused:
        return None
    return None if isinstance(route, VersionRoute) else route.repository
