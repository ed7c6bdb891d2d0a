"""The endpoint that gives tokens to users, for clients of registries (distribution, "Requesting a Token")."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qs

from lamina.messages.redaction import short_repr
from lamina.server.accounts import Accounts
from lamina.server.error_documents import JSON_TYPE, RequestRefused
from lamina.server.guards import ask_for_password
from lamina.server.http_messages import ServerRequest, ServerResponse
from lamina.server.respond import check_method
from lamina.server.tokens import LIFETIME, SERVICE, Grant, TokenSigner, parse_scopes

MAX_SCOPES = 16
"""How many scopes a token may have. Clients ask for one or two, and servers limit the length of headers."""


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """Gives tokens to users who send their password.

    Attributes:
        accounts: the accounts of the users.
        signer: signs the tokens.
    """

    accounts: Accounts
    signer: TokenSigner

    def respond(self, request: ServerRequest) -> tuple[ServerResponse, str]:
        """Return the answer to a request for a token, and the user who asked for it.

        A token without a scope says that the password is right, which is all that ``docker login`` asks for.

        Raises:
            RequestRefused: the password is wrong, or the request is invalid.

        """
        check_method(request)
        user = self.accounts.find(request.headers.get("authorization", ""))
        if user is None:
            raise ask_for_password()
        query = parse_qs(request.query, errors="replace")
        services = query.get("service", [SERVICE])
        if services != [SERVICE]:
            raise RequestRefused(400, "UNSUPPORTED", f"this server has no tokens for {short_repr(services[0])}")
        scopes = [scope for value in query.get("scope", []) for scope in value.split()]
        if len(scopes) > MAX_SCOPES:
            raise RequestRefused(400, "UNSUPPORTED", f"a token has at most {MAX_SCOPES} scopes")
        document = _describe(self.signer.sign(Grant(user, parse_scopes(scopes))))
        headers = (("Content-Type", JSON_TYPE), ("Content-Length", str(len(document))), ("Cache-Control", "no-store"))
        return ServerResponse(200, headers, () if request.method == "HEAD" else (document,)), user


def _describe(token: str) -> bytes:
    issued = datetime.fromtimestamp(int(time.time()), UTC).isoformat().replace("+00:00", "Z")
    # Clients look for the token under one of the two names.
    document = {"token": token, "access_token": token, "expires_in": LIFETIME, "issued_at": issued}
    return json.dumps(document).encode()
