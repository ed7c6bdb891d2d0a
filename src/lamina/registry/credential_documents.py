"""The documents in which docker and podman keep credentials: ``config.json`` and ``auth.json``.

They have the same format. Their keys are names of registries, and podman's also those of repositories and parts of
them. Older versions of docker wrote URLs such as ``https://index.docker.io/v1/``, and for Docker Hub all do.

Invariant: no error and no ``repr`` contains a value of ``auths``.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lamina.errors import FormatError
from lamina.formats.image_names import HUB, HUB_ALIASES
from lamina.formats.json_toml import name_type, parse_json
from lamina.messages.redaction import short_repr
from lamina.registry.credentials import Credentials

EXPECTED = "JSON as docker login and podman login write it"
HUB_SERVER = "https://index.docker.io/v1/"
"""The name under which docker keeps the credentials for Docker Hub."""

# Docker Desktop keeps the tokens of its own login beside the credentials for the hub; they are not for the registry.
_NOT_CREDENTIALS = (f"{HUB_SERVER}access-token", f"{HUB_SERVER}refresh-token")
_API_PATHS = ("v1/", "v2/")
_HELPER_NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]*"


@dataclass(frozen=True, slots=True)
class Helper:
    """A program that has the credentials: ``docker-credential-NAME``.

    Attributes:
        name: the last part of the program's name.
        server: the name under which it keeps the credentials.
        key: the key of the document that names the program: ``credHelpers`` or ``credsStore``.
    """

    name: str
    server: str
    key: str

    @property
    def program(self) -> str:
        """The name of the program."""
        return f"docker-credential-{self.name}"


@dataclass(frozen=True, slots=True)
class CredentialDocument:
    """A parsed document.

    Attributes:
        subject: what the document is called in messages, usually the name of its file.
        auths: the entries with credentials, by registry or repository.
        helpers: the names of helpers, by registry.
        store: the name of the helper for all other registries, or empty.
    """

    subject: str
    auths: Mapping[str, Mapping[str, Any]] = field(repr=False)
    helpers: Mapping[str, str]
    store: str

    @classmethod
    def parse(cls, data: str | bytes, subject: str) -> CredentialDocument:
        """Parse a document; an empty one has no entries, as in docker and podman. Raises `FormatError`."""
        document = _parse_json(data, subject) if data.strip() else {}
        if not isinstance(document, dict):
            raise FormatError(subject, name_type(document), EXPECTED)
        return cls(
            subject,
            _get_table(document, "auths", dict, subject),
            _get_table(document, "credHelpers", str, subject),
            _get_text(document, "credsStore", subject),
        )

    def find_helper(self, name: str) -> Helper | None:
        """Return the helper for the registry of ``name``, which is ``HOST[:PORT]/REPOSITORY``, or None.

        A helper serves a whole registry, in docker and in podman.

        Raises:
            FormatError: the helper's name cannot be the end of a program's name.

        """
        host = name.partition("/")[0]
        for key in _find_keys(self.helpers, host):
            return self._make_helper(self.helpers[key], key, "credHelpers")
        return self._make_helper(self.store, HUB_SERVER if host == HUB else host, "credsStore")

    def find_entry(self, name: str) -> Credentials | None:
        """Return the credentials of the entry for ``name``, or None.

        The entry with the longest name wins: ``ghcr.io/me/app``, then ``ghcr.io/me``, then ``ghcr.io``. An entry
        without credentials, which docker writes for a helper, does not count.

        Raises:
            FormatError: the entry has no valid credentials.

        """
        prefix = name
        while prefix:
            for key in _find_keys(self.auths, prefix):
                if found := _parse_entry(self.auths[key], f"{self.subject}: the entry {key}"):
                    return found
            prefix = prefix.rpartition("/")[0]
        return None

    def _make_helper(self, name: str, server: str, key: str) -> Helper | None:
        if not name:
            return None
        if not re.fullmatch(_HELPER_NAME, name):
            raise FormatError(f"{self.subject}: {key}", short_repr(name), "the NAME of a docker-credential-NAME")
        return Helper(name, server, key)


def _parse_json(data: str | bytes, subject: str) -> Any:
    try:
        return parse_json(data, subject, EXPECTED)
    except FormatError as error:
        translated = error.convert(FormatError)
    # Raised outside of the except block, because the parser's error has the document as an attribute.
    raise translated


def _find_keys(table: Mapping[str, object], name: str) -> Iterator[str]:
    """Yield the keys of ``table`` that stand for ``name``; the exact name and docker's name of its hub come first."""
    keys = [key for key in table if key not in _NOT_CREDENTIALS and _normalize_key(key) == name]
    yield from sorted(keys, key=lambda key: (key != name, key != HUB_SERVER))


def _normalize_key(key: str) -> str:
    """Return the name that ``key`` stands for: ``HOST[:PORT]``, and ``/PATH`` unless that belongs to a URL."""
    stripped = re.sub(r"\Ahttps?://", "", key)
    host, _, path = stripped.partition("/")
    host = HUB if host.lower() in HUB_ALIASES else host.lower()
    is_whole_registry = stripped != key or path in ("", *_API_PATHS)
    return host if is_whole_registry else f"{host}/{path}"


def _parse_entry(entry: Mapping[str, Any], subject: str) -> Credentials | None:
    keys = ("registrytoken", "identitytoken", "auth", "username", "password")
    registry_token, identity_token, encoded, *plain = (_get_text(entry, key, subject) for key in keys)
    if registry_token or identity_token:
        return Credentials("", "", identity_token, registry_token)
    # docker accepts a user and a password as they are too, and secrets of Kubernetes have them.
    username, secret = _decode(encoded, subject) if encoded else plain
    return Credentials(username, secret) if username or secret else None


def _decode(encoded: str, subject: str) -> tuple[str, str]:
    """Return the user and the password of an ``auth``: ``USER:PASSWORD`` in base 64, with or without padding."""
    digits = "".join(encoded.split()).rstrip("=")
    decoded = ""
    with contextlib.suppress(ValueError):  # its message may have a part of the password
        decoded = base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True).decode()
    username, colon, secret = decoded.partition(":")
    if not colon:
        raise FormatError(subject, "an invalid auth", "USER:PASSWORD in base 64")
    return username, secret.strip("\0")  # docker once padded passwords with zeros


def _get_table(document: Mapping[str, Any], key: str, kind: type, subject: str) -> Mapping[str, Any]:
    table = document.get(key)
    if table is None:  # programs in Go may write an empty table as null
        return {}
    if not isinstance(table, dict):
        raise FormatError(f"{subject}: {key}", name_type(table), "an object")
    for name, value in table.items():
        if not isinstance(value, kind):
            raise FormatError(f"{subject}: {key}: {short_repr(name)}", name_type(value), EXPECTED)
    return table


def _get_text(table: Mapping[str, Any], key: str, subject: str) -> str:
    """Return a string of ``table``, or ``""`` if it is absent or null. Raises `FormatError`."""
    value = table.get(key)
    if not isinstance(value, str | None):
        raise FormatError(f"{subject}: {key}", name_type(value), "a string")
    return value or ""
