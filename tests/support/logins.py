"""Headers with which users log in, and lines of files of users."""

from __future__ import annotations

import base64
import hashlib

import bcrypt

from lamina.server.http_messages import ServerRequest


def basic(account: str) -> str:
    return "Basic " + base64.b64encode(account.encode()).decode()


def hash_password(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def hash_token(token: str) -> str:
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"


def ask(path: str = "/v2/", authorization: str = "", query: str = "", **headers: str) -> ServerRequest:
    """Return a request; ``x_forwarded_proto`` is the header ``X-Forwarded-Proto``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if authorization:
        named["authorization"] = authorization
    return ServerRequest("GET", path, query, {"host": "127.0.0.1:5000", **named})
