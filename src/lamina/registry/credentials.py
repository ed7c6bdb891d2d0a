"""Credentials for a registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lamina.formats.image_names import HUB


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials of a user: a name and a secret, an identity token, or a registry token.

    Attributes:
        username: the user's name; empty with a token.
        secret: the password or access token of the user; empty with a token.
        identity_token: the OAuth 2 refresh token that the registry's token server issued at ``docker login``, or empty.
        registry_token: a token that is sent to the registry itself as it is, or empty.
    """

    username: str
    secret: str = field(repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)


FindCredentials = Callable[[str], Credentials | None]
"""Returns the credentials for ``HOST[:PORT]/REPOSITORY``, or None for anonymous access.

Docker Hub's host is ``docker.io``. The repository is part of the argument because podman's files may have an entry
for a part of a registry.
"""


def suggest_login(name: str, command: str = "docker login") -> str:
    """Return the hint for a registry that wants other credentials. ``name`` is ``HOST/REPOSITORY``."""
    host = name.partition("/")[0]
    return f"log in with {command}" if host == HUB else f"log in with {command} {host}"
