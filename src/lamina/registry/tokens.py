"""Ask a token server for a token (Docker Registry v2 authentication: "Token Authentication", "OAuth2").

Invariant: user names, secrets and identity tokens are sent to a token server over https only, except to this machine
and if the user allowed plain HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus, urlencode

from lamina.errors import AuthError, FormatError, InvalidArgument, RegistryError
from lamina.formats.auth_challenges import Challenge
from lamina.formats.json_toml import parse_json
from lamina.formats.registry_references import is_loopback_host
from lamina.registry.credentials import Credentials
from lamina.registry.requests import RegistryRequest, RegistryResponse, RequestBody
from lamina.registry.sender import RequestSender
from lamina.transports.environment import format_basic_auth
from lamina.transports.retry import TransientError
from lamina.transports.urls import Origin, redact_url

_MAX_DOCUMENT = 1 << 20
# "If omitted, this defaults to 60 seconds" (Token Authentication, "expires_in").
_DEFAULT_LIFETIME = 60
_MAX_LIFETIME = 24 * 3600
# A token is replaced a little before its end, because a request takes time.
_MARGIN = 10.0
_CLIENT_ID = "lamina"


@dataclass(frozen=True, slots=True)
class Token:
    """A token, and the time on the policy's clock from which on a new one is needed."""

    value: str = field(repr=False)
    end: float


class TokenLimitError(TransientError):
    """The token server has had too many requests."""


def fetch_token(
    sender: RequestSender,
    challenge: Challenge,
    scopes: tuple[str, ...],
    credentials: Credentials | None,
    *,
    subject: str,
    registry: Origin,
    allows_http: bool,
) -> Token:
    """Ask the token server that ``challenge`` names for a token with ``scopes``.

    Args:
        sender: what sends the request.
        challenge: the registry's challenge, with the token server's URL as its realm.
        scopes: what the token must allow.
        credentials: what to log in with, or None for a token without an account.
        subject: the repository, in messages.
        registry: the server that sent the challenge.
        allows_http: whether the token server may be reached over plain HTTP beyond this machine.

    Raises:
        AuthError: the token server refuses the credentials.
        RegistryError: it failed, or its answer is not a token.
        TransientError: the request may succeed when it is repeated.

    """
    realm = challenge.parameters.get("realm", "")
    origin = _check_realm(realm, subject, allows_http=allows_http)
    service = challenge.parameters.get("service", "")
    fields = [*([("service", service)] if service else []), *(("scope", scope) for scope in scopes)]
    authorization = ""
    name = f"token server {redact_url(realm)}"
    if credentials and credentials.identity_token:
        form = {
            "grant_type": "refresh_token",
            "service": service,
            "client_id": _CLIENT_ID,
            "scope": " ".join(scopes),
            "refresh_token": credentials.identity_token,
        }
        body = RequestBody.of(urlencode(form).encode())
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        request = RegistryRequest("POST", realm, name, headers=headers, body=body)
    else:
        if credentials:
            authorization = format_basic_auth(credentials.username, credentials.secret)
            fields.append(("account", credentials.username))
        query = urlencode(fields)
        request = RegistryRequest("GET", f"{realm}{'&' if '?' in realm else '?'}{query}" if query else realm, name)
    now = sender.policy.clock()
    with sender.open(request, authorization, origin, registry) as response:
        return _read_token(response, credentials, now)


def _check_realm(realm: str, subject: str, *, allows_http: bool) -> Origin:
    try:
        origin = Origin.of(realm)
    except InvalidArgument:
        raise RegistryError(subject, f"the token server {redact_url(realm)}", "an https:// URL") from None
    if origin.scheme == "http" and not allows_http and not is_loopback_host(origin.host):
        raise RegistryError(subject, f"the token server {redact_url(realm)}", "one with https://")
    return origin


def _read_token(response: RegistryResponse, credentials: Credentials | None, now: float) -> Token:
    subject = response.response.subject
    if response.response.is_transient:
        retry_after = response.response.retry_after
        kind = TokenLimitError if response.status == 429 else TransientError
        raise kind(f"HTTP {response.status} from the {subject}", retry_after)
    if response.status != 200:
        got = response.describe(lambda text: hide_credentials(text, credentials))
        refused = response.status in (401, 403) or response.error_code == "invalid_grant"
        raise (AuthError if refused else RegistryError)(subject, got, "a token")
    try:
        document = parse_json(response.read(_MAX_DOCUMENT), subject, "a token in JSON")
    except FormatError:  # its text may repeat a part of the token
        raise RegistryError(subject, "no JSON", "a token in JSON") from None
    fields = document if isinstance(document, dict) else {}
    value = fields.get("token") or fields.get("access_token")
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise RegistryError(subject, "no token", "a token in JSON")
    lifetime = fields.get("expires_in")
    seconds = (
        float(lifetime) if isinstance(lifetime, int | float) and 0 < lifetime <= _MAX_LIFETIME else _DEFAULT_LIFETIME
    )
    return Token(value, now + seconds - min(_MARGIN, seconds / 4))


def hide_credentials(text: str, credentials: Credentials | None, *tokens: str) -> str:
    """Return ``text`` without secrets that a server repeats, as they are or as they were encoded in a request."""
    secrets = list(tokens)
    if credentials:
        encoded = format_basic_auth(credentials.username, credentials.secret).partition(" ")[2]
        secrets += [credentials.secret, credentials.identity_token, credentials.registry_token]
        secrets += [encoded] if credentials.secret else []
    for secret in filter(None, secrets):
        for spelling in (secret, quote(secret, safe=""), quote_plus(secret)):
            text = text.replace(spelling, "***")
    return text
