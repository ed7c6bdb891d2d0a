"""Keys for S3 that a machine of Amazon's gives to what runs on it, and that expire.

The places, in the order of Amazon's own libraries: a web identity token that is exchanged for keys, a container's
endpoint, the instance's metadata service (AWS SDKs and tools reference, "Standardized credential providers").
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from urllib.parse import urlencode, urlsplit

from lamina.errors import Unavailable
from lamina.transports.answers import Answer, Request
from lamina.transports.connections import Connections
from lamina.transports.patience import PassingError, Patience, Tries
from lamina.transports.profiles import Keys

_SUBJECT = "AWS credentials of this machine"
_HINT = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY hold others; AWS_EC2_METADATA_DISABLED=true asks for none"
_CONTAINERS = "http://169.254.170.2"
_INSTANCE = "http://169.254.169.254"
_ROLE = "latest/meta-data/iam/security-credentials/"
# Where a container's keys may come from without encryption, beside this machine itself.
_LINK_LOCAL = {"169.254.170.2", "169.254.170.23", "fd00:ec2::23"}
_ELEMENT = re.compile(r"<(AccessKeyId|SecretAccessKey|SessionToken|Expiration)>([^<]{1,10000})</")
_MOST = 1 << 16
_EARLY = timedelta(minutes=5)


class MachineKeys:
    """Keys that are asked for again before they expire; any number of threads may ask."""

    def __init__(self, region: str, patience: Patience) -> None:
        self._region = region
        self._patience = patience
        # A proxy is no way to a service of this machine, and should see no key.
        self._connections = Connections(patience, is_direct=True)
        self._lock = Lock()
        self._keys: Keys | None = None
        self._until = datetime.max.replace(tzinfo=UTC)

    def keys(self) -> Keys:
        """Give keys that are valid now. Raises `Unavailable`."""
        with self._lock:
            if self._keys is None or datetime.now(UTC) > self._until - _EARLY:
                self._keys, self._until = self._fetched()
            return self._keys

    def _fetched(self) -> tuple[Keys, datetime]:
        environ = os.environ
        token_file = environ.get("AWS_WEB_IDENTITY_TOKEN_FILE")
        if token_file:
            return self._of_web_identity(_content(token_file))
        relative = environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
        full = environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        if relative or full:
            return self._of_container(f"{_CONTAINERS}{relative}" if relative else full or "")
        return self._of_instance(environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _INSTANCE)

    def _of_container(self, url: str) -> tuple[Keys, datetime]:
        parts = urlsplit(url)
        if parts.scheme != "https" and not _is_near(parts.hostname or ""):
            raise _unusable("a container's endpoint on another machine without https")
        file = os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        token = _content(file) if file else os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
        return _parsed(self._asked("GET", url, {"Authorization": token} if token else {}))

    def _of_instance(self, service: str) -> tuple[Keys, datetime]:
        service = service.rstrip("/")
        seconds = {"X-aws-ec2-metadata-token-ttl-seconds": "21600"}
        token = self._asked("PUT", f"{service}/latest/api/token", seconds).decode("ascii", "replace")
        headers = {"X-aws-ec2-metadata-token": token}
        role = self._asked("GET", f"{service}/{_ROLE}", headers).decode("ascii", "replace").strip().partition("\n")[0]
        if not re.fullmatch(r"[\w+=,.@-]{1,128}", role):
            raise _unusable("no role")
        return _parsed(self._asked("GET", f"{service}/{_ROLE}{role}", headers))

    def _of_web_identity(self, token: str) -> tuple[Keys, datetime]:
        service = os.environ.get("AWS_ENDPOINT_URL_STS") or f"https://sts.{self._region}.amazonaws.com"
        query = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": os.environ.get("AWS_ROLE_ARN", ""),
            "RoleSessionName": os.environ.get("AWS_ROLE_SESSION_NAME") or "lamina",
            "WebIdentityToken": token,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        said = self._asked("POST", service.rstrip("/") + "/", headers, urlencode(query).encode()).decode(
            "utf-8", "replace"
        )
        found = dict(re.findall(r"<(AccessKeyId|SecretAccessKey|SessionToken|Expiration)>([^<]{1,10000})</", said))
        return _keys({**found, "Token": found.get("SessionToken", "")})

    def _asked(self, method: str, url: str, headers: dict[str, str], body: bytes = b"") -> bytes:
        """What a service says. Raises `Unavailable`, which repeats nothing of it."""
        tries = Tries(self._patience, _SUBJECT, "keys")
        if any(not value.isprintable() for value in headers.values()):
            raise _unusable("a token of more than one line")
        request = Request(method, url, headers, _SUBJECT, body)
        while True:
            try:
                sent = self._connections.send(method, url, headers, _SUBJECT, body)
                with contextlib.closing(Answer(sent, request, self._patience)) as answer:
                    if answer.is_passing:
                        raise PassingError(f"HTTP {answer.status}", answer.asked_pause)
                    if answer.status != 200:
                        raise _unusable(f"HTTP {answer.status}")
                    return _bounded(answer)
            except PassingError as error:
                tries.failed(error)


def _bounded(answer: Answer) -> bytes:
    said = bytearray()
    for piece in answer.content():
        said += piece
        if len(said) > _MOST:
            raise _unusable(f"more than {_MOST} bytes")
    return bytes(said)


def _parsed(said: bytes) -> tuple[Keys, datetime]:
    try:
        document = json.loads(said)
    except (ValueError, RecursionError):
        raise _unusable("no JSON") from None
    return _keys(document if isinstance(document, dict) else {})


def _keys(document: Mapping[str, object]) -> tuple[Keys, datetime]:
    name, secret, token = (document.get(key) for key in ("AccessKeyId", "SecretAccessKey", "Token"))
    if not isinstance(name, str) or not isinstance(secret, str) or not name or not secret:
        raise _unusable("no keys")
    until = datetime.max.replace(tzinfo=UTC)
    with contextlib.suppress(ValueError):
        until = datetime.fromisoformat(str(document.get("Expiration")))
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return Keys(name, secret, token if isinstance(token, str) else ""), until


def _is_near(host: str) -> bool:
    try:
        return host == "localhost" or host in _LINK_LOCAL or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _content(file: str) -> str:
    try:
        with Path(file).open(encoding="utf-8") as opened:
            return opened.read(_MOST).strip()
    except (OSError, ValueError) as error:
        got = (error.strerror if isinstance(error, OSError) else None) or "bytes that are not UTF-8"
        raise Unavailable(f"{file}: got {got}, expected a token") from None


def _unusable(got: str) -> Unavailable:
    return Unavailable(f"{_SUBJECT}: got {got}, expected keys", hint=_HINT)
