"""Answer the challenges of one registry: with basic authentication, or with tokens that are kept until they end."""

from __future__ import annotations

import math
from collections.abc import Callable
from threading import RLock

from lamina.errors import AuthError, RegistryError
from lamina.formats.auth_challenges import Challenge
from lamina.registry.credentials import Credentials, FindCredentials
from lamina.registry.sender import RequestSender
from lamina.registry.tokens import Token, TokenLimitError, fetch_token, hide_credentials
from lamina.transports.environment import format_basic_auth
from lamina.transports.urls import Origin

_SCHEMES = ("bearer", "basic")
_Key = tuple[str, str, tuple[str, ...]]


class Authenticator:
    """Makes the ``Authorization`` of requests to one repository's registry; safe for many threads.

    Args:
        name: the registry and the repository, ``ghcr.io/me/app``.
        sender: what sends requests to token servers.
        find_credentials: returns the credentials for ``name``. It is called once, when the registry first asks.
        login_hint: returns what the user can do if the registry refuses the credentials, or wants some.
        allows_http: whether a token server may be reached over plain HTTP beyond this machine.

    """

    def __init__(
        self,
        name: str,
        sender: RequestSender,
        find_credentials: FindCredentials,
        login_hint: Callable[[str], str],
        *,
        allows_http: bool,
    ) -> None:
        self._name = name
        self._sender = sender
        self._find_credentials = find_credentials
        self._login_hint = login_hint
        self._allows_http = allows_http
        self._lock = RLock()
        self._challenge: Challenge | None = None
        self._registry = Origin("", "", 0)
        self._found: list[Credentials | None] = []  # empty until the registry asks
        self._tokens: dict[_Key, Token] = {}
        self._more_scopes: dict[tuple[str, ...], tuple[str, ...]] = {}

    def authorize(self, scopes: tuple[str, ...]) -> str:
        """Return the value of ``Authorization`` for a request that needs ``scopes``, or ``""`` before a challenge.

        Raises:
            AuthError: the registry wants credentials and there are none, or its token server refuses them.
            RegistryError: the token server failed.
            TransientError: the token server may answer when it is asked again.

        """
        with self._lock:
            if self._challenge is None:
                return ""
            credentials = self._get_credentials()
            if self._challenge.scheme == "basic":
                return self._format_basic(credentials)
            return f"Bearer {self._get_token(self._challenge, scopes, credentials).value}"

    def accept(
        self, origin: Origin, challenges: tuple[Challenge, ...], scopes: tuple[str, ...] = (), refused: str = ""
    ) -> None:
        """Use the best of ``challenges`` from now on, and forget the token in ``refused``.

        Args:
            origin: the registry.
            challenges: what it asks for.
            scopes: what the refused request needs.
            refused: the ``Authorization`` of the refused request.

        Raises:
            RegistryError: the registry offers no way to log in that the client knows.

        """
        known = [challenge for scheme in _SCHEMES for challenge in challenges if challenge.scheme == scheme]
        if not known:
            got = ", ".join(challenge.scheme for challenge in challenges) or "HTTP 401 without a challenge"
            raise RegistryError(self._name, got, "one of Bearer and Basic to log in with")
        with self._lock:
            self._challenge, self._registry = known[0], origin
            wanted = {_get_resource(scope) for scope in scopes}
            asked = self._challenge.parameters.get("scope", "").split()
            more = tuple(scope for scope in asked if _get_resource(scope) not in wanted)
            if scopes:
                self._more_scopes[scopes] = more
            for key in [key for key, token in self._tokens.items() if refused == f"Bearer {token.value}"]:
                del self._tokens[key]

    def make_error(self, got: str) -> AuthError:
        """Return the error for a registry that answers ``got`` in spite of the credentials, or for lack of them."""
        with self._lock:
            has_credentials = bool(self._found and self._found[0])
        which = "with the credentials that were found" if has_credentials else "with no credentials"
        return AuthError(self._name, f"{got} {which}", "accepted credentials", hint=self._login_hint(self._name))

    def suggest_account(self) -> str:
        """Return the hint for a registry that has had too many requests."""
        with self._lock:
            return self._suggest_account()

    def hide_secrets(self, text: str) -> str:
        """Return ``text`` of the registry without the secrets that it may repeat."""
        with self._lock:
            credentials = self._found[0] if self._found else None
            return hide_credentials(text, credentials, *(token.value for token in self._tokens.values()))

    def _get_credentials(self) -> Credentials | None:
        if not self._found:
            self._found.append(self._find_credentials(self._name))
        return self._found[0]

    def _suggest_account(self) -> str:
        if self._found and self._found[0] is None:
            return f"{self._login_hint(self._name)}; registries answer more requests with an account"
        return "try again later; the registry limits how many requests it answers"

    def _format_basic(self, credentials: Credentials | None) -> str:
        if credentials is None or not (credentials.username or credentials.secret):
            got = "only a token" if credentials else "no credentials"
            expected = "a user and a password, which the registry wants"
            raise AuthError(self._name, got, expected, hint=self._login_hint(self._name))
        return format_basic_auth(credentials.username, credentials.secret)

    def _get_token(self, challenge: Challenge, scopes: tuple[str, ...], credentials: Credentials | None) -> Token:
        if credentials and credentials.registry_token:
            return Token(credentials.registry_token, math.inf)
        parameters = challenge.parameters
        wanted = (*scopes, *self._more_scopes.get(scopes, ()))
        key = parameters.get("realm", ""), parameters.get("service", ""), wanted
        token = self._tokens.get(key)
        if token is None or self._sender.policy.clock() >= token.end:
            try:
                token = fetch_token(
                    self._sender,
                    challenge,
                    wanted,
                    credentials,
                    subject=self._name,
                    registry=self._registry,
                    allows_http=self._allows_http,
                )
            except AuthError as error:
                error.hint = error.hint or self._login_hint(self._name)
                raise error.add_context(self._name) from None
            except TokenLimitError as error:
                error.hint = self._suggest_account()
                raise
            self._tokens[key] = token
        return token


def _get_resource(scope: str) -> str:
    """Return the type and the name of a scope without its actions: ``repository:me/app`` of ``…:pull``."""
    return scope.rpartition(":")[0]
