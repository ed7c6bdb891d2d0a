"""The accounts of users: their passwords, and the tokens of programs.

Each line of their file is one of these:

    USER:$2y$05$…       the bcrypt hash of a password, as htpasswd -B writes it
    USER:sha256:HEX     the SHA-256 of a random token

A token is long and random, so a fast hash protects it, which costs nothing for each request. It may be sent as a
password too.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from threading import RLock

from lamina.errors import FormatError
from lamina.server.required_libraries import require_library
from lamina.system.documents import read_document

# A line of htpasswd -B: the user, and a bcrypt hash of 60 characters whose third field is the cost.
_PASSWORD_LINE = re.compile(r"([^:\s][^:]{0,255}):(\$2[aby]\$(?:0[4-9]|1[0-9])\$[./A-Za-z0-9]{53})")
_TOKEN_LINE = re.compile(r"([^:\s][^:]{0,255}):sha256:([0-9a-f]{64})")
_MAX_FILE_SIZE = 1 << 20
# bcrypt itself refuses longer passwords.
_MAX_PASSWORD = 72
_MAX_REMEMBERED = 1024
_HINT = "htpasswd -B FILE USER adds a user"


class Accounts:
    """The users of a server and their secrets. Passwords that were right are remembered as a hash.

    Args:
        passwords: the bcrypt hash of each user's password.
        tokens: the users of tokens, by the SHA-256 of the token.
    """

    def __init__(self, passwords: Mapping[str, bytes], tokens: Mapping[bytes, str]) -> None:
        self._passwords = passwords
        self._tokens = tokens
        self._salt = secrets.token_bytes(16)
        self._lock = RLock()  # guards what follows
        self._right: dict[bytes, str] = {}

    def find(self, authorization: str) -> str | None:
        """Return the user whose secret an ``Authorization`` header has; None if the secret is wrong or there is none.

        It may take a tenth of a second.
        """
        if (account := parse_basic(authorization)) is not None:
            return self._find_account(account)
        token = parse_bearer(authorization)
        return self._tokens.get(_hash(token.encode())) if token else None

    def _find_account(self, account: bytes) -> str | None:
        key = hashlib.sha256(self._salt + account).digest()
        with self._lock:
            if user := self._right.get(key):
                return user
        name, colon, password = account.partition(b":")
        user = name.decode("utf-8", "surrogateescape")
        if not colon or not self._is_right(user, password):
            return None
        with self._lock:
            if len(self._right) >= _MAX_REMEMBERED:
                self._right.clear()
            self._right[key] = user
        return user

    def _is_right(self, user: str, password: bytes) -> bool:
        # The keys are hashes, so the time of the look-up says nothing about a token.
        if self._tokens.get(_hash(password)) == user:
            return True
        if not self._passwords or len(password) > _MAX_PASSWORD or b"\0" in password:
            return False
        import bcrypt

        # An unknown user takes as long as a wrong password, so the time does not tell who is known.
        expected = self._passwords.get(user) or next(iter(self._passwords.values()))
        return bcrypt.checkpw(password, expected) and user in self._passwords


def parse_basic(authorization: str) -> bytes | None:
    """Return ``USER:PASSWORD`` of a header for HTTP Basic authentication (RFC 7617); None if it is no such header."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic" or not value.isascii():
        return None
    try:
        return base64.b64decode(value.strip(), validate=True)
    except binascii.Error:
        return None


def parse_bearer(authorization: str) -> str | None:
    """Return the token of a header with a bearer token (RFC 6750, 2.1); None if it is no such header."""
    scheme, _, value = authorization.partition(" ")
    return value.strip() or None if scheme.lower() == "bearer" and value.isascii() else None


def read_accounts(name: str, file: Path) -> Accounts:
    """Read the users of a file. Empty lines and lines that begin with # are left out.

    Args:
        name: the start of an error message.
        file: the file.

    Raises:
        InvalidArgument: the library that checks passwords is not installed.
        InputError: the file is missing, or cannot be read.
        FormatError: a line is invalid, or there is no user. The message does not repeat the line.

    """
    require_library(name, "bcrypt")
    data = read_document(file, str(file), "a file of htpasswd -B", limit=_MAX_FILE_SIZE)
    passwords: dict[str, bytes] = {}
    tokens: dict[bytes, str] = {}
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if found := _PASSWORD_LINE.fullmatch(line.strip()):
            passwords[found[1]] = found[2].encode()
        elif found := _TOKEN_LINE.fullmatch(line.strip()):
            tokens[bytes.fromhex(found[2])] = found[1]
        else:
            expected = "USER and a bcrypt hash, or USER:sha256: and the SHA-256 of a token"
            raise FormatError(f"{file}: line {number}", "another form", expected, hint=_HINT)
    if not passwords and not tokens:
        raise FormatError(file, "no user", "at least one line of htpasswd -B", hint=_HINT)
    return Accounts(passwords, tokens)


def _hash(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
