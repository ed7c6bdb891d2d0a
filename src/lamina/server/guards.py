"""Guards decide who may send requests, by HTTP Basic authentication (RFC 7617)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from threading import RLock
from typing import Protocol

from lamina.errors import FormatError, InvalidArgument
from lamina.server.error_documents import RequestRefused
from lamina.system.documents import read_document

# A line of htpasswd -B: the user, and a bcrypt hash of 60 characters whose third field is the cost.
_LINE = re.compile(r"([^:\s][^:]{0,255}):(\$2[aby]\$(?:0[4-9]|1[0-9])\$[./A-Za-z0-9]{53})")
_MAX_FILE_SIZE = 1 << 20
# bcrypt itself refuses longer passwords.
_MAX_PASSWORD = 72
_MAX_REMEMBERED = 1024


class Guard(Protocol):
    """Decides who may send requests."""

    def identify(self, authorization: str) -> str:
        """Return the user of a request, given its ``Authorization`` header; an empty name if nobody has to log in.

        Raises `RequestRefused` if the user is unknown or the password is wrong. It may take a tenth of a second.
        """


class OpenGuard:
    """Lets everybody in."""

    def identify(self, authorization: str) -> str:
        """Return an empty name."""
        return ""


class AccountGuard:
    """Lets one user in."""

    def __init__(self, user: str, password: str) -> None:
        self._user = user
        self._expected = f"{user}:{password}".encode()

    def identify(self, authorization: str) -> str:
        """Return the name of the user. Raises `RequestRefused`."""
        if hmac.compare_digest(_parse_basic(authorization), self._expected):
            return self._user
        raise _make_challenge()


class PasswordFileGuard:
    """Lets the users of a file in that ``htpasswd -B`` wrote. Passwords that were right are remembered as a hash.

    Args:
        hashes: the bcrypt hash of each user's password; at least one.
    """

    def __init__(self, hashes: Mapping[str, bytes]) -> None:
        self._hashes = hashes
        self._salt = secrets.token_bytes(16)
        self._lock = RLock()  # guards what follows
        self._right: dict[bytes, str] = {}

    def identify(self, authorization: str) -> str:
        """Return the name of the user. Raises `RequestRefused`."""
        account = _parse_basic(authorization)
        key = hashlib.sha256(self._salt + account).digest()
        with self._lock:
            if user := self._right.get(key):
                return user
        user = self._check(account)
        with self._lock:
            if len(self._right) >= _MAX_REMEMBERED:
                self._right.clear()
            self._right[key] = user
        return user

    def _check(self, account: bytes) -> str:
        import bcrypt

        name, colon, password = account.partition(b":")
        user = name.decode("utf-8", "surrogateescape")
        if colon and len(password) <= _MAX_PASSWORD and b"\0" not in password:
            # An unknown user takes as long as a wrong password, so the time does not tell who is known.
            expected = self._hashes.get(user) or next(iter(self._hashes.values()))
            if bcrypt.checkpw(password, expected) and user in self._hashes:
                return user
        raise _make_challenge()


def read_password_file(name: str, file: Path) -> PasswordFileGuard:
    """Read the users of a file that ``htpasswd -B`` wrote. Empty lines and lines that begin with # are left out.

    Args:
        name: the start of an error message.
        file: the file.

    Raises:
        InvalidArgument: the library that checks passwords is not installed.
        InputError: the file is missing, or cannot be read.
        FormatError: a line is invalid, or there is no user. The message does not repeat the line.

    """
    try:
        import bcrypt  # noqa: F401 - it is needed when the first user logs in
    except ImportError as error:
        hint = "pip install 'lamina[serve]'"
        raise InvalidArgument(name, "no bcrypt", "it to be installed", hint=hint) from error
    data = read_document(file, str(file), "a file of htpasswd -B", limit=_MAX_FILE_SIZE)
    hashes: dict[str, bytes] = {}
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        if not found:
            hint = "htpasswd -B FILE USER adds a user"
            raise FormatError(f"{file}: line {number}", "another form", "USER and a bcrypt hash", hint=hint)
        hashes[found[1]] = found[2].encode()
    if not hashes:
        raise FormatError(file, "no user", "at least one line of htpasswd -B")
    return PasswordFileGuard(hashes)


def _parse_basic(authorization: str) -> bytes:
    """Return ``USER:PASSWORD``. Raises `RequestRefused` if there is none."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "basic" and value.isascii():
        try:
            return base64.b64decode(value.strip(), validate=True)
        except binascii.Error:
            pass
    raise _make_challenge()


def _make_challenge() -> RequestRefused:
    headers = (("WWW-Authenticate", 'Basic realm="lamina", charset="UTF-8"'),)
    return RequestRefused(401, "UNAUTHORIZED", "a user and a password of this registry are needed", headers=headers)
